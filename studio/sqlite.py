"""SQLite without needless waiting: each statement goes to the connection's thread and back once.

aiosqlite goes four times (to make a cursor, execute, fetch, close), and between two of them a transaction, which keeps
all other writers out, waits for its turn in the event loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import aiosqlite


async def connect(*where: Any, **how: Any) -> OneTripConnection:
    """As `sqlite3.connect`."""
    connection = OneTripConnection(partial(sqlite3.connect, *where, **how), iter_chunk_size=1)
    connection._thread.daemon = True  # as SQLAlchemy does with its own: who is left behind must not hold up the end
    await connection
    return connection


class OneTripConnection(aiosqlite.Connection):
    def cursor(self) -> OneTripCursor:  # type: ignore[override]
        return OneTripCursor(self)

    async def run(self, work: Callable[..., None], *values: Any) -> None:
        """In the connection's thread."""
        await self._execute(work, *values)  # type: ignore[no-untyped-call]


class OneTripCursor:
    """As much of aiosqlite's cursor as SQLAlchemy uses. All rows are there once a statement has been executed."""

    arraysize = 1

    def __init__(self, connection: OneTripConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Self:
        await self._connection.run(self._executed, "execute", statement, parameters)
        return self

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> Self:
        await self._connection.run(self._executed, "executemany", statement, parameters)
        return self

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """It is closed already."""

    def _executed(self, how: str, statement: str, parameters: Any) -> None:
        cursor = getattr(self._connection._conn, how)(statement, parameters)
        try:
            self._rows = cursor.fetchall()
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()
