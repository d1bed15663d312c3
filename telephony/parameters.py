"""What Twilio's webhooks say, as typed values: only what is used here, and only that is stored.

Names and values as in "TwiML Voice: requests to your application", <Gather>, <Record>, "Outbound call status
callbacks", "Answering machine detection" and "Availability and reliability" of Twilio's documentation. Lower-case names
are our own, from the address.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from studio.states import CallStatus
from telephony.carrier import call_status_of
from telephony.urls import PREFIX


def _moment(text: object) -> datetime | None:
    """RFC 2822. A status is not lost because of an odd date: the time of its arrival will do."""
    try:
        moment = parsedate_to_datetime(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _number(text: object) -> int | None:
    """Nor because of an odd number: what it would explain goes without."""
    return int(str(text)) if str(text).isdecimal() and len(str(text)) <= 6 else None


CallSid = Annotated[str, Field(alias="CallSid", pattern="^CA[0-9a-fA-F]{32}$")]
RecordingSid = Annotated[str, Field(alias="RecordingSid", pattern="^RE[0-9a-fA-F]{32}$")]
Counter = Annotated[int, Field(ge=0, le=1000)]
Code = Annotated[int | None, BeforeValidator(_number)]


class Webhook(BaseModel):
    """Any of them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    call_sid: CallSid

    def stored(self) -> dict[str, str]:
        """As it is kept."""
        return {name: str(value) for name, value in self.model_dump(mode="json", exclude_none=True).items()}


class StepRequest(Webhook):
    """The call asks how it goes on. `step` is the number of the document that it comes from, 0 for none."""

    step: Counter = 0

    @property
    def event(self) -> str:
        """What this request is known by, the same in every delivery."""
        return str(self.step)


class DocumentFailed(StepRequest):
    """A document could not be fetched, or not be carried out. `failed` is its address, below that of all calls, and
    tells this failure from others: an address occurs in a call once."""

    error_code: Annotated[Code, Field(alias="ErrorCode")] = None
    failed: Annotated[str, Field(max_length=400)] = ""

    @model_validator(mode="before")
    @classmethod
    def _located(cls, values: dict[str, Any]) -> dict[str, Any]:
        url = urlsplit(str(values.get("ErrorUrl", "")))
        _, ours, failed = url.path.rpartition(f"{PREFIX}/")
        if not ours:
            return values
        steps = parse_qs(url.query).get("step", ["0"])
        return {**values, "failed": f"{failed}?step={steps[0]}", "step": steps[0]}

    @property
    def place(self) -> str:
        """Which of our addresses it was; empty if it was none."""
        return self.failed.partition("/")[2].partition("?")[0]

    @property
    def event(self) -> str:
        return self.failed


class KeysPressed(StepRequest):
    """A <Gather> has ended; `digits` is empty when nothing was pressed."""

    digits: Annotated[str, Field(alias="Digits", pattern="^[0-9*#]{0,32}$")] = ""
    attempt: Annotated[int, Field(ge=1, le=100)]


class TakeFinished(StepRequest):
    """A <Record> has ended with something in it; `digits` is "hangup" when the caller hung up."""

    recording_sid: RecordingSid
    seconds: Annotated[float, Field(alias="RecordingDuration", ge=0, le=86_400)] = 0.0
    digits: Annotated[str, Field(alias="Digits", pattern="^([0-9*#]{0,32}|hangup)$")] = ""


class Waiting(StepRequest):
    """The hold loop comes round."""

    waited: Counter


class StatusReport(Webhook):
    """How the call fares."""

    status: Annotated[CallStatus, BeforeValidator(lambda text: call_status_of(str(text))), Field(alias="CallStatus")]
    at: Annotated[datetime | None, BeforeValidator(_moment), Field(alias="Timestamp")] = None
    error_code: Annotated[Code, Field(alias="ErrorCode")] = None
    error_message: Annotated[str | None, Field(alias="ErrorMessage")] = None
    sip_code: Annotated[Code, Field(alias="SipResponseCode")] = None


class AnsweredBy(Webhook):
    """Who answered, as far as could be heard."""

    who: Annotated[str, Field(alias="AnsweredBy", pattern="^[a-z_]{1,40}$")]

    @property
    def machine(self) -> bool:
        """machine_start, machine_end_beep and the like."""
        return self.who.startswith("machine") or self.who == "fax"


class RecordingReport(Webhook):
    """A recording can be fetched from now on, or never will be."""

    recording_sid: RecordingSid
    status: Annotated[
        Literal["in-progress", "completed", "absent", "failed"],
        Field(alias="RecordingStatus"),
    ]


def in_words(error: ValidationError) -> str:
    """What is wrong with which parameter, without repeating its value."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False))
