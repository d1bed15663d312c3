"""Two processes behind a load balancer, on one database: a webhook that one of them did not see through is delivered
again, with the same token, and lands at the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.database import Unit
from studio.states import CloneStatus
from studio.studio import StudioSettings
from studio.tables import Consent, ReceivedWebhook
from tests.telephony.calls import ONE, CallUnderTest, Front, Heard, front_of, telephony_settings

TOKEN_HEADER = "I-Twilio-Idempotency-Token"


class Replica:
    """Stands before the application of one process, and cuts off what it answers when told to."""

    def __init__(self) -> None:
        self.mute = False
        self.requests: set[asyncio.Task[None]] = set()

    def __call__(self, app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            task = asyncio.current_task()
            assert task is not None
            self.requests.add(task)

            async def cut(message: Message) -> None:
                if self.mute:
                    raise ConnectionError("the process is gone")
                await send(message)

            try:
                await app(scope, receive, cut)
            finally:
                self.requests.discard(task)

        return wrapped

    def die(self) -> None:
        """With what it is doing."""
        for request in self.requests:
            request.cancel()


@dataclass
class Pair:
    a: Front
    b: Front
    at_a: Replica

    async def call(self) -> tuple[CallUnderTest, CallUnderTest]:
        """One call, at the door of either."""
        first = await self.a.place()
        return first, CallUnderTest(self.b.studio, self.b.client, first.call_id, first.clone_id, first.sid)


@pytest.fixture
async def pair(tmp_path: Path, postgres_url: str) -> AsyncIterator[Pair]:
    chosen = StudioSettings(tmp_path, postgres_url)
    at_a = Replica()
    async with front_of(chosen, telephony_settings(), at_a) as a, front_of(chosen, telephony_settings()) as b:
        yield Pair(a, b, at_a)


async def refused(sending: asyncio.Task[httpx.Response]) -> bool:
    """Whether Twilio would try again: no answer, or a 5xx."""
    try:
        return (await sending).status_code >= 500
    except httpx.TransportError:
        return True


async def test_a_delivery_that_died_uncommitted_is_acted_on_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    at_a, at_b = await pair.call()
    asked = await at_a.answer()
    acted, for_ever = asyncio.Event(), asyncio.Event()
    consent = at_a.studio.desk.consent

    async def and_hangs(unit: Unit, *arguments: object) -> None:
        await consent(unit, *arguments)  # type: ignore[arg-type]
        await unit.flush()
        acted.set()
        await for_ever.wait()

    monkeypatch.setattr(at_a.studio.desk, "consent", and_hangs)
    delivery = {TOKEN_HEADER: "one-token"}
    at_first = asyncio.create_task(at_a.send(asked.gather, {"Digits": "1"}, delivery))
    await acted.wait()
    # It is delivered again while the first one is still in the database, uncommitted.
    again = asyncio.create_task(at_b.send(asked.gather, {"Digits": "1"}, delivery))
    pair.at_a.die()
    assert await refused(at_first)

    recording = Heard(await again)
    assert recording.verbs == ["Say", "Record", "Redirect"]
    assert len(await at_b.rows(Consent)) == 1
    assert [row.kind for row in await at_b.rows(ReceivedWebhook)] == ["answer", "consent"]
    assert "One moment" in (await at_b.speak(recording, ONE)).words


@pytest.mark.parametrize("headers", [{TOKEN_HEADER: "one-token"}, {TOKEN_HEADER: "another"}, {}])
async def test_a_delivery_whose_answer_was_lost_gets_the_same_answer(pair: Pair, headers: dict[str, str]) -> None:
    at_a, at_b = await pair.call()
    asked = await at_a.answer()
    pair.at_a.mute = True
    form = {"Digits": "1"}
    assert await refused(asyncio.create_task(at_a.send(asked.gather, form, {TOKEN_HEADER: "one-token"})))
    assert (await at_b.clone()).status is CloneStatus.RECORDING  # it was committed

    recording = Heard(await at_b.send(asked.gather, form, headers))
    pair.at_a.mute = False
    assert recording.text == Heard(await at_a.send(asked.gather, form, headers)).text
    assert len(await at_b.rows(Consent)) == 1
    assert "One moment" in (await at_b.speak(recording, ONE)).words


async def test_a_report_that_reaches_both_is_one(pair: Pair) -> None:
    at_a, at_b = await pair.call()
    recording = await at_a.agree()
    answers = await asyncio.gather(*(each.report_recording(ONE) for each in (at_a, at_b) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {204}
    await at_b.speak(recording, ONE)
    assert [take.sid for take in await at_a.takes()] == [ONE]


async def test_when_one_is_gone_the_other_takes_the_fallback(pair: Pair) -> None:
    at_a, at_b = await pair.call()
    asked = await at_a.answer()
    pair.at_a.mute = True
    assert await refused(asyncio.create_task(at_a.send(asked.gather, {"Digits": "1"})))
    assert (await at_b.fail_over(asked.gather)).verbs == ["Say", "Record", "Redirect"]
