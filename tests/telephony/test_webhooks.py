"""Twilio's webhooks at the edge: signed requests over a socket to the real studio on SQLite, without its workflows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from studio.desk import MAX_TAKES, MAX_WAITS
from studio.mistakes import FailureCode
from studio.states import CallStatus, CloneStatus
from studio.tables import Consent, ReceivedWebhook, User
from tests.telephony.calls import ONE, PHONE, TWO, CallUnderTest, Front

# ── the story ────────────────────────────────────────────────────────────────


async def test_the_whole_story(phones: Front) -> None:
    call = await phones.place(name='Ann & "Zoë"')
    for status in ("initiated", "ringing"):
        assert (await call.report(status)).status_code == 204
    assert (await call.clone()).status is CloneStatus.RINGING

    asked = await call.answer()
    assert "press 1" in asked.words
    assert 'named Ann & "Zoë"' in asked.words
    assert (await call.clone()).status is CloneStatus.ANSWERED
    assert (await call.call()).status is CallStatus.IN_PROGRESS
    assert (await call.call()).sid == call.sid

    recording = await call.press(asked, "1")
    assert recording.verbs == ["Say", "Record", "Redirect"]
    assert (await call.clone()).status is CloneStatus.RECORDING
    [consent] = await call.rows(Consent)
    assert consent.wording == asked.words
    assert consent.clone_id == call.clone_id

    hold = await call.speak(recording, ONE, seconds=26)
    assert "One moment" in hold.words
    assert (await call.clone()).status is CloneStatus.REVIEWING
    assert (await call.report_recording(ONE)).status_code == 204
    [take] = await call.takes()
    assert (take.sid, take.seconds, take.available_at is not None) == (ONE, 26.0, True)

    hold = await call.go_on(hold)
    assert hold.verbs[-2:] == ["Pause", "Redirect"]
    await call.listened(24.3, sound=b"RIFF the take")
    choose = await call.go_on(hold)
    assert "24 seconds of speech" in choose.words

    playing = await call.press(choose, "2")
    sound = await phones.client.get(playing.play)
    assert (sound.status_code, sound.content) == (200, b"RIFF the take")
    assert sound.headers["content-type"] == "audio/wav"
    assert sound.headers["cache-control"] == "no-store"

    kept = await call.press(playing, "1")
    assert kept.verbs == ["Say", "Hangup"]
    assert "I have your recording" in kept.words
    assert (await call.clone()).status is CloneStatus.RECORDED
    assert [take.kept for take in await call.takes()] == [True]


async def test_the_time_of_a_status_is_twilios(call: CallUnderTest) -> None:
    await call.report("in-progress", Timestamp="Sun, 22 Nov 2026 17:00:00 +0000")
    await call.report("completed", Timestamp="Sun, 22 Nov 2026 17:01:30 +0000")
    row = await call.call()
    assert row.started_at == datetime(2026, 11, 22, 17, tzinfo=UTC)
    assert row.seconds == 90.0


@pytest.mark.parametrize("odd", ["", "yesterday", "Sun, 22 Nov 2026 17:00:00", "Sun, 99 Nov 2026 17:00:00 +0000"])
async def test_a_status_is_not_lost_because_of_an_odd_date(call: CallUnderTest, odd: str) -> None:
    assert (await call.report("completed", Timestamp=odd)).status_code == 204
    assert (await call.call()).status is CallStatus.COMPLETED


# ── consent ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("keys", "failure", "goodbye"),
    [
        (["", "", ""], FailureCode.NO_KEY_PRESSED, "did not get a key press"),
        (["5", "#", "9"], FailureCode.NOT_AGREED, "Nothing was recorded"),
    ],
)
async def test_without_agreement_nothing_is_recorded(
    call: CallUnderTest, keys: list[str], failure: FailureCode, goodbye: str
) -> None:
    heard = await call.answer()
    for key in keys:
        assert heard.verbs == ["Gather"]
        heard = await call.press(heard, key)
    assert goodbye in heard.words
    assert heard.verbs == ["Say", "Hangup"]
    clone = await call.clone()
    assert (clone.status, clone.failure_code) == (CloneStatus.FAILED, failure)
    assert await call.rows(Consent) == []


async def test_agreeing_at_the_last_attempt_keeps_all_that_was_said(call: CallUnderTest) -> None:
    asked = [await call.answer()]
    for key in ("", "7"):
        asked.append(await call.press(asked[-1], key))
    assert (await call.press(asked[-1], "1")).verbs == ["Say", "Record", "Redirect"]
    [consent] = await call.rows(Consent)
    assert consent.wording == " ".join(each.words for each in asked)


async def test_the_wrong_code_three_times_ends_the_call(phones: Front) -> None:
    call = await phones.place(code="4821")
    heard = await call.answer()
    for wrong in ("1", "1234", "8421"):
        assert "4 digits that the app shows" in heard.words
        heard = await call.press(heard, wrong)
    assert "not the digits that the app shows" in heard.words
    clone = await call.clone()
    assert (clone.status, clone.failure_code) == (CloneStatus.FAILED, FailureCode.WRONG_CODE)


async def test_the_right_code_proves_the_number(phones: Front) -> None:
    call = await phones.place(code="4821", name="not to be said")
    heard = await call.answer()
    assert "not to be said" not in heard.words
    heard = await call.press(await call.press(heard, "1"), "4821")
    assert heard.verbs == ["Say", "Record", "Redirect"]
    [user] = await call.rows(User)
    assert user.phone == PHONE
    assert user.phone_proven_at is not None


# ── takes ────────────────────────────────────────────────────────────────────


async def test_silence_is_said_and_recorded_again(call: CallUnderTest) -> None:
    heard = await call.agree()
    for _ in range(MAX_TAKES - 1):
        heard = await call.go_on(heard)
        assert "could not hear anything" in heard.words
        assert "Record" in heard.verbs
    heard = await call.go_on(heard)
    assert heard.verbs == ["Say", "Hangup"]
    assert (await call.clone()).failure_code == FailureCode.TOO_LITTLE_SPEECH


async def test_too_little_speech_is_said_with_its_seconds(call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE, seconds=9)
    await call.listened(3.2, FailureCode.TOO_LITTLE_SPEECH)
    again = await call.go_on(hold)
    assert "I heard 3 seconds of speech" in again.words
    assert (await call.clone()).status is CloneStatus.RECORDING

    hold = await call.speak(again, TWO)
    await call.listened(25.0)
    assert "25 seconds of speech" in (await call.go_on(hold)).words
    assert [take.sid for take in await call.takes()] == [ONE, TWO]


async def test_a_second_take_has_a_hold_loop_of_its_own(call: CallUnderTest) -> None:
    """The same waits are counted again: they must not get the first loop's answers."""
    hold = await call.speak(await call.agree(), ONE)
    for _ in range(3):
        hold = await call.go_on(hold)
    await call.listened(24.0)
    again = await call.press(await call.go_on(hold), "3")
    assert "once more" in again.words

    hold = await call.speak(again, TWO)
    for _ in range(3):
        hold = await call.go_on(hold)
        assert hold.verbs[-1] == "Redirect"
    await call.listened(21.0)
    assert "21 seconds of speech" in (await call.go_on(hold)).words


