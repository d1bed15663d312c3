"""Calls: what was asked for, the states that a call goes through, and how the API and the webhooks tell of it."""

from __future__ import annotations

import math
import secrets
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum

from pydantic import BaseModel

from telephony.exchange.detection import MachineDetection
from telephony.exchange.errors import CallError
from telephony.exchange.store import Stored
from telephony.exchange.webhooks import Method

API_VERSION = "2010-04-01"
DIRECTION = "outbound-api"


class CallStatus(StrEnum):
    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        return not _FOLLOWERS[self]

    @property
    def event(self) -> str | None:
        """The name under which an application subscribes to it; Twilio has none for `queued`."""
        if self.is_final:
            return "completed"
        return {"initiated": "initiated", "ringing": "ringing", "in-progress": "answered"}.get(self.value)


_UNANSWERED = {CallStatus.FAILED, CallStatus.CANCELED}
_FOLLOWERS: dict[CallStatus, set[CallStatus]] = {
    CallStatus.QUEUED: {CallStatus.INITIATED, *_UNANSWERED},
    CallStatus.INITIATED: {CallStatus.RINGING, *_UNANSWERED},
    CallStatus.RINGING: {CallStatus.IN_PROGRESS, CallStatus.BUSY, CallStatus.NO_ANSWER, *_UNANSWERED},
    CallStatus.IN_PROGRESS: {CallStatus.COMPLETED},
    CallStatus.COMPLETED: set(),
    CallStatus.BUSY: set(),
    CallStatus.NO_ANSWER: set(),
    CallStatus.FAILED: set(),
    CallStatus.CANCELED: set(),
}
# What the network beyond the exchange would have answered (RFC 3261).
_SIP_RESPONSES = {
    CallStatus.COMPLETED: "200",
    CallStatus.BUSY: "486",
    CallStatus.NO_ANSWER: "487",
    CallStatus.CANCELED: "487",
    CallStatus.FAILED: "503",
}


class Instructions(BaseModel):
    """What an application asked for with a call; times in simulated seconds."""

    to: str
    caller: str
    url: str = ""
    method: Method = "POST"
    twiml: str | None = None
    fallback_url: str = ""
    fallback_method: Method = "POST"
    status_callback: str = ""
    status_callback_method: Method = "POST"
    status_callback_events: frozenset[str] = frozenset({"completed"})
    timeout: float = 60
    time_limit: float = 14400
    machine_detection: MachineDetection | None = None
    async_amd: bool = False
    """Whether the call goes on while it is found out who answered."""
    async_amd_callback: str = ""
    async_amd_callback_method: Method = "POST"


class Call(Stored):
    """One call. It changes by `move_to` only, along the arrows of the state machine."""

    account_sid: str
    instructions: Instructions
    status: CallStatus = CallStatus.QUEUED
    updated: datetime
    started: datetime | None = None
    """When the exchange began to dial."""
    ended: datetime | None = None
    answered: bool = False
    answered_by: str | None = None
    """As machine detection calls it, once it knows."""
    seconds: float = 0
    """How long it was answered, in simulated seconds, once it is over."""
    error_code: int | None = None
    error_message: str | None = None
    callbacks: int = 0
    """How many status callbacks there were: the next one's sequence number."""

    @classmethod
    def create(cls, account_sid: str, instructions: Instructions) -> Call:
        now = utc_now()
        return cls(sid=new_sid("CA"), account_sid=account_sid, instructions=instructions, created=now, updated=now)

    def move_to(self, status: CallStatus, *, seconds: float = 0, error: CallError | None = None) -> None:
        """Raises:
        ValueError: if a call in this state cannot come into that one.
        """
        if status not in _FOLLOWERS[self.status]:
            raise ValueError(f"a call cannot go from {self.status} to {status}")
        self.status, self.updated = status, utc_now()
        if status is CallStatus.INITIATED:
            self.started = self.updated
        if status is CallStatus.IN_PROGRESS:
            self.answered = True
        if status.is_final:
            self.ended, self.seconds = self.updated, seconds
            if error is not None:
                self.error_code, self.error_message = error.code, error.message

    @property
    def uri(self) -> str:
        return f"/{API_VERSION}/Accounts/{self.account_sid}/Calls/{self.sid}"

    def resource(self) -> dict[str, object]:
        """As the REST API shows it."""
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "to": self.instructions.to,
            "to_formatted": self.instructions.to,
            "from": self.instructions.caller,
            "from_formatted": self.instructions.caller,
            "status": self.status.value,
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(self.updated),
            "start_time": rfc2822(self.started),
            "end_time": rfc2822(self.ended),
            "duration": str(round(self.seconds)) if self.status.is_final else None,
            "direction": DIRECTION,
            "answered_by": self.answered_by,
            "api_version": API_VERSION,
            "parent_call_sid": None,
            "phone_number_sid": None,
            "forwarded_from": None,
            "group_sid": None,
            "caller_name": None,
            "trunk_sid": None,
            "annotation": None,
            "queue_time": "0",
            "price": None,
            "price_unit": "USD",
            "uri": f"{self.uri}.json",
            "subresource_uris": {"recordings": f"{self.uri}/Recordings.json"},
        }

    def webhook_parameters(self) -> dict[str, str]:
        """Those of every request that a call makes to the application."""
        to, caller = self.instructions.to, self.instructions.caller
        parameters = {
            "AccountSid": self.account_sid,
            "ApiVersion": API_VERSION,
            "CallSid": self.sid,
            "CallStatus": self.status.value,
            "Called": to,
            "Caller": caller,
            "Direction": DIRECTION,
            "From": caller,
            "To": to,
        }
        if self.answered_by is not None and not self.instructions.async_amd:
            parameters["AnsweredBy"] = self.answered_by
        return parameters

    def status_callback_parameters(self) -> dict[str, str] | None:
        """Those of the status callback for the present state, or None if the application did not ask for one.

        Counts it: call it once per state.
        """
        if not self.instructions.status_callback or self.status.event not in self.instructions.status_callback_events:
            return None
        parameters = self.webhook_parameters() | {
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self.callbacks),
            "Timestamp": rfc2822(self.updated) or "",
        }
        if self.status.is_final:
            parameters |= {
                "CallDuration": str(round(self.seconds)),
                "Duration": str(math.ceil(self.seconds / 60)),  # in minutes, as calls are billed
                "SipResponseCode": _SIP_RESPONSES[self.status],
            }
            if self.error_code is not None:
                parameters |= {"ErrorCode": str(self.error_code), "ErrorMessage": self.error_message or ""}
        self.callbacks += 1
        return parameters


def new_sid(prefix: str) -> str:
    """Two letters for the kind of thing, and 32 hexadecimal digits."""
    return prefix + secrets.token_hex(16)


def utc_now() -> datetime:
    return datetime.now(UTC)


def rfc2822(moment: datetime | None) -> str | None:
    return None if moment is None else format_datetime(moment)


def masked(number: str) -> str:
    """For the log, which never holds a number in full."""
    return f"{number[:3]}…{number[-2:]}"
