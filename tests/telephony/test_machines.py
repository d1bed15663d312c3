"""Answering machines: hung up on before anything is recorded, unless somebody has pressed a key."""

from __future__ import annotations

import pytest

from studio.mistakes import FailureCode
from studio.states import CloneStatus
from studio.tables import ReceivedWebhook
from tests.telephony.calls import ONE, CallUnderTest, Front

MACHINES = ["machine_start", "machine_end_beep", "machine_end_silence", "machine_end_other", "fax"]


@pytest.mark.parametrize("who", MACHINES)
async def test_a_machine_ends_the_clone(call: CallUnderTest, who: str) -> None:
    asked = await call.answer()
    with call.studio.hub.watch(f"clone:{call.clone_id}") as told:
        assert (await call.report_answered_by(who)).status_code == 204
        assert await told.changed(5.0)  # who hangs up, that is
    clone = await call.clone()
    assert (clone.status, clone.failure_code) == (CloneStatus.FAILED, FailureCode.ANSWERING_MACHINE)
    assert clone.failure_retryable
    heard = await call.press(asked, "1")  # it was somebody after all
    assert heard.verbs == ["Say", "Hangup"]
    assert "sounded like an answering machine" in heard.words


@pytest.mark.parametrize("status", [CloneStatus.CALLING, CloneStatus.RINGING])
async def test_a_machine_may_be_heard_of_before_the_answer(phones: Front, status: CloneStatus) -> None:
    call = await phones.place(clone=status)
    await call.report_answered_by("machine_start")
    assert (await call.clone()).failure_code == FailureCode.ANSWERING_MACHINE


@pytest.mark.parametrize("who", ["human", "unknown", "something_new"])
async def test_anybody_else_goes_on(call: CallUnderTest, who: str) -> None:
    asked = await call.answer()
    assert (await call.report_answered_by(who)).status_code == 204
    assert (await call.clone()).status is CloneStatus.ANSWERED
    assert (await call.press(asked, "1")).verbs == ["Say", "Record", "Redirect"]


@pytest.mark.parametrize("key", ["1", "7"])
async def test_who_pressed_a_key_is_no_machine(call: CallUnderTest, key: str) -> None:
    heard = await call.press(await call.answer(), key)
    await call.report_answered_by("machine_start")
    assert not (await call.clone()).status.over
    assert heard.verbs[0] in ("Say", "Gather")


async def test_silence_is_no_key(call: CallUnderTest) -> None:
    await call.press(await call.answer(), "")
    await call.report_answered_by("machine_start")
    assert (await call.clone()).failure_code == FailureCode.ANSWERING_MACHINE


@pytest.mark.parametrize("status", [CloneStatus.REVIEWING, CloneStatus.RECORDED, CloneStatus.READY])
async def test_a_late_report_changes_nothing(phones: Front, status: CloneStatus) -> None:
    call = await phones.place(clone=status)
    await call.report_answered_by("machine_start")
    assert (await call.clone()).status is status


async def test_a_report_that_comes_again_is_one(call: CallUnderTest) -> None:
    heard = await call.agree()
    for _ in range(3):
        assert (await call.report_answered_by("human")).status_code == 204
    await call.speak(heard, ONE)
    assert [row.kind for row in await call.rows(ReceivedWebhook)].count("answered-by") == 1
