"""Twilio as the carrier: the real SDK against a server that answers as Twilio does, or worse."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest

from audio.pcm import Pcm
from audio.wav import read_wav, write_wav
from studio.mistakes import FailureCode
from studio.ports import (
    CallOrder,
    CallRefused,
    Carrier,
    CarrierError,
    CarrierUnavailable,
    RecordingNotThere,
    RecordingUnusable,
)
from studio.states import CallPurpose, CallStatus
from telephony import carrier as carrier_module
from telephony.carrier import TwilioCarrier
from telephony.settings import TelephonySettings
from telephony.urls import RETRIES
from tests.telephony.standin import Reply, StandIn, json_reply, refusal, stand_in

ACCOUNT = "AC" + "1" * 32
TOKEN = "a-very-secret-token"
CALL = "CA" + "2" * 32
RECORDING = "RE" + "3" * 32
ORDER = CallOrder(call_id="f" * 32, phone="+14155552671", purpose=CallPurpose.CLONE, ring_seconds=40, time_limit=600)
WAV = write_wav(Pcm(np.sin(np.linspace(0, 600, 8000, dtype=np.float32)).astype(np.float32), 8000))
WAV_REPLY = Reply(200, WAV, {"Content-Type": "audio/x-wav"})


def settings(url: str, **more: str) -> TelephonySettings:
    return TelephonySettings.model_validate(
        {
            "twilio_account_sid": ACCOUNT,
            "twilio_auth_token": TOKEN,
            "twilio_caller_id": "+14155550100",
            "twilio_api_url": url,
            "public_base_url": "https://voices.example.com/app",
            **more,
        }
    )


@pytest.fixture
async def twilio() -> AsyncIterator[StandIn]:
    async with stand_in() as service:
        yield service


@pytest.fixture
async def carrier(twilio: StandIn) -> AsyncIterator[TwilioCarrier]:
    async with TwilioCarrier(settings(twilio.url)) as carrier:
        yield carrier


def call(status: str) -> Reply:
    return json_reply(200, sid=CALL, status=status)


# ── placing ──────────────────────────────────────────────────────────────────


async def test_a_call_is_placed_with_everything_that_it_needs(twilio: StandIn, carrier: Carrier) -> None:
    twilio.reply(json_reply(201, sid=CALL, status="queued"))

    assert await carrier.place_call(ORDER) == CALL

    [request] = twilio.received
    assert request.method == "POST"
    assert request.path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    ours = f"https://voices.example.com/app/telephony/calls/{ORDER.call_id}"
    assert request.form == {
        "To": ["+14155552671"],
        "From": ["+14155550100"],
        "Url": [f"{ours}/answer{RETRIES}"],
        "Method": ["POST"],
        "FallbackUrl": [f"{ours}/fallback{RETRIES}"],
        "FallbackMethod": ["POST"],
        "StatusCallback": [f"{ours}/status{RETRIES}"],
        "StatusCallbackMethod": ["POST"],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "Timeout": ["40"],
        "TimeLimit": ["600"],
        "Record": ["false"],
        "MachineDetection": ["Enable"],
        "AsyncAmd": ["true"],
        "AsyncAmdStatusCallback": [f"{ours}/answered-by{RETRIES}"],
        "AsyncAmdStatusCallbackMethod": ["POST"],
    }


async def test_machines_are_listened_for_only_if_that_is_wanted(twilio: StandIn) -> None:
    twilio.reply(json_reply(201, sid=CALL, status="queued"))
    async with TwilioCarrier(settings(twilio.url, twilio_machine_detection="false")) as carrier:
        await carrier.place_call(ORDER)
    assert not [name for name in twilio.received[0].form if "Machine" in name or "Amd" in name]


async def test_who_has_lost_the_work_places_no_call(twilio: StandIn, carrier: Carrier) -> None:
    async def taken_over() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await carrier.place_call(replace(ORDER, permit=taken_over))
    assert twilio.received == []


@pytest.mark.parametrize(
    "reply",
    [
        refusal(500, 20500),
        Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}),
        Reply(503, b""),
        Reply(dropped=True),
        Reply(201, b'{"sid": "CA', missing=10),
        Reply(201, b"not JSON"),
        Reply(201, b"[]"),
        Reply(201, b""),
        Reply(201, b"{}"),
        Reply(201, b" " * (2 << 20)),
    ],
)
async def test_without_a_clear_answer_the_call_may_have_been_placed_and_is_not_placed_again(
    twilio: StandIn, carrier: Carrier, reply: Reply
) -> None:
    twilio.reply(reply)
    with pytest.raises(CarrierUnavailable):
        await carrier.place_call(ORDER)
    assert len(twilio.received) == 1


@pytest.mark.parametrize("reply", [Reply(silent=True), Reply(201, dripping=True)])
async def test_an_answer_that_does_not_come_is_not_waited_for(twilio: StandIn, reply: Reply) -> None:
    twilio.reply(reply)
    async with TwilioCarrier(settings(twilio.url), seconds=0.3) as hasty:
        with pytest.raises(CarrierUnavailable):
            await hasty.place_call(ORDER)
    assert len(twilio.received) == 1


async def test_a_refused_connection_is_certain_not_to_have_placed_a_call() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        async with TwilioCarrier(settings(f"http://127.0.0.1:{nobody.getsockname()[1]}")) as carrier:
            with pytest.raises(CallRefused, match="no call was placed") as refused:
                await carrier.place_call(ORDER)
    assert refused.value.code == FailureCode.CARRIER_UNAVAILABLE
    assert refused.value.retryable


async def test_a_connection_that_never_comes_about_is_certain_too() -> None:
    """A server whose queue of connections is full lets the next one wait."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for queued in (first, second):
            queued.setblocking(False)
            queued.connect_ex(server.getsockname())
        async with TwilioCarrier(settings(f"http://127.0.0.1:{server.getsockname()[1]}"), seconds=1.0) as carrier:
            with pytest.raises(CallRefused, match="no call was placed"):
                await carrier.place_call(ORDER)


