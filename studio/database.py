"""The database: SQLite for one process, PostgreSQL for several, behind the same two kinds of transaction.

SQLite runs in WAL mode and takes the write lock when a transaction begins (BEGIN IMMEDIATE): a deferred transaction
that reads before it writes loses updates without an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from studio import sqlite
from studio.hub import ChangeHub

_CHANNEL = "deadringer_changes"
_MIGRATION_LOCK = 0x0DEAD217  # any constant number: the key of PostgreSQL's advisory lock
_SQLITE_BUSY_MS = 10_000
_RECONNECT_SECONDS = 1.0
AWAY = (OperationalError, InterfaceError, NoConnection)
"""What is raised while the database cannot be reached, is locked by others for too long, or has no room. A transaction
that was being committed may have been, or not: who tries again looks first."""
# A server that has vanished is noticed within half a minute, also by those who only listen.
_SERVER_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    # Nor does the server wait for us: a process that was suspended in the middle of a transaction must have lost its
    # locks before others take over what it was doing (`studio.workflows.DEAD_AFTER_SECONDS`).
    "options": "-cidle_in_transaction_session_timeout=10000",
}
_log = structlog.get_logger()
S = TypeVar("S", bound=AsyncSession)


class Unit(AsyncSession):
    """One transaction, and the keys of what changes with it ("clone:…"): announced when it is committed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.changed: set[str] = set()

    def touch(self, *keys: str) -> None:
        self.changed.update(keys)


def database_url(text_url: str) -> URL:
    """A DATABASE_URL as SQLAlchemy wants it.

    Raises:
        ValueError: when it is neither SQLite in a file nor PostgreSQL.
    """
    url = make_url(text_url)
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("DATABASE_URL must name a file: sqlite:///path/to/deadringer.sqlite")
        return url.set(drivername="sqlite+aiosqlite")
    if url.drivername.partition("+")[0] in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg", query={**_SERVER_PATIENCE, **url.query})
    raise ValueError(f"DATABASE_URL must begin with sqlite:/// or postgresql://, not {url.drivername}://")


class Database:
    """Connections to one database. `hub` hears of every committed change, of this process and of others."""

    def __init__(self, url: str, hub: ChangeHub) -> None:
        self.url = database_url(url)
        self.hub = hub
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = self._make_engine()
        self._writing = async_sessionmaker(self._engine, class_=Unit, expire_on_commit=False)
        reading = self._engine.execution_options(reading=True)
        self._reading = async_sessionmaker(reading, class_=AsyncSession, expire_on_commit=False)
        # SQLite has one writer. Waiting here is fair and wakes at once; SQLite's own waiting sleeps up to 100 ms.
        self._writer = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None

    def _make_engine(self) -> AsyncEngine:
        if not self.sqlite:
            return create_async_engine(self.url, pool_size=10, max_overflow=10, pool_timeout=10, pool_pre_ping=True)
        engine = create_async_engine(
            self.url,
            pool_size=10,
            max_overflow=10,
            pool_timeout=10,
            connect_args={"async_creator_fn": sqlite.connect, "factory": _SqliteConnection},
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine

    async def open(self) -> None:
        """Bring the schema up to date, and start to listen."""
        if self.sqlite:
            await asyncio.to_thread(Path(str(self.url.database)).parent.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(self._migrate)
        if not self.sqlite:
            self._listener = asyncio.create_task(self._listen())

    async def aclose(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Unit]:
        """Read and write. What was touched is announced once it is committed."""
        async with contextlib.AsyncExitStack() as stack:
            if self.sqlite:
                await stack.enter_async_context(self._writer)
            async with _begun(self._writing()) as unit:
                yield unit
                await _undisturbed(self._commit(unit))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Read only: never waits for a writer."""
        async with _begun(self._reading()) as session:
            yield session

    async def _commit(self, unit: Unit) -> None:
        if not self.sqlite:
            connection = await unit.connection()
            for key in unit.changed:
                await connection.execute(_NOTIFY, {"channel": _CHANNEL, "key": key})
        await unit.commit()
        self.hub.publish(unit.changed)

    async def check(self) -> None:
        """Raises whatever the database raises when it cannot be reached."""
        async with asyncio.timeout(5), self.reading() as session:
            await (await session.connection()).execute(text("SELECT 1"))

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        engine = create_engine(self.url.set(drivername="sqlite") if self.sqlite else self.url)
        if self.sqlite:
            # So that a migration that is cut short leaves nothing behind. `_prepare_sqlite` is not for this: Alembic
            # changes a table by copying it, and where references are held to, dropping the old one would delete others.
            event.listen(engine, "begin", _begin_sqlite)
        try:
            with engine.connect() as connection, self._migration_lock(connection):
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
        finally:
            engine.dispose()

    @contextmanager
    def _migration_lock(self, connection: Connection) -> Iterator[None]:
        """Processes that start together take turns."""
        if self.sqlite:
            with Path(f"{self.url.database}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            return
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
        connection.commit()
        try:
            yield
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK})
            connection.commit()

    async def _listen(self) -> None:
        """Hear of other processes' changes. After a lost connection everybody looks again: notices may be missing."""
        address = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {_CHANNEL}")
                    self.hub.wake_all()
                    async for notice in connection.notifies():
                        self.hub.publish([notice.payload])
            except psycopg.Error as problem:
                _log.warning("database.listen_lost", problem=type(problem).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)


@asynccontextmanager
async def _begun(session: S) -> AsyncIterator[S]:
    """A session within its transaction, which is rolled back at the end if it was not committed."""
    try:
        await _undisturbed(session.connection())
        yield session
    finally:
        await _undisturbed(session.close())


async def _undisturbed(work: Coroutine[Any, Any, object]) -> None:
    """Finish `work`, and give in to a cancellation only then. A transaction that is left while it begins or ends goes
    on in the driver's thread, and nobody is there to release what it has locked."""
    task = asyncio.ensure_future(work)
    disturbed: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as cancellation:
            disturbed = cancellation
    task.result()
    if disturbed is not None:
        raise disturbed


_NOTIFY = text("SELECT pg_notify(:channel, :key)")


class _SqliteConnection(sqlite3.Connection):
    def close(self) -> None:
        """Roll back first: else the locks stay with whoever still holds a result, such as a task that was canceled."""
        if self.in_transaction:
            self.rollback()
        super().close()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", f"busy_timeout = {_SQLITE_BUSY_MS}", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN DEFERRED" if reading else "BEGIN IMMEDIATE")
