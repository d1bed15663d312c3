"""The service is killed while a voice is made of a recording, and just afterwards; and started again."""

from __future__ import annotations

import asyncio

import pytest

from audio.pcm import Pcm
from studio.states import CloneStatus
from tests.faults.caller import Caller
from tests.faults.deployment import Deployment
from tests.faults.front import reached
from tests.faults.outcome import one_voice_was_made


@pytest.mark.parametrize("status", [CloneStatus.RECORDED, CloneStatus.ANALYZING])
async def test_as_soon_as_it_is(deployment: Deployment, speech: Pcm, status: CloneStatus) -> None:
    """These states are short: the blow may fall a little later, which must make no difference."""
    person = await deployment.person()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        telling = asyncio.create_task(caller.tells_the_story(clone.code))
        await person.until(clone, status)
        await deployment.kill_and_restart()
        await one_voice_was_made(deployment, person, clone)
        await telling


async def test_cloning(deployment: Deployment, speech: Pcm) -> None:
    person = await deployment.person()
    front = deployment.front
    front.cloning.hold()
    async with Caller(front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.tells_the_story(clone.code)
        await reached(front.cloning)
        assert (await person.until(clone, CloneStatus.CLONING))["status"] == "CLONING"
        await deployment.kill_and_restart()
        await reached(front.cloning)
        # The provider is asked again, for a voice of the same label: by it, one that it has made is found.
        first, second = front.asked["clone-begun"]
        assert first.about == second.about
        assert first.pid != second.pid
        front.cloning.open()
        await one_voice_was_made(deployment, person, clone)


async def test_ready(deployment: Deployment, speech: Pcm) -> None:
    """What is left to do: the carrier's copy has to go."""
    person = await deployment.person()
    deployment.front.deleting.hold()
    async with Caller(deployment.front.exchange, person.phone, speech) as caller:
        clone = await person.start_clone()
        await caller.tells_the_story(clone.code)
        await person.until(clone, CloneStatus.READY)
        await reached(deployment.front.deleting)
        await deployment.service.kill()
        deployment.front.deleting.open()
        await deployment.service.start()
        await one_voice_was_made(deployment, person, clone)
        assert len(deployment.front.asked["clone-begun"]) == 1
