"""Calls that wait at the carrier, which dials one a second: they are neither given up nor placed again."""

from __future__ import annotations

import asyncio
import time

import pytest

from studio.calling import CallTimes
from studio.mistakes import FailureCode
from studio.states import CallStatus, CloneStatus
from studio.studio import Studio
from studio.tables import User
from tests.studio.caller import Caller, ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, clone_when
from tests.studio.sounds import spoken

QUEUE, RING, LIMIT = CallTimes.queue, CallTimes.ring, CallTimes.limit


class Clock:
    """A monotonic clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


class Waiting:
    """A call of which nothing is heard, but what the carrier says when it is asked."""

    def __init__(self, carrier: ScriptedCarrier, monkeypatch: pytest.MonkeyPatch) -> None:
        self._carrier = carrier
        self._clock = Clock()
        self._asked, self._ask = asyncio.Semaphore(0), carrier.call_status
        monkeypatch.setattr("studio.calling.time", self._clock)
        monkeypatch.setattr(carrier, "call_status", self._noted)

    async def _noted(self, sid: str) -> CallStatus:
        self._asked.release()
        return await self._ask(sid)

    async def looked_at(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE):
            for _ in range(times):
                await self._asked.acquire()

    async def goes_by(self, caller: Caller, queued: float, answered: float | None) -> None:
        """So many seconds before it was answered, and after."""
        await self.looked_at(1)
        self._clock.ahead += queued
        if answered is not None:
            self._carrier.statuses[caller.sid] = CallStatus.IN_PROGRESS
            await self.looked_at(2)
            self._clock.ahead += answered


@pytest.fixture
def waiting(carrier: ScriptedCarrier, monkeypatch: pytest.MonkeyPatch) -> Waiting:
    carrier.statuses.default_factory = lambda: CallStatus.QUEUED
    return Waiting(carrier, monkeypatch)


@pytest.mark.parametrize(("queued", "answered"), [(QUEUE, None), (QUEUE + RING - 10, 0), (QUEUE, LIMIT - 10)])
async def test_a_queued_call_is_waited_for(
    studio: Studio, carrier: ScriptedCarrier, user: User, waiting: Waiting, queued: float, answered: float | None
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await waiting.goes_by(caller, queued, answered)
    await waiting.looked_at(3)
    await caller.keep(spoken())
    assert (await clone_when(studio, clone, CloneStatus.READY)).voice_id
    assert len(carrier.orders) == 1


@pytest.mark.parametrize(("queued", "answered"), [(QUEUE + RING + 1, None), (QUEUE, LIMIT + 1)])
async def test_it_is_not_waited_for_for_ever(
    studio: Studio, carrier: ScriptedCarrier, user: User, waiting: Waiting, queued: float, answered: float | None
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await waiting.goes_by(caller, queued, answered)
    assert (await clone_when(studio, clone, CloneStatus.FAILED)).failure_code == FailureCode.CALL_LOST
    assert len(carrier.orders) == 1
