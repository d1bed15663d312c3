"""Trying again what may succeed later: with growing pauses, jitter, and an end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def retried(
    attempt: Callable[[], Awaitable[T]],
    passing: type[Exception] | tuple[type[Exception], ...],
    seconds: float,
    first_pause: float = 0.5,
    longest_pause: float = 10.0,
    sleep: Callable[[float], Awaitable[object]] | None = None,
) -> T:
    """What `attempt` returns. Errors that may pass are tried again until `seconds` have gone by; the last is raised.

    The pauses double from `first_pause`, each stretched by up to a half at random, so that processes that failed
    together do not come back together. An error that says when to come again (`retry_after`) is believed.
    `sleep` may return before its time, when something happened that makes trying again worth while.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    pause = first_pause
    while True:
        try:
            return await attempt()
        except passing as problem:
            wait = stretched(max(pause, getattr(problem, "retry_after", 0.0)))
            if clock() + wait > deadline:
                raise
        await (sleep or asyncio.sleep)(wait)
        pause = min(longest_pause, pause * 2)


def stretched(pause: float) -> float:
    return pause * random.uniform(1.0, 1.5)
