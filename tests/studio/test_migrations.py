from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.exc import DatabaseError
from sqlmodel import SQLModel

from studio import tables
from studio.database import Database
from studio.hub import ChangeHub

ROOT = Path(__file__).parent.parent.parent


async def open_and_close(url: str) -> None:
    database = Database(url, ChangeHub())
    await database.open()
    await database.aclose()


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    address = make_url(url)
    engine = create_engine(address if address.drivername == "sqlite" else address.set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def tables_in(url: str) -> set[str]:
    with connected(url) as connection:
        return set(inspect(connection).get_table_names())


async def test_the_migrations_make_what_the_tables_say(database_url: str) -> None:
    await open_and_close(database_url)
    with connected(database_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    assert tables.Clone.__tablename__ in tables_in(database_url)


async def test_migrating_again_changes_nothing(database_url: str) -> None:
    await open_and_close(database_url)
    before = tables_in(database_url)
    await open_and_close(database_url)
    assert tables_in(database_url) == before


async def test_threads_that_start_together_take_turns(database_url: str) -> None:
    await asyncio.gather(*(open_and_close(database_url) for _ in range(3)))
    assert "clones" in tables_in(database_url)


def test_processes_that_start_together_take_turns(tmp_path: Path) -> None:
    """They hold the same locks as threads do, so that one kind of database is enough."""
    database_url = f"sqlite:///{tmp_path / 'deadringer.sqlite'}"
    program = (
        "import asyncio, sys; from studio.database import Database; from studio.hub import ChangeHub\n"
        "async def run():\n"
        "    database = Database(sys.argv[1], ChangeHub()); await database.open(); await database.aclose()\n"
        "asyncio.run(run())"
    )
    command = [sys.executable, "-c", program, database_url]
    started = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert "clones" in tables_in(database_url)


async def test_a_migration_that_is_cut_short_leaves_nothing_behind(database_url: str) -> None:
    """The last of the tables is there already: all that was made before it is undone, and the next start goes well."""
    with connected(database_url) as connection:
        connection.execute(text("CREATE TABLE recordings (id TEXT)"))
    with pytest.raises(DatabaseError):
        await open_and_close(database_url)
    assert tables_in(database_url) <= {"recordings", "alembic_version"}
    with connected(database_url) as connection:
        connection.execute(text("DROP TABLE recordings"))
    await open_and_close(database_url)
    assert "clones" in tables_in(database_url)
