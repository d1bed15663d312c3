"""The queue in front of the account's limit."""

from __future__ import annotations

import asyncio

import pytest

from providers.contract import AtCapacity
from providers.elevenlabs.places import Places


def headers(now: int | str, most: int | str) -> dict[str, str]:
    return {"current-concurrent-requests": str(now), "maximum-concurrent-requests": str(most)}


class Guest:
    """Somebody who takes a place and stays until told to leave."""

    def __init__(self, places: Places, log: list[str], name: str) -> None:
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._stay(places, log, name))

    async def _stay(self, places: Places, log: list[str], name: str) -> None:
        async with places.place():
            log.append(name)
            await self.leave.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_wait_come_in_order() -> None:
    places, log = Places(), list[str]()
    guests = [Guest(places, log, name) for name in "abcde"]
    await settle()
    assert log == ["a", "b"]
    for left, seen in (("b", "abc"), ("a", "abcd"), ("c", "abcde")):
        guests["abcde".index(left)].leave.set()
        await settle()
        assert "".join(log) == seen
    for guest in guests:
        guest.leave.set()
        await guest.task


async def test_who_is_cancelled_does_not_keep_a_place() -> None:
    places, log = Places(), list[str]()
    guests = [Guest(places, log, name) for name in "abcd"]
    await settle()
    guests[2].task.cancel()  # waits
    await settle()
    places.learn(headers(now=2, most=3))  # a place is given to d, who is cancelled in the same moment
    guests[3].task.cancel()
    await settle()
    late = Guest(places, log, "e")
    await settle()
    assert log == ["a", "b", "e"]
    for guest in (*guests[:2], late):
        guest.leave.set()
        await guest.task


async def test_the_queue_and_the_wait_end() -> None:
    places, log = Places(queue=1, patience=0.05), list[str]()
    guests = [Guest(places, log, name) for name in "abc"]
    await settle()
    with pytest.raises(AtCapacity):  # the queue is full
        async with places.place():
            pass
    with pytest.raises(AtCapacity):  # it took too long
        await guests[2].task
    for guest in guests[:2]:
        guest.leave.set()
        await guest.task
    async with places.place():
        pass


async def test_what_is_learnt_lets_more_in_or_fewer() -> None:
    places, log = Places(), list[str]()
    guests = [Guest(places, log, name) for name in "abcdef"]
    await settle()
    places.learn(headers(now=3, most=5))  # of 3, one is another's
    await settle()
    assert log == list("abcd")
    places.learn(headers(now=40, most=5))  # others have them all: one of ours at a time
    for guest in guests[:3]:
        guest.leave.set()
    await settle()
    assert log == list("abcd")
    guests[3].leave.set()
    await settle()
    assert log == list("abcde")
    for guest in guests:
        guest.leave.set()
        await guest.task


@pytest.mark.parametrize("said", [{}, headers("?", "many"), headers(1, "-5"), headers(1, 0)])
async def test_nonsense_does_not_close_the_place(said: dict[str, str]) -> None:
    places = Places()
    places.learn(said)
    async with places.place():
        pass
