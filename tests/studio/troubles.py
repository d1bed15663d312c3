"""Things that fail, are refused, or are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from studio.mistakes import Mistake, MistakeCode
from tests.studio.people import PATIENCE


def fail_first(monkeypatch: pytest.MonkeyPatch, target: object, method: str, *errors: Exception) -> asyncio.Event:
    """Let an async method raise these errors first, one at each call; the event is set once it has worked."""
    works: Callable[..., Awaitable[Any]] = getattr(target, method)
    left = list(errors)
    worked = asyncio.Event()

    async def fails(*arguments: Any) -> Any:
        if left:
            raise left.pop(0)
        result = await works(*arguments)
        worked.set()
        return result

    monkeypatch.setattr(target, method, fails)
    return worked


async def code_of(attempt: Awaitable[object]) -> MistakeCode:
    """With which code it is refused."""
    with pytest.raises(Mistake) as caught:
        await attempt
    return caught.value.code


async def somebody_waits(postgres_url: str) -> list[int]:
    """Wait until a connection to this database waits for a lock; the process ids of those that do."""
    async with (
        asyncio.timeout(PATIENCE),
        await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection,
    ):
        while True:
            found = await connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            waiting = [int(row[0]) for row in await found.fetchall()]
            if waiting:
                return waiting
            await asyncio.sleep(0.02)


async def cut_off(postgres_url: str, *backends: int) -> None:
    """Break these connections from the server's side."""
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        for backend in backends:
            await connection.execute("SELECT pg_terminate_backend(%s)", [backend])
