"""Calls that wait at the carrier, which dials one a second: they are neither given up nor placed again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from studio.calling import CallTimes
from studio.mistakes import FailureCode
from studio.states import CallStatus, CloneStatus
from studio.studio import Studio
from studio.tables import Call, Clone, User, now
from tests.studio.caller import Caller, ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, clone_when
from tests.studio.sounds import spoken

QUEUE, RING, LIMIT = CallTimes.queue, CallTimes.ring, CallTimes.limit


async def put_back(studio: Studio, caller: Caller, clone: Clone, placed: float, answered: float | None) -> None:
    """As if it had been placed, and answered, so many seconds ago."""
    async with studio.database.transaction() as unit:
        call = await unit.get_one(Call, caller.call_id)
        call.placing_at = now() - timedelta(seconds=placed)
        if answered is not None:
            call.status, call.started_at = CallStatus.IN_PROGRESS, now() - timedelta(seconds=answered)
        unit.touch(f"clone:{clone.id}")


@pytest.mark.parametrize(("placed", "answered"), [(QUEUE, None), (QUEUE + RING, 0), (QUEUE + RING + LIMIT, LIMIT - 10)])
async def test_a_queued_call_is_waited_for(
    studio: Studio,
    carrier: ScriptedCarrier,
    user: User,
    placed: float,
    answered: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clone, caller = await ring(studio, carrier, user)
    carrier.statuses[caller.sid] = CallStatus.QUEUED if answered is None else CallStatus.IN_PROGRESS
    await put_back(studio, caller, clone, placed, answered)
    asked, ask = asyncio.Semaphore(0), carrier.call_status

    async def noted(sid: str) -> CallStatus:
        asked.release()
        return await ask(sid)

    monkeypatch.setattr(carrier, "call_status", noted)
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):  # it was looked at in between, and the carrier asked again
            await asked.acquire()
    await caller.keep(spoken())
    assert (await clone_when(studio, clone, CloneStatus.READY)).voice_id
    assert len(carrier.orders) == 1


@pytest.mark.parametrize(("placed", "answered"), [(QUEUE + RING + 1, None), (QUEUE, LIMIT + 1)])
async def test_it_is_not_waited_for_for_ever(
    studio: Studio, carrier: ScriptedCarrier, user: User, placed: float, answered: float | None
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await put_back(studio, caller, clone, placed, answered)
    assert (await clone_when(studio, clone, CloneStatus.FAILED)).failure_code == FailureCode.CALL_LOST
    assert len(carrier.orders) == 1
