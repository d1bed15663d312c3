"""What is not for us: forged, of another call, or without sense, it changes nothing and is told so in words."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from urllib.parse import urldefrag

import pytest
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator

from studio.states import CallStatus
from studio.tables import ReceivedWebhook
from telephony.settings import TelephonySettings
from tests.telephony.calls import BASE, ONE, PHONE, TOKEN, CallUnderTest, Front, front, telephony_settings

STEPS = ["answer", "consent?step=1&attempt=1", "take?step=2", "silent?step=2", "review?step=3&waited=0"]
STEPS += ["choice?step=4&attempt=1", "fallback"]
REPORTS = ["status", "recording", "answered-by"]
EVERYTHING = {
    "CallStatus": "completed",
    "RecordingSid": ONE,
    "RecordingStatus": "completed",
    "AnsweredBy": "machine_start",
    "ErrorCode": "11200",
}


@pytest.mark.parametrize("place", STEPS + REPORTS)
async def test_nobody_but_twilio_is_heard(call: CallUnderTest, place: str) -> None:
    before = await call.clone()
    url = f"{BASE}/telephony/calls/{call.call_id}/{place}"
    form = {**EVERYTHING, "Digits": "1"}
    for forged in ({"X-Twilio-Signature": "AAAA"}, {"X-Twilio-Signature": ""}):
        assert (await call.send(url, form, forged)).status_code == 403
    call.token = "another"
    assert (await call.send(url, form)).status_code == 403
    assert (await call.client.post(url, data=form)).status_code == 403
    assert await call.rows(ReceivedWebhook) == []
    assert await call.clone() == before


@pytest.mark.parametrize("place", STEPS)
async def test_the_caller_of_an_unknown_call_hears_a_polite_goodbye(call: CallUnderTest, place: str) -> None:
    url = f"{BASE}/telephony/calls/{'0' * 32}/{place}"
    answer = await call.send(url, {"RecordingSid": ONE})
    assert answer.status_code == 200
    assert "<Hangup" in answer.text
    assert "Goodbye." in answer.text
    assert await call.rows(ReceivedWebhook) == []


@pytest.mark.parametrize("place", REPORTS)
async def test_reports_about_an_unknown_call_are_not_found(call: CallUnderTest, place: str) -> None:
    url = f"{BASE}/telephony/calls/{'0' * 32}/{place}"
    answer = await call.send(url, EVERYTHING)
    assert answer.status_code == 404
    assert await call.rows(ReceivedWebhook) == []


@pytest.mark.parametrize("place", STEPS + REPORTS)
async def test_the_sid_of_another_call_is_refused(call: CallUnderTest, place: str) -> None:
    await call.report("initiated")
    stored = await call.rows(ReceivedWebhook)
    call.sid = "CA" + "9" * 32
    url = f"{BASE}/telephony/calls/{call.call_id}/{place}"
    answer = await call.send(url, EVERYTHING)
    assert answer.status_code == 403
    assert "CallSid" in answer.json()["detail"]
    assert await call.rows(ReceivedWebhook) == stored


@pytest.mark.parametrize(
    ("place", "form", "named"),
    [
        ("status", {"CallStatus": "dreaming"}, "CallStatus"),
        ("status", {}, "CallStatus"),
        ("status", {"CallSid": "CA1", "CallStatus": "completed"}, "CallSid"),
        ("recording", {"RecordingStatus": "completed"}, "RecordingSid"),
        ("recording", {"RecordingSid": "../../etc/passwd", "RecordingStatus": "completed"}, "RecordingSid"),
        ("recording", {"RecordingSid": ONE, "RecordingStatus": "stolen"}, "RecordingStatus"),
        ("take?step=1", {"RecordingSid": ONE, "RecordingDuration": "long"}, "RecordingDuration"),
        ("take?step=1", {"RecordingSid": ONE, "RecordingDuration": "nan"}, "RecordingDuration"),
        ("take?step=1", {}, "RecordingSid"),
        ("take?step=1", {"RecordingSid": ONE, "Digits": "<script>"}, "Digits"),
        ("consent?step=1&attempt=1", {"Digits": "1" * 500}, "Digits"),
        ("consent?step=1", {"Digits": "1"}, "attempt"),
        ("consent?step=x&attempt=1", {"Digits": "1"}, "step"),
        ("consent?step=1&attempt=-1", {"Digits": "1"}, "attempt"),
        ("review?step=1&waited=99999999", {}, "waited"),
        ("fallback", {"CallSid": "CA1", "ErrorUrl": f"{BASE}/telephony/calls/c/answer"}, "CallSid"),
        ("fallback", {"ErrorUrl": f"{BASE}/telephony/calls/c/consent?step=x"}, "step"),
        ("fallback", {"ErrorUrl": f"{BASE}/telephony/calls/c/consent?step=99999999"}, "step"),
        ("fallback", {"ErrorUrl": f"{BASE}/telephony/calls/{'c' * 500}/answer"}, "failed"),
        ("fallback", {"ErrorUrl": "https://[::1"}, "Invalid IPv6"),
        ("answered-by", {}, "AnsweredBy"),
        ("answered-by", {"AnsweredBy": "<machine>"}, "AnsweredBy"),
        ("answered-by", {"AnsweredBy": "machine_start", "CallSid": "CA1"}, "CallSid"),
    ],
)
async def test_values_that_make_no_sense_are_refused_in_words(
    call: CallUnderTest, place: str, form: dict[str, str], named: str
) -> None:
    with capture_logs() as logs:
        answer = await call.send(f"{BASE}/telephony/calls/{call.call_id}/{place}", form)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]
    assert [entry["event"] for entry in logs] == ["webhook.refused"]
    assert await call.rows(ReceivedWebhook) == []


async def test_without_a_token_nobody_is_heard(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_CALLER_ID"):
        monkeypatch.delenv(name, raising=False)
    async with front(tmp_path, empty, TelephonySettings(public_base_url=BASE)) as phones:
        call = await phones.place()
        for token in ("", "None", "none"):
            call.token = token
            assert (await call.report("completed")).status_code == 403


async def test_a_shared_key_signs_for_twilio(tmp_path: Path, empty: Path) -> None:
    settings = telephony_settings(twilio_shared_keys="key-1:its-secret")
    async with front(tmp_path, empty, settings) as phones:
        call = await phones.place()
        url = urldefrag(call.urls.status).url
        form = {"CallSid": call.sid, "CallStatus": "ringing"}
        signer = {"X-Twilio-Webhooks-Signature-Settings": "key=key-1,algorithm=HMAC_SHA256"}

        def signed(secret: str) -> dict[str, str]:
            signature = RequestValidator(secret).compute_signature(url, form, "HMAC_SHA256")
            return {**signer, "X-Twilio-Signature": signature}

        assert (await call.client.post(url, data=form, headers=signed(TOKEN))).status_code == 403
        assert await call.rows(ReceivedWebhook) == []
        assert (await call.client.post(url, data=form, headers=signed("its-secret"))).status_code == 204
        assert (await call.call()).status is CallStatus.RINGING


async def test_a_report_may_come_as_json(call: CallUnderTest) -> None:
    body = json.dumps({"CallSid": call.sid, "CallStatus": "completed", "CallDuration": 12, "SipResponseCode": None})
    plain = urldefrag(call.urls.status).url
    url = f"{plain}?bodySHA256={sha256(body.encode()).hexdigest()}"

    def headers(signed: str) -> dict[str, str]:
        signature = RequestValidator(TOKEN).compute_signature(signed, {})
        return {"Content-Type": "application/json", "X-Twilio-Signature": signature}

    for where, what in ((plain, body), (url, body.replace("12", "13"))):
        assert (await call.client.post(where, content=what, headers=headers(where))).status_code == 403
    assert await call.rows(ReceivedWebhook) == []
    assert (await call.client.post(url, content=body, headers=headers(url))).status_code == 204
    assert (await call.call()).status is CallStatus.COMPLETED


# ── the sound of a take ──────────────────────────────────────────────────────


async def test_a_take_is_played_to_its_own_call_only(phones: Front, call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE)
    await call.listened(24.0, sound=b"RIFF the take")
    url = (await call.press(await call.go_on(hold), "2")).play
    other = await phones.place()

    assert (await phones.client.get(url)).status_code == 200
    plain = url.partition("?")[0]
    for wrong in (
        plain,
        f"{plain}?expires=9999999999&signature=x",
        f"{plain}?expires=x&signature=x",
        f"{plain}?expires={'9' * 5000}&signature=x",
        url.replace("signature=", "signature=x"),
        url.replace(call.call_id, other.call_id),
    ):
        assert (await phones.client.get(wrong)).status_code == 403, wrong


async def test_a_take_that_has_not_been_fetched_is_not_found(call: CallUnderTest) -> None:
    hold = await call.speak(await call.agree(), ONE)
    await call.listened(24.0)
    url = (await call.press(await call.go_on(hold), "2")).play
    assert (await call.client.get(url)).status_code == 404


# ── our own troubles, and what is kept ───────────────────────────────────────


async def test_a_fault_of_ours_is_tried_again(call: CallUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(call.studio.desk, "answered", broken)
    monkeypatch.setattr(call.studio.desk, "call_status", broken)
    with capture_logs() as logs:
        failed = await call.send(call.urls.answer)
        assert (await call.report("completed")).status_code == 500
    assert (failed.status_code, "disk" in failed.text) == (500, False)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["webhook.failed"]
    assert await call.rows(ReceivedWebhook) == []  # not received: it may be delivered again
    monkeypatch.undo()
    assert "press 1" in (await call.answer()).words


async def test_only_what_is_used_is_kept_and_no_number_is_logged(phones: Front) -> None:
    with capture_logs() as logs:
        call = await phones.place(code="4821")
        await call.report("ringing", Timestamp="Sun, 22 Nov 2026 17:00:00 +0000")
        await call.speak(await call.press(await call.answer(), "4821"), ONE)
        await call.report_recording(ONE)
    kept = {row.kind: row.parameters for row in await call.rows(ReceivedWebhook)}
    assert kept == {
        "status": {"call_sid": call.sid, "status": "RINGING", "at": "2026-11-22T17:00:00Z"},
        "answer": {"call_sid": call.sid, "step": "0"},
        "consent": {"call_sid": call.sid, "step": "1", "digits": "4821", "attempt": "1"},
        "take": {"call_sid": call.sid, "step": "2", "digits": "1", "recording_sid": ONE, "seconds": "25.0"},
        "recording": {"call_sid": call.sid, "recording_sid": ONE, "status": "completed"},
    }
    assert logs
    assert not any(PHONE in str(entry) or PHONE[1:] in str(entry) for entry in logs)
