"""Waiting until somebody has run into what a test has put in the way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Engine, ExceptionContext, event
from sqlmodel import select

from studio.studio import Studio
from studio.tables import Voice
from tests.studio.people import PATIENCE


class Refusals:
    """What databases have refused since the context was entered; all kinds of threads ask them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._seen: list[str] = []
        self._more = asyncio.Event()

    def note(self, error: ExceptionContext) -> None:
        self._loop.call_soon_threadsafe(self._add, f"{error.original_exception}\n{error.statement}")

    def _add(self, refusal: str) -> None:
        self._seen.append(refusal)
        self._more.set()

    async def of(self, text: str) -> None:
        """Wait for one from now on that says, or was an answer to, `text`."""
        known = len(self._seen)
        async with asyncio.timeout(PATIENCE):
            while not any(text in refusal for refusal in self._seen[known:]):
                self._more.clear()
                await self._more.wait()


_listening: list[Refusals] = []


@event.listens_for(Engine, "handle_error")  # for good: it cannot be removed while a thread is in trouble
def _tell(error: ExceptionContext) -> None:
    for one in tuple(_listening):
        one.note(error)


@contextmanager
def refusals() -> Iterator[Refusals]:
    seen = Refusals()
    _listening.append(seen)
    try:
        yield seen
    finally:
        _listening.remove(seen)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process, such as a back-up, holds the write lock of an SQLite file."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


async def voices(studio: Studio) -> list[Voice]:
    """All there are."""
    async with studio.database.reading() as session:
        return list((await session.exec(select(Voice))).all())