async def test_waiting_for_the_recording_has_an_end(call: CallUnderTest) -> None:
    heard = await call.speak(await call.agree(), ONE)
    for _ in range(MAX_WAITS):
        heard = await call.go_on(heard)
    heard = await call.go_on(heard)
    assert heard.verbs == ["Say", "Hangup"]
    assert "taking longer than usual" in heard.words


async def test_a_lost_recording_is_said_and_recorded_again(call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE)
    await call.listened(0.0, FailureCode.RECORDING_MISSING)
    again = await call.go_on(hold)
    assert "got lost on our side" in again.words
    assert "Record" in again.verbs


async def test_who_presses_nothing_is_asked_twice_more_and_then_it_is_kept(call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE)
    await call.listened(24.0)
    heard = await call.go_on(hold)
    for _ in range(2):
        heard = await call.press(heard, "")
        assert "did not get that" in heard.words
    assert "I have your recording" in (await call.press(heard, "")).words
    assert (await call.clone()).status is CloneStatus.RECORDED


# ── hanging up ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", ["completed", "busy", "no-answer", "failed", "canceled"])
async def test_the_end_of_a_call_is_noted_wherever_it_is(call: CallUnderTest, status: str) -> None:
    assert (await call.report(status)).status_code == 204
    assert (await call.call()).status is CallStatus[status.upper().replace("-", "_")]
    assert (await call.call()).ended_at is not None


async def test_hanging_up_while_speaking_leaves_what_was_said_to_be_judged(call: CallUnderTest) -> None:
    await call.speak(await call.agree(), ONE, seconds=12, digits="hangup")
    await call.report("completed")
    assert (await call.clone()).status is CloneStatus.REVIEWING
    assert [(take.sid, take.seconds) for take in await call.takes()] == [(ONE, 12.0)]


