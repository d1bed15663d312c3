"""Subscribing to a row: its present state, each change, and its end."""

from __future__ import annotations

import asyncio

import pytest

from studio.mistakes import Mistake, MistakeCode
from studio.moves import move_clone
from studio.states import CloneStatus
from studio.studio import Studio
from studio.tables import Clone, User
from tests.providers.tone import Gate
from tests.studio.people import PATIENCE, new_take


@pytest.fixture
def studio(rows_only: Studio) -> Studio:
    return rows_only


async def move(studio: Studio, clone: Clone, status: CloneStatus) -> None:
    async with studio.database.transaction() as unit:
        move_clone(unit, await unit.get_one(Clone, clone.id), status)


async def present_state(studio: Studio, clone: Clone) -> CloneStatus:
    return (await anext(studio.clones.follow(clone.user_id, clone.id))).status


async def watched(studio: Studio, count: int) -> None:
    """Wait until so many have read the present state, and wait for a change."""
    async with asyncio.timeout(PATIENCE):
        while studio.hub.watched < count:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_the_present_state_and_each_change_until_the_end(studio: Studio, user: User) -> None:
    clone = await new_take(studio, user, CloneStatus.RECORDED)
    seen: list[CloneStatus] = []
    async with asyncio.timeout(PATIENCE):
        async for row in studio.clones.follow(user.id, clone.id):
            seen.append(row.status)
            studio.hub.publish([f"clone:{clone.id}"])  # says nothing new, and is not passed on
            following = {CloneStatus.RECORDED: CloneStatus.ANALYZING, CloneStatus.ANALYZING: CloneStatus.FAILED}
            if row.status in following:
                await move(studio, clone, following[row.status])
    assert seen == [CloneStatus.RECORDED, CloneStatus.ANALYZING, CloneStatus.FAILED]
    assert studio.hub.watched == 0


async def test_what_is_over_is_told_once(studio: Studio, user: User) -> None:
    clone = await new_take(studio, user, CloneStatus.CANCELED)
    assert [row.status async for row in studio.clones.follow(user.id, clone.id)] == [CloneStatus.CANCELED]


async def test_what_is_deleted_meanwhile_is_not_found(studio: Studio, user: User) -> None:
    clone = await new_take(studio, user, CloneStatus.RECORDED)
    changes = studio.clones.follow(user.id, clone.id)
    await anext(changes)
    async with studio.database.transaction() as unit:
        row = await unit.get_one(Clone, clone.id)
        await unit.delete(row)
        unit.touch(f"clone:{clone.id}")
    with pytest.raises(Mistake) as caught:
        async with asyncio.timeout(PATIENCE):
            await anext(changes)
    assert caught.value.code is MistakeCode.NOT_FOUND


async def test_a_notice_that_is_lost_is_made_up_for(
    studio: Studio, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.repositories._LOOK_AGAIN_SECONDS", 0.01)
    clone = await new_take(studio, user, CloneStatus.RECORDED)
    changes = studio.clones.follow(user.id, clone.id)
    await anext(changes)
    async with studio.database.transaction() as unit:
        (await unit.get_one(Clone, clone.id)).status = CloneStatus.FAILED  # and nobody is told
    async with asyncio.timeout(PATIENCE):
        assert (await anext(changes)).status is CloneStatus.FAILED
    assert [row async for row in changes] == []


async def test_a_crowd_of_subscribers_reads_a_change_once(
    studio: Studio, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = await new_take(studio, user, CloneStatus.RECORDED)
    reads = 0
    get = studio.clones.get

    async def counted(owner: str, row_id: str) -> Clone | None:
        nonlocal reads
        reads += 1
        return await get(owner, row_id)

    monkeypatch.setattr(studio.clones, "get", counted)
    ready = asyncio.Semaphore(0)

    async def subscribe() -> list[CloneStatus]:
        seen = []
        async for row in studio.clones.follow(user.id, clone.id):
            seen.append(row.status)
            ready.release()
        return seen

    subscribers = [asyncio.create_task(subscribe()) for _ in range(50)]
    async with asyncio.timeout(PATIENCE):
        for _ in subscribers:
            await ready.acquire()
        reads = 0
        await move(studio, clone, CloneStatus.FAILED)
        assert await asyncio.gather(*subscribers) == [[CloneStatus.RECORDED, CloneStatus.FAILED]] * 50
    assert reads == 1
    assert studio.hub.watched == 0


async def test_a_late_subscriber_does_not_share_an_old_read(
    studio: Studio, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = await new_take(studio, user, CloneStatus.RECORDED)
    gate = Gate()
    gate.hold()
    get = studio.clones.get

    async def slowly(owner: str, row_id: str) -> Clone | None:
        row = await get(owner, row_id)
        await gate.passage()
        return row

    monkeypatch.setattr(studio.clones, "get", slowly)
    early = asyncio.create_task(present_state(studio, clone))
    await asyncio.wait_for(gate.reached(), PATIENCE)
    await move(studio, clone, CloneStatus.ANALYZING)
    late = asyncio.create_task(present_state(studio, clone))
    await watched(studio, 2)
    gate.open()
    assert await early is CloneStatus.RECORDED
    assert await late is CloneStatus.ANALYZING


async def test_subscribers_that_leave_take_nobody_along(studio: Studio, user: User) -> None:
    clone = await new_take(studio, user, CloneStatus.RECORDED)

    async def subscribe() -> list[CloneStatus]:
        return [row.status async for row in studio.clones.follow(user.id, clone.id)]

    leaving, staying = asyncio.create_task(subscribe()), asyncio.create_task(subscribe())
    await watched(studio, 2)
    leaving.cancel()  # whoever asked first for the read that both wait for
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await move(studio, clone, CloneStatus.FAILED)
    assert (await asyncio.wait_for(staying, PATIENCE))[-1] is CloneStatus.FAILED
    assert studio.hub.watched == 0
