"""Requests at once, kept under what the account allows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from providers.contract import AtCapacity

_AT_FIRST = 2  # what the smallest plan allows its slowest model
_RETRY_AFTER = 5.0  # s


class Places:
    """As many at once as the account allows; the others wait in order, `queue` of them at most and no longer than
    `patience` seconds each.

    ElevenLabs says with every answer how many requests the account makes at the moment, and how many it may: what
    others make of it (another process, the website) is theirs.
    """

    def __init__(self, queue: int = 32, patience: float = 20.0) -> None:
        self._limit = _AT_FIRST
        self._taken = 0
        self._queue = queue
        self._patience = patience
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Room for one request.

        Raises:
            AtCapacity: too many wait already, or it took too long.
        """
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    def learn(self, headers: Mapping[str, str]) -> None:
        """From the headers of an answer that was given while its place was held (names in lower case)."""
        most = _number(headers.get("maximum-concurrent-requests"))
        now = _number(headers.get("current-concurrent-requests"))
        if most is None:
            return
        others = max(0, (now or 0) - self._taken)
        self._limit = max(1, most - others)
        self._admit()

    async def _enter(self) -> None:
        if self._taken < self._limit and not self._waiting:
            self._taken += 1
            return
        if len(self._waiting) >= self._queue:
            raise _full()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as interruption:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self._leave()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(interruption, TimeoutError):
                raise _full() from None
            raise

    def _leave(self) -> None:
        self._taken -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._taken < self._limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _full() -> AtCapacity:
    return AtCapacity("Too much is being spoken by ElevenLabs at the moment. Try again in a moment.", _RETRY_AFTER)
