"""The service is killed while it speaks, and started again: listeners get every sample, and each once."""

from __future__ import annotations

import asyncio

import httpx

from tests.faults.deployment import Deployment
from tests.faults.front import WITHIN, reached
from tests.faults.holding import workflows_held

TEXT = "a voice that is not there any more goes on with the word after the last one that was heard"
WORDS = len(TEXT.split())


async def test_synthesizing(deployment: Deployment) -> None:
    """Killed before the first word, and again and again, each time a few words further on."""
    person = await deployment.person()
    front = deployment.front
    voice = await person.built_in_voice()
    undisturbed = await person.listens_to((await person.synthesize(voice, TEXT))["audioUrl"])

    front.speaking.hold()
    made = await person.synthesize(voice, TEXT)
    heard, cursor = b"", 0
    for spoken in (0, 8, 13):
        front.speaking.let(spoken)  # the provider begins again with the first
        more = await person.hears(made["id"], after=cursor, pieces=spoken - cursor)
        heard, cursor = heard + more.samples, more.cursor
        listening = asyncio.create_task(person.listens_to(made["audioUrl"]))
        await reached(front.speaking)
        await deployment.service.kill()
        await asyncio.wait([listening])
        assert isinstance(listening.exception(), httpx.TransportError), "a part of it must not pass for the whole"
        front.speaking.hold()
        await deployment.service.start()
    front.speaking.open()

    rest = await person.hears(made["id"], after=cursor)
    assert rest.status == "DONE"
    assert heard + rest.samples == undisturbed
    assert await person.listens_to(made["audioUrl"]) == undisturbed


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
