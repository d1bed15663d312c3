"""Things that fail a few times before they work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest


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
