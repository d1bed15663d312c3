"""Webhooks that come twice, at once, or while the process dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlmodel import select

from studio.database import Database
from studio.hub import ChangeHub
from studio.inbox import Inbox
from studio.tables import Executor, ReceivedWebhook
from tests.providers.tone import Gate


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, ChangeHub())
    await database.open()
    async with database.transaction() as unit:
        unit.add(Executor(id="counter", host="here", pid=0, seen=0.0))
    yield database
    await database.aclose()


async def act(inbox: Inbox, key: str, gate: Gate | None = None) -> tuple[bool, str | None]:
    """Count this delivery, unless it is a repeated one."""
    async with inbox.receive("call", "answer", key, {"Digits": "1"}) as webhook:
        if not webhook.repeated:
            row = await webhook.unit.get_one(Executor, "counter", with_for_update=True)
            row.pid += 1
            webhook.answer = f"answer {row.pid}"
            if gate is not None:
                await gate.passage()
    return webhook.repeated, webhook.answer


async def counted(database: Database) -> int:
    async with database.reading() as session:
        return (await session.get_one(Executor, "counter")).pid


async def test_a_repeated_delivery_gets_the_first_ones_answer(database: Database) -> None:
    inbox = Inbox(database)
    assert await act(inbox, "1") == (False, "answer 1")
    assert await act(inbox, "1") == (True, "answer 1")
    assert await act(inbox, "2") == (False, "answer 2")
    assert await counted(database) == 2
    async with database.reading() as session:
        stored = await session.get_one(ReceivedWebhook, "1")
    assert (stored.call_id, stored.kind, stored.parameters) == ("call", "answer", {"Digits": "1"})


async def test_of_simultaneous_deliveries_one_acts_and_the_others_get_its_answer(
    database: Database, database_url: str
) -> None:
    """To two processes, the first of which is slow."""
    other = Database(database_url, ChangeHub())
    await other.open()
    gate = Gate()
    gate.hold()
    deliveries = [
        asyncio.create_task(act(Inbox(through), "1", gate)) for through in (database, other) for _ in range(3)
    ]
    await asyncio.wait_for(gate.reached(), 30)
    assert not any(task.done() for task in deliveries)
    gate.open()
    results = await asyncio.wait_for(asyncio.gather(*deliveries), 30)
    assert sorted(repeated for repeated, _ in results) == [False] + [True] * 5
    assert {answer for _, answer in results} == {"answer 1"}
    assert await counted(database) == 1
    await other.aclose()


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
async def test_what_dies_before_the_commit_was_never_received(database: Database, error: type[BaseException]) -> None:
    inbox = Inbox(database)

    async def die() -> None:
        async with inbox.receive("call", "answer", "1", {}) as webhook:
            row = await webhook.unit.get_one(Executor, "counter", with_for_update=True)
            row.pid += 1
            await webhook.unit.flush()
            raise error

    with pytest.raises(error):
        await die()
    assert await counted(database) == 0
    async with database.reading() as session:
        assert (await session.exec(select(ReceivedWebhook))).all() == []
    assert await act(inbox, "1") == (False, "answer 1")
