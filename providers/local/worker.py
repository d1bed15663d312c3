"""A thread of one's own for work that blocks, with a bounded number of users."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from providers.contract import AtCapacity, Transient

_Result = TypeVar("_Result")

_RETRY_AFTER = 5.0  # s


class Worker:
    """Does one thing after the other, in the order in which they are asked for.

    A user who asks for one step at a time shares the thread fairly: between two of its steps, everyone else who waits
    has one.
    """

    def __init__(self, name: str, places: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._name = name
        self._free = places
        self._closed = False

    @contextmanager
    def place(self) -> Iterator[None]:
        """Room for one user, who has one step waiting or being done at a time.

        Raises:
            AtCapacity: all places are taken.
        """
        if not self._free:
            raise AtCapacity(f"The {self._name} of this machine is busy. Try again in a moment.", _RETRY_AFTER)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    def start(self, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Put `work` behind what waits already. Cancelling the future takes it out, if it has not been begun.

        The future raises what `work` raises, or `Transient` if the worker is closed before it is begun.
        """

        def begin() -> _Result:
            if self._closed:
                raise self._shutting_down()
            return work()

        if self._closed:
            raise self._shutting_down()
        return asyncio.wrap_future(self._executor.submit(begin))

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """`start`, and wait for the result."""
        return await self.start(work)

    async def aclose(self) -> None:
        """Finish what is being done; what waits is not begun any more."""
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)

    def _shutting_down(self) -> Transient:
        return Transient(f"The {self._name} of this machine is being shut down.")
