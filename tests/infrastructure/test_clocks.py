"""A time of day that jumps: nothing that is under way begins, ends or changes hands by it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from sqlmodel import select

from providers.contract import SpeechOptions
from studio import tables
from studio.accounts import SESSION_DAYS
from studio.desk import Choose
from studio.states import AudioFormat, CloneStatus, SynthesisStatus
from studio.studio import Studio
from studio.tables import Executor, User
from tests.providers.tone import ToneProvider
from tests.studio.caller import ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, clone_when, speech_over
from tests.studio.sounds import spoken


class Clock:
    """The time of day of this process, DBOS's too."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._seconds = time.time

    def jump(self, hours: float) -> None:
        self._ahead += timedelta(hours=hours)

    def seconds(self) -> float:
        return self._seconds() + self._ahead.total_seconds()

    def now(self, zone: tzinfo | None = None) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC).astimezone(zone)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock.seconds)
    monkeypatch.setattr(tables, "datetime", clock)
    return clock


both_ways = pytest.mark.parametrize("hours", [5.0, -5.0])


@both_ways
async def test_a_call_goes_on(studio: Studio, user: User, carrier: ScriptedCarrier, clock: Clock, hours: float) -> None:
    clone, caller = await ring(studio, carrier, user)
    clock.jump(hours)
    await caller.agree()
    clock.jump(hours)
    await caller.speak(spoken(), ready=False)  # the carrier's word that it is there is lost
    assert isinstance(await caller.listened(), Choose), "it is fetched when it is late, by a clock that does not jump"
    clock.jump(hours)
    await caller.choose("1")
    clock.jump(hours)
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.READY)
    assert len(carrier.orders) == 1
    row = await caller.row()
    assert row.failure_code is None
    assert row.seconds is not None
    assert row.seconds >= 0


@both_ways
async def test_a_process_is_not_taken_for_dead_and_keeps_its_work(
    studio: Studio, user: User, provider: ToneProvider, clock: Clock, hours: float
) -> None:
    async def executor() -> Executor:
        async with studio.database.reading() as session:
            return (await session.exec(select(Executor))).one()

    provider.speaking.hold()
    synthesis = await studio.speech.start(user.id, "tone:low", "one", AudioFormat.WAV, SpeechOptions())
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    before = await executor()
    clock.jump(hours)
    async with asyncio.timeout(PATIENCE):
        while abs((await executor()).seen - before.seen) < 3600:  # noqa: ASYNC110  (nobody tells of a heartbeat)
            await asyncio.sleep(0.02)
    assert (await executor()).life == before.life
    assert studio.workflows.alive
    provider.speaking.open()
    done = await speech_over(studio, synthesis)
    assert done.status is SynthesisStatus.DONE
    assert len(provider.spoken) == 1
    assert done.first_audio_ms is not None
    assert done.first_audio_ms >= 0


async def test_what_the_time_of_day_decides(studio: Studio, user: User, clock: Clock) -> None:
    """Sessions end by the date. A clock that is set right again makes them valid again."""
    secret = await studio.accounts.open_session(user.id)
    clock.jump(-5)
    assert await studio.accounts.user_of_session(secret) is not None
    clock.jump(24 * SESSION_DAYS + 6)
    assert await studio.accounts.user_of_session(secret) is None
    clock.jump(-24 * SESSION_DAYS)
    assert await studio.accounts.user_of_session(secret) is not None
