"""A few webhooks, many times and at once, to two processes that may die over them: each is acted on once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from studio.database import Database
from studio.hub import ChangeHub
from studio.inbox import Inbox
from studio.tables import Executor
from tests.properties.search import real


@dataclass(frozen=True)
class Delivery:
    """Of webhook `key` to process 0 or 1. `pauses`: how often the others come in while it is worked on."""

    key: int
    process: int
    pauses: int
    dies: bool


deliveries = st.lists(
    st.builds(Delivery, st.integers(0, 2), st.integers(0, 1), st.integers(0, 3), st.booleans()), min_size=1, max_size=12
)


class Death(Exception): ...


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, ChangeHub())
    await database.open()
    try:
        yield database
    finally:
        await database.aclose()


async def deliver(inbox: Inbox, story: str, delivery: Delivery) -> tuple[int, str]:
    """Leaves a row that says that it was acted on; its answer is that row's id."""
    key = f"{story}/{delivery.key}"
    async with inbox.receive(story, "answer", key, {}) as webhook:
        if not webhook.repeated:
            row = Executor(id=uuid4().hex, life=key, host=story, pid=delivery.key, seen=0.0)
            webhook.unit.add(row)
            await webhook.unit.flush()
            webhook.answer = row.id
        for _ in range(delivery.pauses):
            await asyncio.sleep(0)
        if delivery.dies:
            raise Death
    assert webhook.answer is not None
    return delivery.key, webhook.answer


async def deliver_all(url: str, story: list[Delivery]) -> None:
    name = uuid4().hex
    async with opened(url) as one, opened(url) as other:
        inboxes = (Inbox(one), Inbox(other))
        results = await asyncio.gather(
            *(deliver(inboxes[delivery.process], name, delivery) for delivery in story), return_exceptions=True
        )
        async with one.reading() as session:
            acted = (await session.exec(select(Executor).where(Executor.host == name))).all()
    answered = [result for result in results if not isinstance(result, BaseException)]
    assert all(isinstance(result, Death) for result in results if isinstance(result, BaseException))
    living = {delivery.key for delivery in story if not delivery.dies}
    assert Counter(row.pid for row in acted) == Counter(living), "each that somebody lived to answer, once"
    assert set(answered) == {(row.pid, row.id) for row in acted}, "all of a webhook's answers are the same"


@given(story=deliveries)
@real
def test_however_often_a_webhook_comes_it_is_acted_on_once(database_url: str, story: list[Delivery]) -> None:
    asyncio.run(deliver_all(database_url, story))
