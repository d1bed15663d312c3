"""The states that calls, clones and syntheses go through, and the only steps allowed between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class CallPurpose(StrEnum):
    CLONE = "CLONE"
    GUIDED_CLONE = "GUIDED_CLONE"
    CONVERSATION = "CONVERSATION"


class CallDirection(StrEnum):
    OUTBOUND = "OUTBOUND"
    INBOUND = "INBOUND"


class CallStatus(StrEnum):
    QUEUED = "QUEUED"
    INITIATED = "INITIATED"
    RINGING = "RINGING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    BUSY = "BUSY"
    NO_ANSWER = "NO_ANSWER"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def over(self) -> bool:
        return self in _OVER

    def may_become(self, other: CallStatus) -> bool:
        """Callbacks arrive in any order: a call only ever moves forward, and never after its end."""
        return not self.over and (other.over or _PROGRESS.index(other) > _PROGRESS.index(self))


_PROGRESS = (CallStatus.QUEUED, CallStatus.INITIATED, CallStatus.RINGING, CallStatus.IN_PROGRESS)
_OVER = frozenset(CallStatus) - frozenset(_PROGRESS)


class CloneStatus(StrEnum):
    REQUESTED = "REQUESTED"
    CALLING = "CALLING"
    RINGING = "RINGING"
    ANSWERED = "ANSWERED"
    RECORDING = "RECORDING"
    REVIEWING = "REVIEWING"
    RECORDED = "RECORDED"
    ANALYZING = "ANALYZING"
    CLONING = "CLONING"
    READY = "READY"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def over(self) -> bool:
        return not _CLONE_STEPS[self]

    @property
    def on_the_phone(self) -> bool:
        """Whether the call may still change what becomes of the clone."""
        return self in _ON_THE_PHONE

    def may_become(self, other: CloneStatus) -> bool:
        return other in _CLONE_STEPS[self]


_ENDINGS = frozenset({CloneStatus.FAILED, CloneStatus.CANCELED})
# A step may be skipped where its notice can be late or lost: the answer is sometimes heard of before the ringing.
_CLONE_STEPS: Mapping[CloneStatus, frozenset[CloneStatus]] = {
    # Without a call, the recording is there from the start.
    CloneStatus.REQUESTED: frozenset({CloneStatus.CALLING, CloneStatus.RECORDED}) | _ENDINGS,
    CloneStatus.CALLING: frozenset({CloneStatus.RINGING, CloneStatus.ANSWERED}) | _ENDINGS,
    CloneStatus.RINGING: frozenset({CloneStatus.ANSWERED}) | _ENDINGS,
    CloneStatus.ANSWERED: frozenset({CloneStatus.RECORDING}) | _ENDINGS,
    CloneStatus.RECORDING: frozenset({CloneStatus.REVIEWING}) | _ENDINGS,
    CloneStatus.REVIEWING: frozenset({CloneStatus.RECORDING, CloneStatus.RECORDED}) | _ENDINGS,
    CloneStatus.RECORDED: frozenset({CloneStatus.ANALYZING}) | _ENDINGS,
    CloneStatus.ANALYZING: frozenset({CloneStatus.CLONING}) | _ENDINGS,
    CloneStatus.CLONING: frozenset({CloneStatus.READY}) | _ENDINGS,
    CloneStatus.READY: frozenset(),
    CloneStatus.FAILED: frozenset(),
    CloneStatus.CANCELED: frozenset(),
}
_ON_THE_PHONE = frozenset(
    {
        CloneStatus.REQUESTED,
        CloneStatus.CALLING,
        CloneStatus.RINGING,
        CloneStatus.ANSWERED,
        CloneStatus.RECORDING,
        CloneStatus.REVIEWING,
    }
)


class SynthesisStatus(StrEnum):
    QUEUED = "QUEUED"
    SYNTHESIZING = "SYNTHESIZING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def over(self) -> bool:
        return not _SYNTHESIS_STEPS[self]

    def may_become(self, other: SynthesisStatus) -> bool:
        return other in _SYNTHESIS_STEPS[self]


_SYNTHESIS_STEPS: Mapping[SynthesisStatus, frozenset[SynthesisStatus]] = {
    SynthesisStatus.QUEUED: frozenset({SynthesisStatus.SYNTHESIZING, SynthesisStatus.FAILED, SynthesisStatus.CANCELED}),
    SynthesisStatus.SYNTHESIZING: frozenset({SynthesisStatus.DONE, SynthesisStatus.FAILED, SynthesisStatus.CANCELED}),
    SynthesisStatus.DONE: frozenset(),
    SynthesisStatus.FAILED: frozenset(),
    SynthesisStatus.CANCELED: frozenset(),
}


class AudioFormat(StrEnum):
    WAV = "WAV"
    MP3 = "MP3"
    PCM_S16LE_24K = "PCM_S16LE_24K"
    MULAW_8K = "MULAW_8K"