async def test_nothing_is_asked_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_ACCOUNT_SID", raising=False)
    async with TwilioCarrier(TelephonySettings()) as carrier:
        assert "TWILIO_ACCOUNT_SID" in str(await carrier.health())
        with pytest.raises(CallRefused, match="TWILIO_ACCOUNT_SID") as refused:
            await carrier.place_call(ORDER)
        assert refused.value.code == FailureCode.CARRIER_ACCOUNT


async def test_with_credentials_nothing_is_missing(carrier: Carrier) -> None:
    assert await carrier.health() is None


async def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    twilio: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    twilio.reply(json_reply(201, sid=CALL, status="queued"))
    async with TwilioCarrier(settings(twilio.url)) as carrier:
        assert await carrier.place_call(ORDER) == CALL


# ── its status, and its end ──────────────────────────────────────────────────


@pytest.mark.parametrize("status", CallStatus)
async def test_each_status_has_its_name(twilio: StandIn, carrier: Carrier, status: CallStatus) -> None:
    twilio.reply(call(status.lower().replace("_", "-")))
    assert await carrier.call_status(CALL) is status
    assert twilio.received[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL}.json"


async def test_a_status_that_nobody_knows_is_no_clear_answer(twilio: StandIn, carrier: Carrier) -> None:
    twilio.reply(call("dreaming"))
    with pytest.raises(CarrierUnavailable):
        await carrier.call_status(CALL)


async def test_a_call_that_twilio_does_not_know_is_not_a_passing_trouble(twilio: StandIn, carrier: Carrier) -> None:
    twilio.reply(refusal(404, 20404))
    with pytest.raises(CarrierError) as unknown:
        await carrier.call_status(CALL)
    assert not isinstance(unknown.value, CarrierUnavailable)


def endings(twilio: StandIn) -> list[str]:
    return [request.form["Status"][0] for request in twilio.received if request.method == "POST"]


@pytest.mark.parametrize(
    ("replies", "asked"),
    [
        ([call("ringing"), call("canceled")], ["canceled"]),
        ([call("queued"), call("canceled")], ["canceled"]),
        ([call("in-progress"), call("completed")], ["completed"]),
        ([call("completed")], []),
        ([call("busy")], []),
        ([refusal(404, 20404)], []),
        # answered between the question and the request to cancel it
        ([call("ringing"), call("in-progress"), call("completed")], ["canceled", "completed"]),
        ([call("ringing"), refusal(400, 21220), call("in-progress"), call("completed")], ["canceled", "completed"]),
        # over between the question and the request
        ([call("in-progress"), refusal(400, 21220), call("completed")], ["completed"]),
        ([call("ringing"), refusal(400, 21220), call("no-answer")], ["canceled"]),
        ([call("in-progress"), refusal(404, 20404)], ["completed"]),
    ],
)
async def test_a_call_ends_whatever_it_was_doing(
    twilio: StandIn, carrier: Carrier, replies: list[Reply], asked: list[str]
) -> None:
    twilio.reply(*replies)
    await carrier.hang_up(CALL)
    assert endings(twilio) == asked


# ── recordings ───────────────────────────────────────────────────────────────


