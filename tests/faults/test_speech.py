"""The service is killed while it speaks, and started again: listeners get every sample, and each once."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.faults.deployment import Deployment
from tests.faults.front import WITHIN, reached
from tests.faults.holding import workflows_held

TEXT = "a voice that is not there any more goes on with the word after the last one that was heard"
WORDS = len(TEXT.split())


@pytest.mark.parametrize("spoken", [0, 8])
async def test_synthesizing(deployment: Deployment, spoken: int) -> None:
    person = await deployment.person()
    voice = await person.built_in_voice()
    undisturbed = await person.listens_to((await person.synthesize(voice, TEXT))["audioUrl"])

    front = deployment.front
    front.asked["word"].clear()
    front.speaking.hold()
    front.speaking.let(spoken)
    made = await person.synthesize(voice, TEXT)
    heard = await person.hears(made["id"], pieces=spoken)
    listening = asyncio.create_task(person.listens_to(made["audioUrl"]))
    await reached(front.speaking)
    await deployment.service.kill()
    await asyncio.wait([listening])
    assert isinstance(listening.exception(), httpx.TransportError), "half of it must not pass for the whole"
    front.speaking.open()
    await deployment.service.start()

    rest = await person.hears(made["id"], after=heard.cursor)
    assert rest.status == "DONE"
    assert heard.samples + rest.samples == undisturbed
    assert await person.listens_to(made["audioUrl"]) == undisturbed
    assert len(front.asked["word"]) == spoken + WORDS


async def test_queued(deployment: Deployment) -> None:
    """What is to be spoken is stored, its workflow is not: the process died between the two."""
    person = await deployment.person()
    voice = await person.built_in_voice()
    with workflows_held(deployment.service.plan.database_url):
        asking = asyncio.create_task(person.synthesize(voice, TEXT))
        async with asyncio.timeout(WITHIN):
            while not (syntheses := await person.syntheses()):
                assert not asking.done()
        await deployment.service.kill()
        await asyncio.wait([asking])
    assert asking.exception() is not None
    [synthesis] = syntheses
    assert synthesis["status"] == "QUEUED"
    await deployment.service.start()
    assert (await person.hears(synthesis["id"])).status == "DONE"
    assert len(deployment.front.asked["word"]) == WORDS
