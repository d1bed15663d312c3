"""The service is killed while a call is placed, rings, or goes on; and started again, sooner or later."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from audio.pcm import Pcm
from studio.states import CloneStatus
from telephony.exchange.protocol import Ended, Recording, Ringing, RingingStopped
from tests.faults.caller import Caller
from tests.faults.deployment import TIMES, Deployment, deployed
from tests.faults.front import WITHIN, reached
from tests.faults.holding import workflows_held
from tests.faults.outcome import it_was_told_in_words, one_voice_was_made

SOON = replace(TIMES, uncertain=1.0)
"""For calls of which nothing will be heard any more."""


async def test_requested(deployment: Deployment, speech: Pcm) -> None:
    """The clone is stored, its workflow is not: the process died between the two."""
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        with workflows_held(deployment.service.plan.database_url):
            asking = asyncio.create_task(person.start_clone())
            async with asyncio.timeout(WITHIN):
                while not (clones := await person.clones()):
                    assert not asking.done()
            await deployment.service.kill()
            await asyncio.wait([asking])
        assert asking.exception() is not None
        [clone] = clones
        await deployment.service.start()
        await caller.tells_the_story(clone.code)
        await one_voice_was_made(deployment, person, clone)


async def test_calling_before_the_carrier_has_heard_of_it(
    exchange: str, tmp_path: Path, database_url: str, speech: Pcm
) -> None:
    async with deployed(exchange, tmp_path, database_url, SOON) as deployment:
        person = await deployment.person()
        async with Caller(exchange, person.phone, speech):
            deployment.front.placing.hold()
            clone = await person.start_clone()
            await reached(deployment.front.placing)
            assert (await person.until(clone, CloneStatus.CALLING))["status"] == "CALLING"
            await deployment.service.kill()
            deployment.front.placing.open()
            await deployment.service.start()
            await it_was_told_in_words(deployment, person, clone, "call_uncertain", rings=0)


async def test_calling_when_the_carrier_has_placed_it(slow_deployment: Deployment, speech: Pcm) -> None:
    """The phone rings, and nobody knows of which call: its first webhook tells."""
    deployment = slow_deployment
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        deployment.front.placed.hold()
        clone = await person.start_clone()
        await reached(deployment.front.placed)
        await deployment.service.kill()
        await caller.hears(Ringing)
        await deployment.service.start()
        await caller.agrees(clone.code)
        await caller.speaks()
        await caller.stops()
        await one_voice_was_made(deployment, person, clone)


async def test_calling_when_nobody_is_there_for_the_answer(
    slow_exchange: str, tmp_path: Path, database_url: str, speech: Pcm
) -> None:
    async with deployed(slow_exchange, tmp_path, database_url, SOON) as deployment:
        person = await deployment.person()
        async with Caller(slow_exchange, person.phone, speech) as caller:
            deployment.front.placed.hold()
            clone = await person.start_clone()
            await reached(deployment.front.placed)
            await deployment.service.kill()
            await caller.hears(Ringing)
            await caller.answers_in_vain()
            await deployment.service.start()
            await it_was_told_in_words(deployment, person, clone, "call_uncertain")


async def test_ringing(deployment: Deployment, speech: Pcm) -> None:
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await person.until(clone, CloneStatus.RINGING)
        await deployment.kill_and_restart()
        await caller.agrees(clone.code)
        await caller.speaks()
        await caller.stops()
        await one_voice_was_made(deployment, person, clone)


async def test_ringing_when_nobody_is_there_for_the_answer(deployment: Deployment, speech: Pcm) -> None:
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await person.until(clone, CloneStatus.RINGING)
        await deployment.service.kill()
        await caller.answers_in_vain()
        await deployment.service.start()
        await it_was_told_in_words(deployment, person, clone, "call_lost")


async def test_ringing_when_it_was_canceled(deployment: Deployment, speech: Pcm) -> None:
    """The phone still rings: it has to stop, though the process that was told so is dead."""
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        deployment.front.ending.hold()
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await person.until(clone, CloneStatus.RINGING)
        await person.cancel_clone(clone)
        await reached(deployment.front.ending)
        await deployment.service.kill()
        deployment.front.ending.open()
        await deployment.service.start()
        assert (await caller.hears(RingingStopped)).status == "canceled"
        assert (await person.ending(clone))["status"] == "CANCELED"


async def test_answered(slow_deployment: Deployment, speech: Pcm) -> None:
    """Back before the question has been asked to its end."""
    deployment = slow_deployment
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await caller.picks_up()
        await person.until(clone, CloneStatus.ANSWERED)
        await deployment.kill_and_restart()
        await caller.presses(clone.code)
        await caller.hears(Recording)
        await caller.speaks()
        await caller.stops()
        await one_voice_was_made(deployment, person, clone)


async def test_answered_when_nobody_is_there_for_the_key(deployment: Deployment, speech: Pcm) -> None:
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await caller.picks_up()
        await person.until(clone, CloneStatus.ANSWERED)
        await deployment.service.kill()
        await caller.presses(clone.code)
        await caller.hears_it_break_off()
        await deployment.service.start()
        await it_was_told_in_words(deployment, person, clone, "hung_up_early")


async def test_recording(slow_deployment: Deployment, speech: Pcm) -> None:
    """Back while the caller still speaks."""
    deployment = slow_deployment
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await caller.agrees(clone.code)
        await person.until(clone, CloneStatus.RECORDING)
        restarting = asyncio.create_task(deployment.kill_and_restart())
        await caller.speaks()
        while not restarting.done():
            assert await caller.speaks(), "the recording should go on"
        await restarting
        await caller.stops()
        await one_voice_was_made(deployment, person, clone)


async def test_recording_when_nobody_is_there_for_its_end(deployment: Deployment, speech: Pcm) -> None:
    """The call breaks off, but there is a recording, and the caller had agreed."""
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await caller.agrees(clone.code)
        await person.until(clone, CloneStatus.RECORDING)
        await deployment.service.kill()
        await caller.speaks()
        await caller.presses("1")
        await caller.hears_it_break_off()
        await deployment.service.start()
        await one_voice_was_made(deployment, person, clone)


async def test_recording_when_nothing_was_said(deployment: Deployment, speech: Pcm) -> None:
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await caller.agrees(clone.code)
        await person.until(clone, CloneStatus.RECORDING)
        await deployment.service.kill()
        await caller.hangs_up()
        await caller.hears(Ended)
        await deployment.service.start()
        await it_was_told_in_words(deployment, person, clone, "hung_up_early")


async def test_reviewing(deployment: Deployment, speech: Pcm) -> None:
    """The recording is being fetched. The call breaks off; who says nothing at all keeps what was recorded."""
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        deployment.front.fetching.hold()
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await caller.agrees(clone.code)
        await caller.speaks()
        await caller.presses("1")
        await reached(deployment.front.fetching)
        assert (await person.until(clone, CloneStatus.REVIEWING))["status"] == "REVIEWING"
        await deployment.service.kill()
        await caller.hears(Ended)
        deployment.front.fetching.open()
        await deployment.service.start()
        await one_voice_was_made(deployment, person, clone)
        assert deployment.front.recordings_fetched == 1
