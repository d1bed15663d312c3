"""A carrier that does what a test tells it to: calls without phones, recordings without mouths, and every trouble."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import count

from studio.ports import CallOrder, CarrierError, CarrierRecording, RecordingNotThere
from studio.states import CallStatus
from tests.providers.tone import Gate


class ScriptedCarrier:
    """Fulfils `studio.ports.Carrier`, in memory.

    Attributes:
        placing, fetching: gates before a call is placed, and before a recording is handed over.
        missing: what `health` answers.
        orders, hung_up, fetched, deleted: what was asked for, in order; whether or not it was then refused.
        statuses: of each call, by its sid; a call that was hung up is COMPLETED.
        recordings: what can be fetched, by its sid.
        listed: the sids of the recordings of each call, by its sid.
    """

    def __init__(self) -> None:
        self.placing = Gate()
        self.fetching = Gate()
        self.missing: str | None = None
        self.orders: list[CallOrder] = []
        self.hung_up: list[str] = []
        self.fetched: list[str] = []
        self.deleted: list[str] = []
        self.statuses: defaultdict[str, CallStatus] = defaultdict(lambda: CallStatus.RINGING)
        self.recordings: dict[str, bytes] = {}
        self.listed: defaultdict[str, list[str]] = defaultdict(list)
        self._late: defaultdict[str, list[str]] = defaultdict(list)
        self._errors: defaultdict[str, deque[CarrierError]] = defaultdict(deque)
        self._always: dict[str, CarrierError] = {}
        self._numbers = count(1)

    def fail(self, method: str, error: CarrierError, times: int | None = None) -> None:
        """Let a method raise `error`, so many times or from now on."""
        if times is None:
            self._always[method] = error
        else:
            self._errors[method].extend([error] * times)

    def mend(self, method: str) -> None:
        self._always.pop(method, None)
        self._errors.pop(method, None)

    def record(self, call_sid: str, sound: bytes | None, late: bool = False) -> str:
        """A new recording's sid. Without `sound` it cannot be fetched; if `late`, it is listed only from the second
        time that anybody asks."""
        sid = f"RE{next(self._numbers):032x}"
        if sound is not None:
            self.recordings[sid] = sound
        (self._late if late else self.listed)[call_sid].append(sid)
        return sid

    async def health(self) -> str | None:
        return self.missing

    async def place_call(self, order: CallOrder) -> str:
        self.orders.append(order)
        await self.placing.passage()
        await order.permit()
        self._fail_if_told("place_call")
        return f"CA{next(self._numbers):032x}"

    async def call_status(self, sid: str) -> CallStatus:
        self._fail_if_told("call_status")
        return self.statuses[sid]

    async def hang_up(self, sid: str) -> None:
        self.hung_up.append(sid)
        self._fail_if_told("hang_up")
        self.statuses[sid] = CallStatus.COMPLETED

    async def recordings_of(self, sid: str) -> Sequence[CarrierRecording]:
        self._fail_if_told("recordings_of")
        found = [CarrierRecording(each, 1.0, each in self.recordings) for each in self.listed[sid]]
        self.listed[sid] += self._late.pop(sid, [])
        return found

    async def fetch_recording(self, sid: str) -> bytes:
        self.fetched.append(sid)
        await self.fetching.passage()
        self._fail_if_told("fetch_recording")
        if sid not in self.recordings:
            raise RecordingNotThere("there is no such recording")
        return self.recordings[sid]

    async def delete_recording(self, sid: str) -> None:
        self.deleted.append(sid)
        self._fail_if_told("delete_recording")
        self.recordings.pop(sid, None)
        for sids in self.listed.values():
            if sid in sids:
                sids.remove(sid)

    def _fail_if_told(self, method: str) -> None:
        if self._errors[method]:
            raise self._errors[method].popleft()
        if method in self._always:
            raise self._always[method]
