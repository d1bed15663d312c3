"""Who wants to know that something changed. A notice carries no data: it only says "look again"."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Watch:
    """One subscriber's view of a key: at most one wake-up is pending, however many changes there were."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def changed(self, timeout: float) -> bool:
        """Wait for a change since the last call; False when `timeout` seconds passed without one."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class ChangeHub:
    """Changes by key ("clone:…"), within this process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)

    @contextmanager
    def watch(self, key: str) -> Iterator[Watch]:
        """Watch a key. Read the rows after entering, so that no change falls between."""
        watch = Watch()
        self._watches[key].add(watch)
        try:
            yield watch
        finally:
            self._watches[key].discard(watch)
            if not self._watches[key]:
                del self._watches[key]

    def publish(self, keys: Iterable[str]) -> None:
        for key in keys:
            for watch in self._watches.get(key, ()):
                watch.wake()

    def wake_all(self) -> None:
        """After notices may have been missed: everybody looks again."""
        self.publish(list(self._watches))

    @property
    def watched(self) -> int:
        """How many watches are open."""
        return sum(len(watches) for watches in self._watches.values())
