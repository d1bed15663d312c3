"""A clone that its owner takes back, in each of its states."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlmodel import select

from providers.contract import Transient
from studio.cloning import clone_workflow
from studio.desk import Goodbye, GoodbyeReason
from studio.mistakes import Mistake, MistakeCode
from studio.ports import CarrierUnavailable
from studio.states import CallStatus, CloneStatus
from studio.studio import Studio
from studio.tables import Call, Recording, User
from tests.providers.tone import ToneProvider
from tests.studio.caller import Caller, ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, clone_when, new_take, workflow_over
from tests.studio.sounds import spoken
from tests.studio.troubles import fail_first


async def blobs_of(studio: Studio, owner: User) -> list[str]:
    async with studio.database.reading() as session:
        takes = (await session.exec(select(Recording).where(Recording.user_id == owner.id))).all()
    return [blob for take in takes for blob in (take.blob, take.cleaned_blob) if blob is not None]


async def test_before_the_carrier_has_answered(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    carrier.placing.hold()
    clone = await studio.clones.start(user.id, "Me")
    await asyncio.wait_for(carrier.placing.reached(), PATIENCE)
    await studio.clones.cancel(user.id, clone.id)
    carrier.placing.open()
    await workflow_over(clone.id)
    assert clone.call_id is not None
    call = await studio.calls.get(user.id, clone.call_id)
    assert call is not None
    assert set(carrier.hung_up) == {call.sid}, "what was placed meanwhile is hung up"
    assert call.status is CallStatus.COMPLETED


async def test_before_the_call_was_placed(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    """No call's row stays open, and the phone can be called again."""
    clone = await new_take(studio, user, CloneStatus.CANCELED)
    async with studio.database.transaction() as unit:
        call = await unit.get_one(Call, clone.call_id)
        call.sid, call.status, call.ended_at = None, CallStatus.QUEUED, None
    await studio.workflows.start(clone_workflow, clone.id)
    await workflow_over(clone.id)
    row = await studio.calls.get(user.id, call.id)
    assert row is not None
    assert row.status is CallStatus.CANCELED
    assert row.ended_at is not None
    assert carrier.orders == []


async def to_ringing(caller: Caller) -> None:
    await caller.status(CallStatus.RINGING)


async def to_answered(caller: Caller) -> None:
    await caller.answer()


async def to_recording(caller: Caller) -> None:
    await caller.agree()


async def to_reviewing(caller: Caller) -> None:
    await caller.agree()
    await caller.speak(spoken())
    await caller.listened()


async def cancel(studio: Studio, owner: User, caller: Caller, clone_id: str) -> None:
    assert (await studio.clones.cancel(owner.id, clone_id)).status is CloneStatus.CANCELED


async def hang_up(studio: Studio, owner: User, caller: Caller, clone_id: str) -> None:
    await studio.calls.hang_up(owner.id, caller.call_id)


@pytest.mark.parametrize(
    ("go", "stop"),
    [
        (to_ringing, cancel),
        (to_answered, hang_up),
        (to_recording, cancel),
        (to_reviewing, cancel),
        (to_reviewing, hang_up),
    ],
)
async def test_on_the_phone(
    studio: Studio,
    carrier: ScriptedCarrier,
    user: User,
    go: Callable[[Caller], Awaitable[None]],
    stop: Callable[[Studio, User, Caller, str], Awaitable[None]],
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await go(caller)
    await stop(studio, user, caller, clone.id)
    assert await caller.answer() == Goodbye(GoodbyeReason.CANCELED)
    await workflow_over(clone.id)
    assert set(carrier.hung_up) == {caller.sid}
    assert (await caller.row()).status is CallStatus.COMPLETED
    assert set(carrier.deleted) == set(caller.takes), "nothing stays at the carrier"
    assert await blobs_of(studio, user) == []
    assert (await clone_when(studio, clone)).status is CloneStatus.CANCELED


async def test_a_recording_that_appears_after_the_call_was_hung_up(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    sid = carrier.record(caller.sid, spoken(), late=True)
    await studio.clones.cancel(user.id, clone.id)
    await workflow_over(clone.id)
    assert carrier.deleted == [sid]


async def test_the_carrier_is_asked_to_hang_up_until_it_does(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.answer()
    carrier.fail("hang_up", CarrierUnavailable("no answer"), times=2)
    await studio.clones.cancel(user.id, clone.id)
    await workflow_over(clone.id)
    assert carrier.hung_up == [caller.sid] * 3


async def test_a_voice_that_was_made_meanwhile_is_deleted_however_often_that_fails(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = await new_take(studio, user, CloneStatus.CLONING)
    provider.cloning.hold()
    forgotten = fail_first(monkeypatch, provider, "delete_voice", Transient("not now"), RuntimeError("a surprise"))
    monkeypatch.setattr("studio.workflows._PAUSES", (0.01,) * 10)
    await studio.workflows.start(clone_workflow, clone.id)
    await asyncio.wait_for(provider.cloning.reached(), PATIENCE)
    await studio.clones.cancel(user.id, clone.id)
    provider.cloning.open()
    await asyncio.wait_for(forgotten.wait(), PATIENCE)
    assert len(provider.deleted) == 1
    assert (await studio.voices.cloned(user.id, 10, None)).items == []
    assert (await clone_when(studio, clone)).status is CloneStatus.CANCELED


async def test_what_is_over_cannot_be_canceled(studio: Studio, user: User) -> None:
    clone = await new_take(studio, user, CloneStatus.READY)
    assert clone.call_id is not None
    for attempt in (studio.clones.cancel(user.id, clone.id), studio.calls.hang_up(user.id, clone.call_id)):
        with pytest.raises(Mistake) as caught:
            await attempt
        assert caught.value.code is MistakeCode.WRONG_STATE


async def test_hanging_up_does_not_throw_a_kept_recording_away(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await to_reviewing(caller)
    await caller.choose("1")
    with pytest.raises(Mistake) as caught:
        await studio.calls.hang_up(user.id, caller.call_id)
    assert caught.value.code is MistakeCode.WRONG_STATE
    await clone_when(studio, clone, CloneStatus.ANALYZING)
