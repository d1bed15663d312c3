"""What Twilio's webhooks say, as typed values: only what is used here, and only that is stored.

Names and values as in "TwiML Voice: requests to your application", <Gather>, <Record> and "Outbound call status
callbacks" of Twilio's documentation. Lower-case names are our own, from the address.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from studio.states import CallStatus
from telephony.carrier import call_status_of


def _moment(text: object) -> datetime | None:
    """RFC 2822. A status is not lost because of an odd date: the time of its arrival will do."""
    try:
        moment = parsedate_to_datetime(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


CallSid = Annotated[str, Field(alias="CallSid", pattern="^CA[0-9a-fA-F]{32}$")]
RecordingSid = Annotated[str, Field(alias="RecordingSid", pattern="^RE[0-9a-fA-F]{32}$")]
Counter = Annotated[int, Field(ge=0, le=1000)]


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
