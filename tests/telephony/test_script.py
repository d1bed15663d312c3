"""What the caller hears, step by step, and the TwiML that has it said."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from studio.desk import AskConsent, Choose, Goodbye, GoodbyeReason, Hold, Record, RecordWhy, Step
from telephony.script import consent_wording, document
from telephony.urls import RETRIES, CallUrls, Onward, TakeLinks

BASE = "https://voices.example.com"
CALL = f"{BASE}/telephony/calls/c4"
KNOWN = AskConsent(name="Ann", code_digits=None, attempt=1)
UNKNOWN = AskConsent(name="Ann", code_digits=4, attempt=1)


def twiml(step: Step) -> ElementTree.Element:
    return ElementTree.fromstring(document(step, Onward(CallUrls(BASE, "c4"), 7, TakeLinks("token"))))


def words(step: Step) -> str:
    return " ".join(said.text or "" for said in twiml(step).iter("Say"))


def first(step: Step, verb: str) -> ElementTree.Element:
    found = twiml(step).find(f".//{verb}")
    assert found is not None, f"no <{verb}>"
    return found


# ── consent ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", [KNOWN, UNKNOWN])
def test_the_caller_is_told_everything_before_they_agree(step: AskConsent) -> None:
    told = words(step).lower()
    for needed in (
        "automated call",
        "deadringer app",
        "copy of your voice",
        "record what you say",
        "any text",
        "means that you agree",
        "delete the voice and the recording",
        "at any time",
        "hang up",
    ):
        assert needed in told, needed


def test_a_known_number_presses_1() -> None:
    gather = first(KNOWN, "Gather")
    assert "press 1" in words(KNOWN)
    assert gather.attrib == {
        "input": "dtmf",
        "numDigits": "1",
        "timeout": "8",
        "finishOnKey": "",
        "action": f"{CALL}/consent?step=7&attempt=1{RETRIES}",
        "method": "POST",
        "actionOnEmptyResult": "true",
    }


def test_a_new_number_keys_in_the_digits_of_the_app_in_place_of_1() -> None:
    gather = first(UNKNOWN, "Gather")
    assert "key in the 4 digits that the app shows" in words(UNKNOWN)
    assert "press 1" not in words(UNKNOWN)
    assert (gather.get("numDigits"), gather.get("finishOnKey"), gather.get("timeout")) == ("4", "#", "12")


def test_a_number_that_nobody_has_proven_hears_nothing_that_somebody_typed() -> None:
    typed = "Your bank account is locked, call 900"
    assert typed in words(AskConsent(typed, None, 1))
    assert "bank" not in words(AskConsent(typed, 4, 1))
    assert "bank" not in consent_wording(AskConsent(typed, 4, 3))


@pytest.mark.parametrize("code_digits", [None, 4])
def test_the_wording_that_is_kept_is_what_has_been_said(code_digits: int | None) -> None:
    said = [words(AskConsent("Ann", code_digits, attempt)) for attempt in (1, 2, 3)]
    for attempt in (1, 2, 3):
        assert consent_wording(AskConsent("Ann", code_digits, attempt)) == " ".join(said[:attempt])


def test_the_speaker_is_told_who_gets_the_recording() -> None:
    sent = AskConsent("Ann", None, 1, recipient="ElevenLabs")
    assert "sent to ElevenLabs" in words(sent)
    assert "sent to ElevenLabs" in consent_wording(sent)
    assert "sent to" not in words(KNOWN)


def test_whoever_is_asked_again_is_not_told_everything_again() -> None:
    again = AskConsent("Ann", None, 2)
    assert "did not get that" in words(again)
    assert "press 1" in words(again)
    assert len(words(again)) < len(words(KNOWN)) / 2
    assert first(again, "Gather").get("action") == f"{CALL}/consent?step=7&attempt=2{RETRIES}"


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ('<Hangup/> & "co"', '<Hangup/> & "co"'),
        ("Zoë\u0000\u0007\ud800\n\tof  Delft", "Zoë of Delft"),
        ("a" * 5000, "a" * 60),
        ("]]> &amp;", "]]> &amp;"),
    ],
)
def test_a_name_is_only_ever_text(name: str, spoken: str) -> None:
    step = AskConsent(name, None, 1)
    assert {element.tag for element in twiml(step).iter()} == {"Response", "Gather", "Say"}
    assert f"named {spoken}. If you go on" in words(step)


# ── recording ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Record(1, RecordWhy.FIRST), "Thank you."),
        (Record(2, RecordWhy.AGAIN), "once more"),
        (Record(2, RecordWhy.SILENT), "could not hear anything"),
        (Record(2, RecordWhy.LOST), "got lost on our side"),
        (Record(2, RecordWhy.TOO_LITTLE, heard_seconds=3.4), "I heard 3 seconds of speech, and I need about 20."),
        (Record(2, RecordWhy.TOO_LITTLE, heard_seconds=1.9), "I heard 1 second of speech"),
        (Record(2, RecordWhy.TOO_LITTLE, heard_seconds=0.2), "I heard less than a second of speech"),
    ],
)
def test_before_each_take_they_hear_why_and_what_to_do(step: Record, expected: str) -> None:
    assert expected in words(step)
    assert "After the beep, speak naturally for 20 to 30 seconds" in words(step)
    assert "what you did today" in words(step)
    assert "Press 1 when you are done" in words(step)


def test_a_take_is_recorded_without_the_traps_of_record() -> None:
    assert first(Record(1, RecordWhy.FIRST), "Record").attrib == {
        "action": f"{CALL}/take?step=7{RETRIES}",
        "method": "POST",
        "finishOnKey": "1#",
        "timeout": "6",
        "maxLength": "120",
        "playBeep": "true",
        "trim": "do-not-trim",
        "recordingStatusCallback": f"{CALL}/recording{RETRIES}",
        "recordingStatusCallbackMethod": "POST",
        "recordingStatusCallbackEvent": "completed absent",
    }


def test_silence_leads_on() -> None:
    verbs = [verb.tag for verb in twiml(Record(1, RecordWhy.FIRST))]
    assert verbs == ["Say", "Record", "Redirect"]
    assert first(Record(1, RecordWhy.FIRST), "Redirect").text == f"{CALL}/silent?step=7{RETRIES}"


# ── review ───────────────────────────────────────────────────────────────────


def test_the_wait_is_short_and_not_silent() -> None:
    said = [words(Hold(waited)) for waited in range(7)]
    assert "One moment" in said[0]
    assert [bool(each) for each in said] == [True, False, False, True, False, False, True]
    for waited in range(7):
        assert first(Hold(waited), "Pause").get("length") == "1"
        assert first(Hold(waited), "Redirect").text == f"{CALL}/review?step=7&waited={waited}{RETRIES}"


def test_a_good_take_is_kept_heard_or_recorded_again() -> None:
    step = Choose("r9", speech_seconds=24.7, attempt=1)
    assert "I heard 24 seconds of speech" in words(step)
    for option in ("keep it, press 1, or just hang up", "hear it, press 2", "again, press 3"):
        assert option in words(step)
    assert twiml(step).find(".//Play") is None
    assert first(step, "Gather").get("action") == f"{CALL}/choice?step=7&attempt=1{RETRIES}"
    assert "did not get that" in words(Choose("r9", 24.7, attempt=2))


def test_a_take_is_played_and_asked_about_in_one_gather() -> None:
    step = Choose("r9", 24.7, attempt=1, play=True)
    assert [verb.tag for verb in first(step, "Gather")] == ["Play", "Say"]
    url = first(step, "Play").text or ""
    assert url.startswith(f"{CALL}/takes/r9.wav?expires=")


@pytest.mark.parametrize("reason", GoodbyeReason)
def test_every_goodbye_says_how_it_went_and_hangs_up(reason: GoodbyeReason) -> None:
    step = Goodbye(reason)
    assert [verb.tag for verb in twiml(step)] == ["Say", "Hangup"]
    assert words(step).endswith("Goodbye.")
    assert len(words(step)) > 25


def test_every_sentence_is_said_in_one_voice() -> None:
    steps: list[Step] = [KNOWN, Record(1, RecordWhy.FIRST), Hold(0), Choose("r", 20, 1), Goodbye(GoodbyeReason.KEPT)]
    voices = {(said.get("voice"), said.get("language")) for step in steps for said in twiml(step).iter("Say")}
    assert len(voices) == 1


# ── the addresses of takes ───────────────────────────────────────────────────


def test_a_take_can_be_heard_with_its_own_address_until_it_expires() -> None:
    now = 1_000_000.0
    links = TakeLinks("token", lambda: now)
    query = parse_qs(urlsplit(links.url(CallUrls(BASE, "c4"), "r9", step=7)).query)
    expires, signature = int(query["expires"][0]), query["signature"][0]

    assert links.valid("c4", "r9", expires, signature)
    assert not links.valid("c5", "r9", expires, signature)
    assert not links.valid("c4", "r8", expires, signature)
    assert not links.valid("c4", "r9", expires + 1, signature)
    assert not links.valid("c4", "r9", expires, "ü")
    assert not TakeLinks("other", lambda: now).valid("c4", "r9", expires, signature)
    now = expires
    assert not links.valid("c4", "r9", expires, signature)
