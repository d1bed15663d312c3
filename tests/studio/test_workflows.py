"""Processes that come and go: what they leave unfinished is finished."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from math import ceil

import pytest
from sqlmodel import select

from audio.pcm import Pcm
from providers.contract import SpeechOptions, SpeechRequest
from providers.manager import ProviderRegistry
from studio import workflows
from studio.states import AudioFormat, CallPurpose, CallStatus, SynthesisStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Clone, Executor, Synthesis, User
from studio.workflows import DEAD_AFTER_SECONDS
from tests.providers.tone import ToneProvider
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, call_when, clone_when, new_user, speech_over, workflow_over
from tests.studio.troubles import cut_off, somebody_waits


async def executors(studio: Studio) -> list[str]:
    async with studio.database.reading() as session:
        return list((await session.exec(select(Executor.id))).all())


async def test_each_start_has_a_name_of_its_own_and_takes_it_along(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> None:
    seen = []
    for _ in range(2):
        async with open_studio(settings, providers, carrier) as studio:
            assert await executors(studio) == [studio.workflows.executor_id]
            seen.append(studio.workflows.executor_id)
    assert len(set(seen)) == 2


async def test_opening_and_closing_leaves_no_threads_or_tasks(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> None:
    async def once() -> None:
        async with open_studio(settings, providers, carrier) as studio:
            user = await new_user(studio)
            started = await studio.speech.start(user.id, "tone:low", "one", AudioFormat.WAV, SpeechOptions())
            await speech_over(studio, started)

    await once()
    before = threading.active_count()
    for _ in range(3):
        await once()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    # The event loop's own threads come and go.
    assert threading.active_count() <= before + 1, [thread.name for thread in threading.enumerate()]


async def test_what_was_running_when_it_closed_goes_on(
    settings: StudioSettings,
    providers: ProviderRegistry,
    provider: ToneProvider,
    carrier: ScriptedCarrier,
    database_url: str,
) -> None:
    settings = replace(settings, database_url=database_url)
    provider.speaking.hold()
    provider.speaking.let(1)
    async with open_studio(settings, providers, carrier) as studio:
        user = await new_user(studio, "+14155550101", proven=True)
        clone = await studio.clones.start(user.id, "Me")
        call = await call_when(studio, clone, CallStatus.INITIATED)
        synthesis = await studio.speech.start(user.id, "tone:low", "one two", AudioFormat.WAV, SpeechOptions())
        await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    provider.speaking.open()
    assert call.sid is not None
    carrier.statuses[call.sid] = CallStatus.BUSY
    async with open_studio(settings, providers, carrier) as studio:
        done = await speech_over(studio, synthesis)
        assert done.status is SynthesisStatus.DONE
        assert done.seconds == pytest.approx(0.2)
        assert len(await studio.speech.pieces(synthesis.id)) == 2
        assert (await clone_when(studio, clone)).failure_code == "busy"
    assert len(carrier.orders) == 1


async def test_a_row_whose_workflow_was_never_started_is_found(
    studio: Studio, user: User, carrier: ScriptedCarrier
) -> None:
    async with studio.database.transaction() as unit:
        call = await studio.calls.order(unit, user, "+14155550101", CallPurpose.CLONE)
        await unit.flush()
        clone = Clone(user_id=user.id, name="Me", provider="tone", call_id=call.id)
        unit.add(clone)
    await call_when(studio, clone, CallStatus.INITIATED)
    assert [order.call_id for order in carrier.orders] == [call.id]


async def test_who_was_taken_for_dead_starts_over(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late, and then alive again: what nobody else runs goes on, and nothing is doubled."""
    again = asyncio.Event()
    synthesize = provider.synthesize

    def speak(request: SpeechRequest) -> AsyncIterator[Pcm]:
        if provider.spoken:
            again.set()
        return synthesize(request)

    monkeypatch.setattr(provider, "synthesize", speak)
    provider.speaking.hold()
    provider.speaking.let(1)
    synthesis = await studio.speech.start(user.id, "tone:low", "one two", AudioFormat.WAV, SpeechOptions())
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    async with studio.database.transaction() as unit:
        await unit.delete(await unit.get_one(Executor, studio.workflows.executor_id))
    await asyncio.wait_for(again.wait(), PATIENCE)
    provider.speaking.open()
    done = await speech_over(studio, synthesis)
    assert done.status is SynthesisStatus.DONE
    assert done.seconds == pytest.approx(0.2)
    assert await executors(studio) == [studio.workflows.executor_id]


