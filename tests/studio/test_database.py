"""Both databases: nothing is lost, nobody waits needlessly, and changes are announced once they are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import col, func, select

from studio.database import Database
from studio.database import database_url as url_of
from studio.hub import ChangeHub
from studio.tables import Executor, Session, User, now
from tests.studio.people import PATIENCE


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, ChangeHub())
    await database.open()
    if not database.sqlite:
        with database.hub.watch("") as watch:  # its listener is connected once it has woken everybody
            assert await watch.changed(PATIENCE)
    yield database
    await database.aclose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as one:
        yield one


async def add_counter(database: Database) -> None:
    async with database.transaction() as unit:
        unit.add(Executor(id="counter", host="here", pid=0, seen=0.0))


async def test_no_update_is_lost(database: Database, database_url: str) -> None:
    """Two processes that each read, think, and write."""
    await add_counter(database)
    async with opened(database_url) as other:

        async def count(through: Database) -> None:
            for _ in range(5):
                async with through.transaction() as unit:
                    row = await unit.get_one(Executor, "counter", with_for_update=True)
                    before = row.pid
                    await asyncio.sleep(0)
                    row.pid = before + 1

        await asyncio.gather(*(count(one) for one in (database, other) for _ in range(4)))
    async with database.reading() as session:
        assert (await session.get_one(Executor, "counter")).pid == 40


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    await add_counter(database)
    async with database.transaction() as unit:
        row = await unit.get_one(Executor, "counter", with_for_update=True)
        row.pid = 1
        await unit.flush()
        async with asyncio.timeout(5), database.reading() as session:
            assert (await session.get_one(Executor, "counter")).pid == 0


async def test_changes_are_announced_once_they_can_be_read(database: Database) -> None:
    with database.hub.watch("counter:1") as watch:
        async with database.transaction() as unit:
            unit.add(Executor(id="counter", host="here", pid=7, seen=0.0))
            unit.touch("counter:1")
            await unit.flush()
            assert not await watch.changed(0.0), "not before the commit"
        assert await watch.changed(PATIENCE)
        async with database.reading() as session:
            assert (await session.get_one(Executor, "counter")).pid == 7


async def test_what_fails_is_undone_and_not_announced(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as unit:
            unit.add(Executor(id="counter", host="here", pid=7, seen=0.0))
            unit.touch("counter:1")
            await unit.flush()
            raise RuntimeError("on purpose")

    with database.hub.watch("counter:1") as watch:
        with pytest.raises(RuntimeError, match="on purpose"):
            await fail()
        assert not await watch.changed(0.0)
    async with database.reading() as session:
        assert (await session.exec(select(func.count()).select_from(Executor))).one() == 0


async def test_transactions_that_are_canceled_at_any_moment(database: Database) -> None:
    """Each is done or undone, and announced if it was done."""
    await add_counter(database)

    async def count() -> None:
        async with database.transaction() as unit:
            row = await unit.get_one(Executor, "counter", with_for_update=True)
            row.pid += 1
            unit.touch("counter:1")

    async def counted() -> int:
        async with database.reading() as session:
            return (await session.get_one(Executor, "counter")).pid

    kept = []  # whoever keeps an error keeps its frames, and what they refer to
    expected = 0
    with database.hub.watch("counter:1") as watch:
        for attempt in range(60):
            task = asyncio.create_task(count())
            await asyncio.sleep(attempt * 0.0001)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError as cancellation:
                kept.append(cancellation)
            counted_now = await counted()
            assert counted_now in (expected, expected + 1)
            if counted_now > expected:
                assert await watch.changed(PATIENCE)
            async with asyncio.timeout(5):
                await count()  # and holds nobody else up
            assert await watch.changed(PATIENCE)
            expected = counted_now + 1
    assert kept


async def test_references_are_held_to(database: Database) -> None:
    """Sessions go with their user, also on SQLite, which wants to be told."""
    async with database.transaction() as unit:
        unit.add(User(id="1", email="a@example.com", password_hash=""))
        await unit.flush()
        unit.add(Session(secret_hash="x", user_id="1", expires_at=now()))
    async with database.transaction() as unit:
        await unit.delete(await unit.get_one(User, "1"))
    async with database.reading() as session:
        assert (await session.exec(select(Session).where(col(Session.user_id) == "1"))).all() == []


async def test_moments_keep_their_zone(database: Database) -> None:
    moment = now()
    async with database.transaction() as unit:
        unit.add(User(id="1", email="a@example.com", password_hash="", created_at=moment))
    async with database.reading() as session:
        assert (await session.get_one(User, "1")).created_at == moment


async def test_another_process_hears_of_a_change(postgres_url: str) -> None:
    async with opened(postgres_url) as here, opened(postgres_url) as there:
        with there.hub.watch("clone:1") as watch, there.hub.watch("clone:2") as other:
            async with here.transaction() as unit:
                unit.touch("clone:1")
            assert await watch.changed(PATIENCE)
            assert not await other.changed(0.0)


async def test_after_a_lost_connection_everybody_looks_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.database._RECONNECT_SECONDS", 0.01)
    async with opened(postgres_url) as database:
        with database.hub.watch("clone:1") as watch:
            async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as admin:
                killed = await admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )
                assert killed.rowcount == 1
            assert await watch.changed(PATIENCE), "woken though nothing is known to have changed"
            async with database.transaction() as unit:
                unit.touch("clone:1")
            assert await watch.changed(PATIENCE)


async def test_check_says_when_the_database_is_away(postgres_url: str) -> None:
    async with opened(postgres_url) as database:
        await database.check()
    nobody = Database("postgresql://postgres@127.0.0.1:1/nothing", ChangeHub())
    with pytest.raises(OperationalError):
        await nobody.check()
    await nobody.aclose()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/deadringer", "oracle://localhost/x"]
)
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL"):
        url_of(url)


@pytest.mark.parametrize("url", ["postgres://u:p@h/db", "postgresql://u:p@h/db", "postgresql+asyncpg://u:p@h/db"])
def test_one_driver_for_every_way_to_write_postgresql(url: str) -> None:
    assert url_of(url).drivername == "postgresql+psycopg"
