"""Clones whose carrier is slow, silent, forgetful, or says no."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from providers.manager import ProviderRegistry
from studio.calling import CallTimes
from studio.desk import MAX_TAKES, MAX_WAITS, Choose, Goodbye, GoodbyeReason, Hold, Record, RecordWhy
from studio.mistakes import FailureCode
from studio.moves import move_call
from studio.ports import (
    CallRefused,
    CarrierError,
    CarrierUnavailable,
    RecordingNotThere,
    RecordingUnusable,
)
from studio.states import CallStatus, CloneStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Call, User
from tests.studio.caller import Caller, ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, call_when, clone_when, new_user, workflow_over
from tests.studio.sounds import murmur, spoken
from tests.studio.troubles import somebody_waits

# ── placing the call ─────────────────────────────────────────────────────────


async def test_a_refused_call_fails_with_the_carriers_reason(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    carrier.fail("place_call", CallRefused("Calls to this country are switched off.", "call_refused"))
    clone = await studio.clones.start(user.id, "Me")
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert (failed.failure_code, failed.failure_message) == ("call_refused", "Calls to this country are switched off.")
    call = await call_when(studio, clone)
    assert (call.status, call.failure_code) == (CallStatus.FAILED, "call_refused")
    assert len(carrier.orders) == 1


async def test_an_unclear_answer_is_cleared_up_by_a_callback(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    carrier.fail("place_call", CarrierUnavailable("it timed out"))
    clone = await studio.clones.start(user.id, "Me")
    await clone_when(studio, clone, CloneStatus.CALLING)
    caller = Caller(studio, carrier, clone, "CA-from-the-callback")
    await caller.agree()
    assert (await clone_when(studio, clone, CloneStatus.RECORDING)).failure_code is None
    assert (await caller.row()).sid == "CA-from-the-callback"
    assert len(carrier.orders) == 1, "it is never placed again"
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.FAILED)


async def test_an_unclear_answer_without_a_callback_fails_and_dials_no_more(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    carrier.fail("place_call", CarrierUnavailable("it timed out"))
    clone = await studio.clones.start(user.id, "Me")
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert failed.failure_code == FailureCode.CALL_UNCERTAIN
    call = await call_when(studio, clone)
    assert (call.status, call.failure_code) == (CallStatus.FAILED, FailureCode.CALL_UNCERTAIN)
    assert len(carrier.orders) == 1
    # If it rings after all, who answers is told that something went wrong.
    caller = Caller(studio, carrier, clone, "CA-too-late")
    assert await caller.answer() == Goodbye(GoodbyeReason.TROUBLE)


async def test_the_callback_may_overtake_the_answer(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    carrier.placing.hold()
    clone = await studio.clones.start(user.id, "Me")
    await asyncio.wait_for(carrier.placing.reached(), PATIENCE)
    caller = Caller(studio, carrier, clone, "CA1")
    await caller.agree()
    carrier.placing.open()
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.FAILED)
    assert (await caller.row()).sid == "CA1"


async def test_a_callback_at_the_last_moment(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> None:
    """It came when nobody would have waited for it any longer."""
    times = replace(settings.call_times, uncertain=0.0)
    async with open_studio(replace(settings, call_times=times), providers, carrier) as studio:
        user = await new_user(studio, "+14155550101", proven=True)
        carrier.placing.hold()
        carrier.fail("place_call", CarrierUnavailable("it timed out"))
        clone = await studio.clones.start(user.id, "Me")
        await asyncio.wait_for(carrier.placing.reached(), PATIENCE)
        caller = Caller(studio, carrier, clone, "CA1")
        await caller.agree()
        carrier.placing.open()
        await caller.status(CallStatus.BUSY)
        failed = await clone_when(studio, clone, CloneStatus.FAILED)
        assert failed.failure_code == FailureCode.HUNG_UP_EARLY


# ── lost callbacks ───────────────────────────────────────────────────────────


async def test_a_call_of_which_nothing_is_heard_is_asked_about(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    carrier.fail("call_status", CarrierUnavailable("not now"), times=2)
    carrier.statuses[caller.sid] = CallStatus.NO_ANSWER
    assert (await clone_when(studio, clone, CloneStatus.FAILED)).failure_code == FailureCode.NO_ANSWER


async def test_no_callback_at_all_after_the_keys(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    """Neither that the recording is there, nor that the call is over: both are found out."""
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(spoken(), ready=False)
    assert isinstance(await caller.listened(), Choose)
    carrier.statuses[caller.sid] = CallStatus.COMPLETED
    await clone_when(studio, clone, CloneStatus.ANALYZING)
    assert (await caller.row()).status is CallStatus.COMPLETED


async def test_an_old_answer_does_not_undo_a_newer_callback(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier, postgres_url: str
) -> None:
    """The carrier said that the call goes on; before that is noted, a callback says that it has ended."""
    async with open_studio(replace(settings, database_url=postgres_url), providers, carrier) as studio:
        user = await new_user(studio, "+14155550101", proven=True)
        clone, caller = await ring(studio, carrier, user)
        async with studio.database.transaction() as unit:
            row = await unit.get_one(Call, caller.call_id, with_for_update=True)
            carrier.statuses[caller.sid] = CallStatus.IN_PROGRESS
            await somebody_waits(postgres_url)
            move_call(unit, row, CallStatus.BUSY)
        assert (await clone_when(studio, clone)).failure_code == FailureCode.BUSY
        assert (await caller.row()).status is CallStatus.BUSY


async def test_a_carrier_that_never_ends_a_call_is_waited_for_only_so_long(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> None:
    times = replace(settings.call_times, queue=0.0, ring=1, limit=0)
    async with open_studio(replace(settings, call_times=times), providers, carrier) as studio:
        user = await new_user(studio, "+14155550101", proven=True)
        carrier.fail("call_status", CarrierUnavailable("not now"))
        clone, _ = await ring(studio, carrier, user)
        failed = await clone_when(studio, clone, CloneStatus.FAILED)
        assert failed.failure_code == FailureCode.CALL_LOST
        row = await call_when(studio, clone)
        assert (row.status, row.failure_code) == (CallStatus.FAILED, FailureCode.CALL_LOST)
        await workflow_over(clone.id)


async def test_a_recording_may_be_announced_before_the_take_has_ended(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    sid = carrier.record(caller.sid, spoken())
    await caller.recording(sid)
    row = await studio.clones.get(user.id, clone.id)
    assert row is not None
    assert row.status is CloneStatus.RECORDING, "it says nothing of what the caller did"
    await caller.webhook("take", lambda unit: studio.desk.take_finished(unit, caller.call_id, sid, 4.0, "1"))
    offered = await caller.listened()
    assert isinstance(offered, Choose)
    assert carrier.fetched == [sid]
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.ANALYZING)
    await caller.recording(sid)  # and again, when it is too late


# ── recordings ───────────────────────────────────────────────────────────────


async def test_a_recording_that_is_not_there_for_a_while(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> None:
    patient = replace(settings, call_times=CallTimes(poll=0.1, fetch=30.0, late=0.3))
    carrier.fail("fetch_recording", RecordingNotThere("404"), times=1)
    carrier.fail("fetch_recording", RecordingUnusable("it came cut short"), times=1)
    async with open_studio(patient, providers, carrier) as studio:
        user = await new_user(studio, "+14155550101", proven=True)
        clone, caller = await ring(studio, carrier, user)
        await caller.agree()
        assert await caller.speak(spoken()) == Hold(waited=0)
        assert isinstance(await caller.listened(), Choose)
        assert len(carrier.fetched) == 3
        await caller.hang_up()
        await clone_when(studio, clone, CloneStatus.ANALYZING)


@pytest.mark.parametrize(
    ("error", "sound", "code"),
    [
        (RecordingNotThere("404"), spoken(), FailureCode.RECORDING_MISSING),
        (RecordingUnusable("this is HTML"), spoken(), FailureCode.RECORDING_UNUSABLE),
        (None, spoken()[:2000], FailureCode.RECORDING_UNUSABLE),
    ],
    ids=["never there", "wrong type", "truncated"],
)
async def test_a_recording_that_cannot_be_had_is_recorded_again(
    studio: Studio,
    carrier: ScriptedCarrier,
    user: User,
    error: CarrierError | None,
    sound: bytes,
    code: FailureCode,
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    if error is not None:
        carrier.fail("fetch_recording", error)
    await caller.speak(sound)
    assert await caller.listened() == Record(take=2, why=RecordWhy.LOST)
    await caller.hang_up()
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert failed.failure_code == code
    await workflow_over(clone.id)
    assert set(carrier.deleted) == set(caller.takes)


async def test_a_recording_that_the_carrier_says_will_never_be_there(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    for take in range(1, MAX_TAKES + 1):
        await caller.speak(None, ready=False)
        await caller.recording(caller.takes[-1], available=False)
        step = await caller.listened()
        if take < MAX_TAKES:
            assert step == Record(take=take + 1, why=RecordWhy.LOST)
    assert step == Goodbye(GoodbyeReason.TROUBLE)
    assert carrier.fetched == []
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert failed.failure_code == FailureCode.RECORDING_MISSING
    await caller.hang_up()


async def test_a_recording_that_takes_too_long_is_used_after_the_call(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    carrier.fetching.hold()
    await caller.speak(spoken())
    assert await caller.review(MAX_WAITS - 1) == Hold(waited=MAX_WAITS)
    assert await caller.review(MAX_WAITS) == Goodbye(GoodbyeReason.LATER)
    await caller.hang_up()
    carrier.fetching.open()
    await clone_when(studio, clone, CloneStatus.ANALYZING)


async def test_deleting_at_the_carrier_is_tried_again(
    studio: Studio, carrier: ScriptedCarrier, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.workflows._PAUSES", (0.01,) * 5)
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(murmur())
    assert isinstance(await caller.listened(), Record)
    carrier.fail("delete_recording", CarrierUnavailable("not now"), times=1)
    carrier.fail("recordings_of", CarrierUnavailable("not now"), times=1)
    await caller.status(CallStatus.FAILED)
    await workflow_over(clone.id)
    assert carrier.deleted == caller.takes * 2
    assert carrier.recordings == {}