async def test_a_canceled_clone_says_so_at_the_next_step(call: CallUnderTest) -> None:
    heard = await call.agree()
    clone = await call.clone()
    await call.studio.clones.cancel(clone.user_id, clone.id)
    heard = await call.speak(heard, ONE)
    assert "cancelled in the app" in heard.words
    assert heard.verbs == ["Say", "Hangup"]


# ── twice, out of order, late ────────────────────────────────────────────────


async def test_a_repeated_step_gets_the_same_answer_and_does_nothing(call: CallUnderTest) -> None:
    asked = await call.answer()
    assert (await call.answer()).text == asked.text
    recording = await call.press(asked, "1")
    assert (await call.press(asked, "1")).text == recording.text
    assert (await call.press(asked, "9")).text == recording.text  # whatever it says: this question is answered
    hold = await call.speak(recording, ONE)
    assert (await call.speak(recording, ONE)).text == hold.text
    assert len(await call.rows(Consent)) == 1
    assert len(await call.takes()) == 1
    assert len(await call.rows(ReceivedWebhook)) == 3


async def test_simultaneous_deliveries_are_one(call: CallUnderTest) -> None:
    asked = await call.answer()
    answers = await asyncio.gather(*(call.press(asked, "1") for _ in range(8)))
    assert len({answer.text for answer in answers}) == 1
    assert len(await call.rows(Consent)) == 1


async def test_the_first_answer_is_given_even_when_the_call_has_moved_on(call: CallUnderTest) -> None:
    asked = await call.answer()
    hold = await call.speak(await call.press(asked, "1"), ONE)
    assert (await call.answer()).text == asked.text
    assert (await call.clone()).status is CloneStatus.REVIEWING
    assert (await call.go_on(hold)).verbs[-1] == "Redirect"


async def test_reports_that_come_twice_are_stored_and_acted_on_once(
    call: CallUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    acted: list[CallStatus] = []

    async def act(unit: object, call_id: str, sid: str, status: CallStatus, *_: object) -> None:
        acted.append(status)

    monkeypatch.setattr(call.studio.desk, "call_status", act)
    for _ in range(3):
        assert (await call.report("ringing")).status_code == 204
        assert (await call.report_recording(ONE)).status_code == 204
    assert acted == [CallStatus.RINGING]
    assert len(await call.rows(ReceivedWebhook)) == 2


async def test_statuses_in_any_order_move_a_call_forward_only(call: CallUnderTest) -> None:
    for status, expected in [
        ("in-progress", CallStatus.IN_PROGRESS),
        ("ringing", CallStatus.IN_PROGRESS),
        ("completed", CallStatus.COMPLETED),
        ("initiated", CallStatus.COMPLETED),
        ("busy", CallStatus.COMPLETED),
    ]:
        assert (await call.report(status)).status_code == 204
        assert (await call.call()).status is expected


async def test_a_recording_may_be_there_before_the_take_has_ended(call: CallUnderTest) -> None:
    recording = await call.agree()
    assert (await call.report_recording(ONE)).status_code == 204
    await call.speak(recording, ONE, seconds=25)
    [take] = await call.takes()
    assert (take.sid, take.seconds, take.available_at is not None) == (ONE, 25.0, True)


async def test_the_recording_of_a_silence_is_no_take(call: CallUnderTest) -> None:
    """Twilio reports the empty recording as absent, before or after the call goes on without it."""
    recording = await call.agree()
    await call.report_recording(ONE, "absent")
    again = await call.go_on(recording)
    await call.report_recording(TWO, "absent")
    assert [(take.take, take.sid) for take in await call.takes()] == [(1, None)]
    hold = await call.speak(again, "RE" + "3" * 32)
    await call.listened(24.0)
    assert "24 seconds" in (await call.go_on(hold)).words


@pytest.mark.parametrize("status", ["absent", "failed"])
async def test_a_recording_that_will_never_be_there(call: CallUnderTest, status: str) -> None:
    await call.speak(await call.agree(), ONE)
    assert (await call.report_recording(ONE, status)).status_code == 204
    assert [take.absent for take in await call.takes()] == [True]


async def test_a_recording_in_progress_is_no_news(call: CallUnderTest) -> None:
    await call.agree()
    assert (await call.report_recording(ONE, "in-progress")).status_code == 204
    assert await call.takes() == []
