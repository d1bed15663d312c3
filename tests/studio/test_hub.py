from __future__ import annotations

import asyncio

import pytest

from studio.hub import ChangeHub


async def test_many_changes_are_one_wake_up() -> None:
    hub = ChangeHub()
    with hub.watch("clone:1") as watch:
        for _ in range(5):
            hub.publish(["clone:1"])
        assert await watch.changed(1.0)
        assert not await watch.changed(0.0)


async def test_a_change_between_two_waits_is_not_lost() -> None:
    hub = ChangeHub()
    with hub.watch("clone:1") as watch:
        assert not await watch.changed(0.0)
        hub.publish(["clone:1"])
        assert await watch.changed(1.0)


async def test_everybody_who_watches_the_key_is_woken_and_nobody_else() -> None:
    hub = ChangeHub()
    with hub.watch("a") as first, hub.watch("a") as second, hub.watch("b") as other:
        hub.publish(["a", "unwatched"])
        assert await first.changed(1.0)
        assert await second.changed(1.0)
        assert not await other.changed(0.0)


async def test_after_missed_notices_everybody_is_woken() -> None:
    hub = ChangeHub()
    with hub.watch("a") as first, hub.watch("b") as second:
        hub.wake_all()
        assert await first.changed(1.0)
        assert await second.changed(1.0)


async def test_whoever_is_canceled_leaves_nothing_behind() -> None:
    hub = ChangeHub()
    entered = asyncio.Event()

    async def watching() -> None:
        with hub.watch("a") as watch:
            entered.set()
            await watch.changed(60.0)

    task = asyncio.create_task(watching())
    await entered.wait()
    assert hub.watched == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hub.watched == 0
    assert not hub._watches, "nor an empty set"
    hub.publish(["a"])
    assert not hub._watches
