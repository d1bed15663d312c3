"""When Twilio cannot get or carry out a document, it asks at the fallback how the call goes on."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from studio.mistakes import FailureCode
from studio.states import CallStatus, CloneStatus
from studio.tables import Consent, ReceivedWebhook
from telephony.webhooks import MAX_FAILURES
from tests.telephony.calls import BASE, ONE, TWO, CallUnderTest, Front


async def test_a_call_whose_first_document_failed_asks_for_consent_all_the_same(call: CallUnderTest) -> None:
    asked = await call.fail_over(call.urls.answer)
    assert "press 1" in asked.words
    assert (await call.clone()).status is CloneStatus.ANSWERED
    assert (await call.call()).status is CallStatus.IN_PROGRESS
    assert (await call.call()).sid == call.sid
    assert (await call.press(asked, "1")).verbs == ["Say", "Record", "Redirect"]


async def test_keys_that_did_not_get_through_are_asked_for_again(call: CallUnderTest) -> None:
    asked = await call.answer()
    again = await call.fail_over(asked.gather)
    assert again.verbs == ["Gather"]
    assert again.gather != asked.gather  # a question of its own: what is pressed now is no repeated delivery
    assert (await call.press(again, "1")).verbs == ["Say", "Record", "Redirect"]
    assert len(await call.rows(Consent)) == 1


async def test_keys_that_got_through_without_an_answer_are_not_asked_for_again(call: CallUnderTest) -> None:
    asked = await call.answer()
    await call.press(asked, "1")
    assert (await call.fail_over(asked.gather)).verbs == ["Say", "Record", "Redirect"]
    assert len(await call.rows(Consent)) == 1


async def test_a_take_that_did_not_get_through_is_recorded_again(call: CallUnderTest) -> None:
    recording = await call.agree()
    again = await call.fail_over(recording.record)
    assert "got lost on our side" in again.words
    assert again.record != recording.record
    hold = await call.speak(again, ONE)
    assert "One moment" in hold.words
    assert (await call.clone()).status is CloneStatus.REVIEWING


async def test_the_hold_loop_goes_on(call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE)
    hold = await call.fail_over(hold.redirect)
    assert hold.verbs[-1] == "Redirect"
    await call.listened(24.0)
    assert "24 seconds" in (await call.go_on(hold)).words


async def test_the_choice_is_asked_for_again(call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE)
    await call.listened(24.0, sound=b"RIFF")
    choose = await call.go_on(hold)
    again = await call.fail_over(choose.gather)
    assert "24 seconds" in again.words
    playing = await call.press(again, "2")
    again = await call.fail_over(playing.play, code=12300)
    assert again.gather not in (choose.gather, playing.gather)
    assert "I have your recording" in (await call.press(again, "1")).words
    assert (await call.clone()).status is CloneStatus.RECORDED


async def test_a_choice_that_got_through_is_kept(call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE)
    await call.listened(24.0)
    choose = await call.go_on(hold)
    await call.press(choose, "1")
    assert "I have your recording" in (await call.fail_over(choose.gather)).words


@pytest.mark.parametrize(
    ("failed", "in_it"),
    [("{base}:443{path}", "press 1"), ("http://proxy.example{path}#rc=9", "press 1"), ("{path}", "press 1")],
)
async def test_the_failed_address_is_known_however_it_is_written(call: CallUnderTest, failed: str, in_it: str) -> None:
    path = f"/telephony/calls/{call.call_id}/answer"
    assert in_it in (await call.fail_over(failed.format(base=BASE, path=path))).words


# ── no end in sight ──────────────────────────────────────────────────────────


async def test_a_call_that_keeps_failing_says_goodbye(call: CallUnderTest) -> None:
    heard = await call.fail_over(call.urls.answer)
    for _ in range(MAX_FAILURES - 1):
        assert heard.verbs == ["Gather"]
        heard = await call.fail_over(heard.gather)
    heard = await call.fail_over(heard.gather)
    assert heard.verbs == ["Say", "Hangup"]
    assert "went wrong on our side" in heard.words


async def test_who_has_spoken_is_told_that_the_app_will_tell(call: CallUnderTest) -> None:
    heard = await call.speak(await call.agree(), ONE)
    for _ in range(MAX_FAILURES):
        heard = await call.fail_over(heard.redirect)
    heard = await call.fail_over(heard.redirect)
    assert heard.verbs == ["Say", "Hangup"]
    assert "The app will tell you" in heard.words
    assert (await call.clone()).status is CloneStatus.REVIEWING  # the take may do


async def test_the_goodbye_of_a_call_that_is_through_is_the_right_one(phones: Front) -> None:
    call = await phones.place(clone=CloneStatus.CANCELED)
    for failed in (call.urls.answer, "https://elsewhere.example/x"):
        assert "cancelled in the app" in (await call.fail_over(failed)).words


@pytest.mark.parametrize("failed", ["", "https://elsewhere.example/telephony", "own"])
async def test_what_cannot_be_told_apart_is_not_repeated_for_ever(call: CallUnderTest, failed: str) -> None:
    """A document of the fallback itself, or nothing of ours."""
    await call.answer()
    heard = await call.fail_over(call.urls.fallback if failed == "own" else failed)
    assert heard.verbs == ["Say", "Hangup"]


# ── twice, and at a bad time ─────────────────────────────────────────────────


async def test_a_repeated_failure_is_one(call: CallUnderTest) -> None:
    asked = await call.answer()
    answers = await asyncio.gather(*(call.fail_over(asked.gather) for _ in range(6)))
    assert len({answer.text for answer in answers}) == 1
    assert [row.kind for row in await call.rows(ReceivedWebhook)].count("fallback") == 1
    await call.press(answers[0], "1")
    assert (await call.fail_over(asked.gather)).text == answers[0].text
    assert (await call.clone()).status is CloneStatus.RECORDING


async def test_a_second_failure_is_another(call: CallUnderTest) -> None:
    first = await call.fail_over((await call.answer()).gather)
    second = await call.fail_over(first.gather)
    assert (first.gather, first.text) != (second.gather, second.text)


async def test_a_late_failure_does_not_move_a_call_back(call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE)
    await call.listened(3.0, FailureCode.TOO_LITTLE_SPEECH)
    again = await call.go_on(hold)
    await call.speak(again, TWO)
    await call.fail_over(call.urls.answer)
    assert (await call.clone()).status is CloneStatus.REVIEWING
    assert len(await call.takes()) == 2


async def test_trouble_at_the_fallback_too_is_told_in_words(
    call: CallUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(call.studio.desk, "resume", broken)
    with capture_logs() as logs:
        heard = await call.fail_over(call.urls.answer)
    assert heard.verbs == ["Say", "Hangup"]
    assert "went wrong on our side" in heard.words
    assert "disk" not in heard.text
    assert "webhook.failed" in [entry["event"] for entry in logs]
    assert await call.rows(ReceivedWebhook) == []


async def test_what_failed_is_logged_without_its_secrets(call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE)
    await call.listened(24.0)
    playing = await call.press(await call.go_on(hold), "2")
    with capture_logs() as logs:
        await call.fail_over(playing.play, code=11200)
        await call.fail_over("https://elsewhere.example/?To=+14155552671")
    [ours, other] = [entry for entry in logs if entry["event"] == "call.document_failed"]
    assert ours["twilio_code"] == 11200
    assert ours["failed"].endswith(".wav?step=5")
    assert other["failed"] == "not ours"
    assert not any("signature=" in str(entry) or "4155552671" in str(entry) for entry in logs)