async def test_who_is_dead(rows_only: Studio) -> None:
    here, pid = workflows._here(), os.getpid()
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    parent = os.getppid()
    elsewhere = f"{socket.gethostname()} pid:[1]"  # in another container of this host
    cases = [
        (Executor(id="there", host="another", pid=pid, seen=0), True, False),
        (Executor(id="there, silent", host="another", pid=pid, seen=0), False, True),
        (Executor(id="there, by another clock", host="another", pid=pid, seen=1e12), True, False),
        (Executor(id="here, gone", host=here, pid=gone.pid, seen=0), True, True),
        (Executor(id="here, our predecessor", host=here, pid=pid, seen=0), True, True),
        (Executor(id="here, alive", host=here, pid=parent, seen=0), True, False),
        (Executor(id="here, but its number is somebody else's by now", host=here, pid=parent, seen=0), False, True),
        (Executor(id="in another container", host=elsewhere, pid=pid, seen=0), True, False),
    ]
    everybody = [executor for executor, _, _ in cases]
    at_once = {one.id for one in rows_only.workflows._dead_among(everybody)}
    assert at_once == {"here, gone", "here, our predecessor"}, "the others are listened to first"
    for _ in range(ceil(DEAD_AFTER_SECONDS / workflows.HEARTBEAT_SECONDS)):
        for executor, speaks, _ in cases:
            executor.seen -= 3600.0 if speaks else 0.0  # its clock is turned back each time, but it is heard of
        dead = {one.id for one in rows_only.workflows._dead_among(everybody)}
    assert dead == {executor.id for executor, _, dead in cases if dead}


async def test_many_workflows_are_asked_for_in_parts(
    studio: Studio, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.workflows._MANY", 2)
    ids = []
    for _ in range(3):
        started = await studio.speech.start(user.id, "tone:low", "one", AudioFormat.WAV, SpeechOptions())
        await workflow_over(started.id)
        ids.append(started.id)
    assert not await studio.workflows.unfinished(ids)
    assert not await studio.workflows.unfinished([])


async def test_the_database_may_be_away_for_a_while(
    settings: StudioSettings,
    providers: ProviderRegistry,
    provider: ToneProvider,
    carrier: ScriptedCarrier,
    postgres_url: str,
) -> None:
    """The connection breaks in the middle of a transaction: the step is done again."""
    async with open_studio(replace(settings, database_url=postgres_url), providers, carrier) as studio:
        user = await new_user(studio)
        provider.speaking.hold()
        synthesis = await studio.speech.start(user.id, "tone:low", "one two", AudioFormat.WAV, SpeechOptions())
        await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
        async with studio.database.transaction() as unit:
            await unit.get_one(Synthesis, synthesis.id, with_for_update=True)
            provider.speaking.open()
            await cut_off(postgres_url, *await somebody_waits(postgres_url))
        done = await speech_over(studio, synthesis)
        assert done.status is SynthesisStatus.DONE
        assert done.seconds == pytest.approx(0.2)
        assert len(provider.spoken) == 2


async def test_work_that_begins_while_it_closes_is_not_begun(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> None:
    async with open_studio(settings, providers, carrier) as studio:
        with studio.workflows.running():
            pass
    with pytest.raises(asyncio.CancelledError), studio.workflows.running():
        pass
