"""What can break into a call from outside, at whatever point of its life it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from telephony.exchange.webhooks import Document

T = TypeVar("T")


class Interrupted(Exception):
    """The base of what interrupts a call."""


class HungUp(Interrupted):
    """The person at the phone hung up, or the phone lost its connection."""


class Stopped(Interrupted):
    """The application ended the call through the API, or its time limit is reached."""


class Redirected(Interrupted):
    """The application gave the call other instructions through the API."""

    def __init__(self, document: Document) -> None:
        super().__init__(document)
        self.document = document


class Interruption:
    """One call's: it is waited for beside everything that the call does."""

    def __init__(self) -> None:
        self._reason: asyncio.Future[Interrupted] = asyncio.get_running_loop().create_future()

    def interrupt(self, reason: Interrupted) -> None:
        """The first reason counts."""
        if not self._reason.done():
            self._reason.set_result(reason)

    def clear(self) -> None:
        """Go on after a redirection."""
        self._reason = asyncio.get_running_loop().create_future()

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`, unless the call is interrupted before it is done: then it is cancelled.

        Raises:
            Interrupted: the reason.
        """
        doing = asyncio.ensure_future(work)
        try:
            return await self.wait(doing)
        finally:
            if not doing.done():
                doing.cancel()
                await asyncio.wait([doing])

    async def wait(self, doing: asyncio.Future[T]) -> T:
        """Wait for something that goes on by itself if the call is interrupted.

        Raises:
            Interrupted: the reason.
        """
        both: list[asyncio.Future[Any]] = [doing, self._reason]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise self._reason.result()
        return doing.result()
