"""How a clone has to end, whatever happened to the service: asked of the service, the exchange and the provider."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.faults.deployment import ACCOUNT, TOKEN, Deployment
from tests.faults.front import WITHIN
from tests.faults.person import Person, Started


async def one_voice_was_made(deployment: Deployment, person: Person, clone: Started) -> None:
    """The phone rang once, there is one voice, and the carrier keeps nothing. `person` may have connected anew."""
    seen = await person.ending(clone)
    assert (seen["status"], seen["failure"]) == ("READY", None), (seen, deployment.service.log)
    [voice] = await person.voices()
    assert (voice["id"], voice["clone"]["id"]) == (seen["voice"]["id"], clone.id)
    assert len(deployment.front.asked["clone-made"]) == 1
    assert await _times_it_rang(deployment, person) == 1
    await _nothing_is_left_at_the_carrier(deployment, person)


async def it_was_told_in_words(
    deployment: Deployment, person: Person, clone: Started, code: str, rings: int = 1
) -> None:
    """The clone failed for a reason that a person understands, and nothing was made or left behind."""
    seen = await person.ending(clone)
    assert seen["status"] == "FAILED", (seen, deployment.service.log)
    failure = seen["failure"]
    assert failure["code"] == code, failure
    assert failure["message"].endswith((".", "!")), failure
    assert len(failure["message"].split()) > 5, failure
    assert failure["retryable"], failure
    assert await person.voices() == []
    assert deployment.front.asked["clone-begun"] == []
    assert await _times_it_rang(deployment, person) == rings
    await _nothing_is_left_at_the_carrier(deployment, person)


async def calls_at(exchange: str, phone: str) -> list[Any]:
    """The calls to a phone, as the carrier lists them."""
    return list((await _ask(exchange, "Calls.json", To=phone))["calls"])


async def recordings_at(exchange: str, call: str) -> list[Any]:
    """Those with sound: one in which nothing was heard is listed as absent."""
    found = await _ask(exchange, "Recordings.json", CallSid=call)
    return [recording for recording in found["recordings"] if recording["status"] != "absent"]


async def _times_it_rang(deployment: Deployment, person: Person) -> int:
    return len(await calls_at(deployment.front.exchange, person.phone))


async def _nothing_is_left_at_the_carrier(deployment: Deployment, person: Person) -> None:
    """No recording, once the workflow has come to its end."""
    exchange = deployment.front.exchange
    for call in await calls_at(exchange, person.phone):
        async with asyncio.timeout(WITHIN):
            while await recordings_at(exchange, call["sid"]):  # noqa: ASYNC110  (others do that)
                await asyncio.sleep(0.05)


async def _ask(exchange: str, path: str, **query: str) -> Any:
    async with httpx.AsyncClient(auth=(ACCOUNT, TOKEN), trust_env=False, timeout=WITHIN) as client:
        answer = await client.get(f"{exchange}/2010-04-01/Accounts/{ACCOUNT}/{path}", params=query)
        answer.raise_for_status()
        return answer.json()
