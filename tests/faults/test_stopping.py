"""The service is stopped as an operator stops it, in the middle of its work: quickly, in order, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from audio.pcm import Pcm
from studio.states import CloneStatus
from telephony.exchange.protocol import Ringing
from tests.faults.caller import Caller
from tests.faults.deployment import Deployment
from tests.faults.front import reached
from tests.faults.outcome import one_voice_was_made
from tests.faults.person import Broken
from tests.faults.test_speech import TEXT

STOPPED_WITHIN = 15.0
"""Seconds, on a machine that does much else: five are left to connections, and somewhat less to what is going on."""


async def test_in_a_call(deployment: Deployment, speech: Pcm) -> None:
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.hears(Ringing)
        await person.until(clone, CloneStatus.RINGING)
        following = asyncio.create_task(person.ending(clone))
        await _stopped(deployment)
        with pytest.raises(Broken):
            await following
        await deployment.service.start()
        await caller.agrees(clone.code)
        await caller.speaks()
        await caller.stops()
        await one_voice_was_made(deployment, person, clone)


async def test_in_a_clone(deployment: Deployment, speech: Pcm) -> None:
    person = await deployment.person()
    deployment.front.cloning.hold()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.tells_the_story(clone.code)
        await reached(deployment.front.cloning)
        await _stopped(deployment)
        deployment.front.cloning.open()
        await deployment.service.start()
        await one_voice_was_made(deployment, person, clone)


async def test_in_a_synthesis(deployment: Deployment) -> None:
    person = await deployment.person()
    front = deployment.front
    front.speaking.hold()
    front.speaking.let(8)
    made = await person.synthesize(await person.built_in_voice(), TEXT)
    heard = await person.hears(made["id"], pieces=8)
    listening = asyncio.create_task(person.listens_to(made["audioUrl"]))
    await reached(front.speaking)
    await _stopped(deployment)
    await asyncio.wait([listening])
    assert listening.exception() is not None, "half of it must not pass for the whole"
    front.speaking.open()
    await deployment.service.start()
    rest = await person.hears(made["id"], after=heard.cursor)
    assert rest.status == "DONE"
    assert heard.samples + rest.samples == await person.listens_to(made["audioUrl"])


async def _stopped(deployment: Deployment) -> None:
    async with asyncio.timeout(STOPPED_WITHIN):
        await deployment.service.terminate()
    assert "Traceback" not in deployment.service.log, deployment.service.log