async def test_the_recordings_of_a_call_oldest_first(twilio: StandIn, carrier: Carrier) -> None:
    def recording(digit: str, status: str, minute: int, duration: str | None) -> dict[str, object]:
        made = f"Sun, 22 Nov 2026 17:{minute:02}:00 +0000"
        return {"sid": "RE" + digit * 32, "status": status, "date_created": made, "duration": duration}

    twilio.reply(
        json_reply(
            200,
            recordings=[
                recording("4", "processing", 9, "-1"),
                recording("3", "completed", 5, "24"),
                recording("5", "absent", 7, None),
                recording("6", "deleted", 6, "3"),
            ],
            next_page_uri=None,
        )
    )
    found = await carrier.recordings_of(CALL)
    assert [(each.sid[-1], each.seconds, each.ready) for each in found] == [("3", 24.0, True), ("4", 0.0, False)]
    assert twilio.received[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Recordings.json"
    assert twilio.received[0].query["CallSid"] == [CALL]


async def test_a_recording_is_fetched_by_its_sid(twilio: StandIn, carrier: Carrier) -> None:
    twilio.reply(WAV_REPLY)
    data = await carrier.fetch_recording(RECORDING)
    assert data == WAV
    assert len(read_wav(data)) == 8000
    assert twilio.received[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/{RECORDING}.wav"
    assert "authorization" in twilio.received[0].headers


async def test_a_recording_that_is_not_there_yet_is_there_later(twilio: StandIn, carrier: Carrier) -> None:
    twilio.reply(refusal(404, 20404), refusal(404, 20404), WAV_REPLY)
    for _ in range(2):
        with pytest.raises(RecordingNotThere):
            await carrier.fetch_recording(RECORDING)
    assert await carrier.fetch_recording(RECORDING) == WAV


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), "text/html"),
        (Reply(200, WAV, {}), "without a type"),
        (Reply(200, b"", {"Content-Type": "audio/x-wav"}), "empty"),
        (Reply(200, b"ID3 not a wav" * 9, {"Content-Type": "audio/x-wav"}), "not a WAV"),
        (Reply(200, WAV[:-1000], {"Content-Type": "audio/x-wav"}), "cut short"),
        (Reply(200, write_wav(Pcm(np.zeros(0, np.float32), 8000)), {"Content-Type": "audio/x-wav"}), "no sound"),
    ],
)
async def test_what_is_no_recording_is_not_taken_for_one(
    twilio: StandIn, carrier: Carrier, reply: Reply, words: str
) -> None:
    twilio.reply(reply)
    with pytest.raises(RecordingUnusable, match=words):
        await carrier.fetch_recording(RECORDING)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, WAV[:-1000], {"Content-Type": "audio/x-wav"}, missing=1000),
        Reply(dropped=True),
        refusal(500, 20500),
        refusal(401, 20003),
        Reply(302, b"", {"Location": "/2010-04-01/again"}),
    ],
)
async def test_a_broken_transfer_may_succeed_another_time(twilio: StandIn, carrier: Carrier, reply: Reply) -> None:
    twilio.reply(reply)
    with pytest.raises(CarrierUnavailable):
        await carrier.fetch_recording(RECORDING)


@pytest.mark.parametrize("reply", [Reply(silent=True), Reply(200, dripping=True)])
async def test_a_transfer_that_takes_too_long_is_given_up(twilio: StandIn, reply: Reply) -> None:
    twilio.reply(reply)
    async with TwilioCarrier(settings(twilio.url), seconds=0.3) as hasty:
        with pytest.raises(CarrierUnavailable):
            await hasty.fetch_recording(RECORDING)


async def test_a_recording_that_is_too_large_is_not_read_to_its_end(
    twilio: StandIn, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier_module, "MAX_RECORDING_BYTES", 10_000)
    twilio.reply(WAV_REPLY)
    with pytest.raises(RecordingUnusable, match="larger"):
        await carrier.fetch_recording(RECORDING)


async def test_another_host_is_not_told_the_password(twilio: StandIn, carrier: Carrier) -> None:
    async with stand_in() as elsewhere:
        elsewhere.reply(WAV_REPLY)
        port = urlsplit(elsewhere.url).port
        twilio.reply(Reply(307, b"", {"Location": f"http://localhost:{port}/stored.wav?key=1"}))
        assert await carrier.fetch_recording(RECORDING) == WAV
        [request] = elsewhere.received
        assert (request.path, request.query) == ("/stored.wav", {"key": ["1"]})
        assert "authorization" not in request.headers


async def test_a_redirect_within_twilio_keeps_the_password(twilio: StandIn, carrier: Carrier) -> None:
    twilio.reply(Reply(302, b"", {"Location": "/elsewhere.wav"}), WAV_REPLY)
    assert await carrier.fetch_recording(RECORDING) == WAV
    assert "authorization" in twilio.received[1].headers


async def test_deleting_a_recording_that_is_gone_is_no_error(twilio: StandIn, carrier: Carrier) -> None:
    twilio.reply(Reply(204, b""), refusal(404, 20404))
    await carrier.delete_recording(RECORDING)
    await carrier.delete_recording(RECORDING)
    assert [(request.method, request.path) for request in twilio.received] == [
        ("DELETE", f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/{RECORDING}.json")
    ] * 2


async def test_deleting_that_fails_is_said(twilio: StandIn, carrier: Carrier) -> None:
    twilio.reply(refusal(500, 20500))
    with pytest.raises(CarrierUnavailable):
        await carrier.delete_recording(RECORDING)


async def test_nothing_holds_up_the_loop(twilio: StandIn, carrier: Carrier) -> None:
    """While Twilio lets one request wait, others are sent and answered."""
    twilio.reply(Reply(silent=True), call("ringing"))
    waiting = asyncio.create_task(carrier.fetch_recording(RECORDING))
    await twilio.asked.wait()
    assert await carrier.call_status(CALL) is CallStatus.RINGING
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
