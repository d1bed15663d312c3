"""A carrier and a provider whose effects are counted, and which can be held or fail before and after each of them."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from providers.contract import Artefact, ClonedVoice, CloneRequest, Gone
from studio.ports import CallOrder, CarrierRecording, RecordingNotThere
from studio.states import CallStatus
from telephony.urls import CallUrls
from tests.providers.tone import ARTEFACT_KIND, Gate, ToneProvider
from tests.telephony.calls import BASE, Heard

CARRIER_POINTS = [
    "before placing",
    "after placing",
    "before asking",
    "before hanging up",
    "after hanging up",
    "before listing",
    "before fetching",
    "before deleting",
    "after deleting",
]
PROVIDER_POINTS = ["before cloning", "after cloning", "before forgetting", "after forgetting"]


class Points:
    """Where work passes, by name: each can be closed, or raise."""

    def __init__(self) -> None:
        self._gates: defaultdict[str, Gate] = defaultdict(Gate)
        self._errors: defaultdict[str, deque[Exception]] = defaultdict(deque)

    def close(self, point: str) -> None:
        self._gates[point].hold()

    def open(self, point: str) -> None:
        self._gates[point].open()

    def fail(self, point: str, error: Exception, times: int) -> None:
        self._errors[point].extend([error] * times)

    def mend(self) -> None:
        """Everything passes from now on."""
        self._errors.clear()
        for gate in self._gates.values():
            gate.open()

    async def passage(self, point: str) -> None:
        await self._gates[point].passage()
        if self._errors[point]:
            raise self._errors[point].popleft()


@dataclass(eq=False)
class Ring:
    """A call as it really is, at the carrier.

    `reports`: the status and recording callbacks that were due so far, in order: an address and its parameters.
    `heard`: the document that the person on the phone listens to, and `at`, the address where it came from.
    """

    order: CallOrder
    sid: str
    status: CallStatus = CallStatus.RINGING
    reports: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    heard: Heard | None = None
    at: str = ""

    @property
    def urls(self) -> CallUrls:
        return CallUrls(BASE, self.order.call_id)

    def become(self, status: CallStatus) -> None:
        if not self.status.may_become(status):
            return
        self.status = status
        self.report(self.urls.status, CallStatus=status.value.lower().replace("_", "-"))

    def report(self, url: str, **form: str) -> None:
        self.reports.append((url, form))


@dataclass
class Kept:
    """A recording at the carrier: not to be had the first `missing` times."""

    call_sid: str
    sound: bytes
    missing: int


class Exchange:
    """Fulfils `studio.ports.Carrier`. `rings`: every call that was placed; `recordings`: what is kept, by its sid."""

    def __init__(self) -> None:
        self.points = Points()
        self.rings: list[Ring] = []
        self.recordings: dict[str, Kept] = {}
        self._numbers = count(1)

    def record(self, ring: Ring, sound: bytes, missing: int) -> str:
        sid = f"RE{next(self._numbers):032x}"
        self.recordings[sid] = Kept(ring.sid, sound, missing)
        return sid

    def new_sid(self) -> str:
        """Of a recording in which nothing was heard."""
        return f"RE{next(self._numbers):032x}"

    async def health(self) -> str | None:
        return None

    async def place_call(self, order: CallOrder) -> str:
        await self.points.passage("before placing")
        await order.permit()
        ring = Ring(order, f"CA{next(self._numbers):032x}")
        ring.report(ring.urls.status, CallStatus="initiated")
        ring.report(ring.urls.status, CallStatus="ringing")
        self.rings.append(ring)
        await self.points.passage("after placing")
        return ring.sid

    async def call_status(self, sid: str) -> CallStatus:
        await self.points.passage("before asking")
        return self._ring(sid).status

    async def hang_up(self, sid: str) -> None:
        await self.points.passage("before hanging up")
        ring = self._ring(sid)
        ring.become(CallStatus.COMPLETED if ring.status is CallStatus.IN_PROGRESS else CallStatus.CANCELED)
        await self.points.passage("after hanging up")

    async def recordings_of(self, sid: str) -> Sequence[CarrierRecording]:
        await self.points.passage("before listing")
        return [CarrierRecording(each, 4.0, True) for each, kept in self.recordings.items() if kept.call_sid == sid]

    async def fetch_recording(self, sid: str) -> bytes:
        await self.points.passage("before fetching")
        kept = self.recordings.get(sid)
        if kept is None:
            raise RecordingNotThere("there is no such recording")
        if kept.missing:
            kept.missing -= 1
            raise RecordingNotThere("not yet")
        return kept.sound

    async def delete_recording(self, sid: str) -> None:
        await self.points.passage("before deleting")
        self.recordings.pop(sid, None)
        await self.points.passage("after deleting")

    def _ring(self, sid: str) -> Ring:
        return next(ring for ring in self.rings if ring.sid == sid)


class VoiceKeeper(ToneProvider):
    """A provider that keeps voices elsewhere. `living`: the labels of its voices, by their ids; `made`: how many voices
    were ever made for a label."""

    def __init__(self) -> None:
        super().__init__()
        self.points = Points()
        self.living: dict[str, str] = {}
        self.made: Counter[str] = Counter()

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        await self.points.passage("before cloning")
        voice_id = next(iter(self._labelled(request.label)), None) if request.tried_before else None
        if voice_id is None:
            await request.permit()
            self.made[request.label] += 1
            voice_id = f"{request.label}-{self.made[request.label]}"
            self.living[voice_id] = request.label
        await self.points.passage("after cloning")
        return ClonedVoice(Artefact(ARTEFACT_KIND, voice_id.encode()))

    async def delete_voice(self, artefact: Artefact) -> None:
        await self.points.passage("before forgetting")
        if self.living.pop(artefact.data.decode(), None) is None:
            raise Gone("there is no such voice")
        await self.points.passage("after forgetting")

    async def discard(self, label: str) -> None:
        await self.points.passage("before forgetting")
        for voice_id in self._labelled(label):
            del self.living[voice_id]
        await self.points.passage("after forgetting")

    def _labelled(self, label: str) -> list[str]:
        return [voice_id for voice_id, its in self.living.items() if its == label]
