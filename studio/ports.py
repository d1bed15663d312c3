"""What the studio needs from outside, named here and fulfilled by other rooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from providers.contract import Permit, granted
from studio.states import CallPurpose, CallStatus


class CarrierError(Exception):
    """The carrier did not do what was asked; the message is in words for the user."""


class CallRefused(CarrierError):
    """The carrier will not place this call, now or later. `code` is a `mistakes.FailureCode`."""

    def __init__(self, message: str, code: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class CarrierUnavailable(CarrierError):
    """The carrier could not be asked, or gave no clear answer. The request may or may not have had its effect."""


class RecordingNotThere(CarrierError):
    """The carrier does not have the recording (yet): it appears seconds after the caller has spoken."""


class RecordingUnusable(CarrierError):
    """What the carrier sent is no recording: wrong type, cut short, too large, empty."""


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A call to place. Everything that the carrier reports about it comes back under `call_id`. `permit` is awaited
    right before the carrier is asked."""

    call_id: str
    phone: str
    purpose: CallPurpose
    ring_seconds: int = 60
    time_limit: int = 600
    permit: Permit = granted


@dataclass(frozen=True, slots=True)
class CarrierRecording:
    sid: str
    seconds: float
    ready: bool


class Carrier(Protocol):
    """Who places calls and keeps recordings. Every method is bounded in time and raises only `CarrierError`s."""

    async def health(self) -> str | None:
        """What is missing before calls can be placed, or None. Asks nobody."""
        ...

    async def place_call(self, order: CallOrder) -> str:
        """Place a call and return the carrier's id for it. Never retried by itself: it could ring twice.

        Raises:
            CallRefused: it was not placed.
            CarrierUnavailable: it may have been placed.
        """
        ...

    async def call_status(self, sid: str) -> CallStatus: ...

    async def hang_up(self, sid: str) -> None:
        """End a call, whether it rings or is in progress. A call that is over is no error."""
        ...

    async def recordings_of(self, sid: str) -> Sequence[CarrierRecording]:
        """The recordings of a call, oldest first: finds those whose callback was lost."""
        ...

    async def fetch_recording(self, sid: str) -> bytes:
        """A recording as the bytes of a WAV file, size and type checked.

        Raises:
            RecordingNotThere, RecordingUnusable, CarrierUnavailable
        """
        ...

    async def delete_recording(self, sid: str) -> None:
        """Delete a recording. One that is already gone is no error."""
        ...
