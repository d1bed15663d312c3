"""Two processes on one PostgreSQL: each does for the other what it cannot do itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from audio.pcm import Pcm
from tests.faults.caller import Caller
from tests.faults.deployment import deployed
from tests.faults.front import reached
from tests.faults.outcome import one_voice_was_made
from tests.faults.test_speech import TEXT


@pytest.mark.parametrize(("asked", "called_back"), [(0, 1), (1, 0)])
async def test_webhooks_reach_a_workflow_of_the_other(
    exchange: str, tmp_path: Path, postgres_url: str, speech: Pcm, asked: int, called_back: int
) -> None:
    """And subscribers hear of all that the other process does."""
    async with deployed(exchange, tmp_path, postgres_url, replicas=2, webhooks_to=called_back) as deployment:
        there, here = deployment.services[asked], deployment.services[called_back]
        person = await deployment.person(there)
        elsewhere = person.at(here.url)
        async with Caller(exchange, person.phone, speech) as caller:
            clone = await person.start_clone()
            following = asyncio.create_task(elsewhere.ending(clone))
            await caller.tells_the_story(clone.code)
            assert (await following)["status"] == "READY"
            await one_voice_was_made(deployment, person, clone)
        assert {each.pid for each in deployment.front.asked["clone-made"]} == {there.pid}
        assert "webhook.answered" in here.log
        assert "webhook." not in there.log


async def test_a_dead_process_is_replaced_without_a_restart(
    exchange: str, tmp_path: Path, postgres_url: str, speech: Pcm
) -> None:
    async with deployed(exchange, tmp_path, postgres_url, replicas=2, webhooks_to=1) as deployment:
        victim, heir = deployment.services
        front = deployment.front
        person = await deployment.person(victim)
        elsewhere = person.at(heir.url)
        front.cloning.hold()
        front.speaking.hold()
        front.speaking.let(8)
        async with Caller(exchange, person.phone, speech) as caller:
            made = await person.synthesize(await person.built_in_voice(), TEXT)
            heard = await elsewhere.hears(made["id"], pieces=8)
            clone = await person.start_clone()
            following = asyncio.create_task(elsewhere.ending(clone))
            await caller.tells_the_story(clone.code)
            await reached(front.cloning)
            await victim.kill()
            await reached(front.cloning)
            assert [each.pid for each in front.asked["clone-begun"]] == [victim.pid, heir.pid]
            front.cloning.open()
            front.speaking.open()
            assert (await following)["status"] == "READY"
            await one_voice_was_made(deployment, elsewhere, clone)
            rest = await elsewhere.hears(made["id"], after=heard.cursor)
            assert rest.status == "DONE"
            assert heard.samples + rest.samples == await elsewhere.listens_to(made["audioUrl"])
