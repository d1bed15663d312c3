from __future__ import annotations

import asyncio

import pytest

from studio.retrying import retried


class Passing(Exception): ...


class Clock:
    """An event loop's clock and sleep, without the waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        monkeypatch.setattr("studio.retrying.random.uniform", lambda low, high: high)
        monkeypatch.setattr("studio.retrying.asyncio.sleep", self.sleep)
        monkeypatch.setattr("studio.retrying.asyncio.get_running_loop", lambda: self)

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


async def test_what_passes_is_tried_again_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    errors = [Passing() for _ in range(6)]

    async def attempt() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert await retried(attempt, Passing, seconds=100, first_pause=1, longest_pause=8) == "done"
    assert clock.pauses == [1.5, 3, 6, 12, 12, 12]


async def test_it_ends_in_time_with_the_last_error(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    tried = 0

    async def attempt() -> None:
        nonlocal tried
        tried += 1
        raise Passing(str(tried))

    with pytest.raises(Passing) as caught:
        await retried(attempt, Passing, seconds=10, first_pause=1, longest_pause=100)
    assert clock.now <= 10
    assert str(caught.value) == str(tried) == "3"


async def test_other_errors_are_raised_at_once() -> None:
    tried = 0

    async def attempt() -> None:
        nonlocal tried
        tried += 1
        raise KeyError

    with pytest.raises(KeyError):
        await retried(attempt, Passing, seconds=10)
    assert tried == 1


async def test_it_can_be_canceled_while_it_pauses() -> None:
    tried = asyncio.Event()

    async def attempt() -> None:
        tried.set()
        raise Passing

    task = asyncio.create_task(retried(attempt, Passing, seconds=1000, first_pause=100))
    await tried.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
