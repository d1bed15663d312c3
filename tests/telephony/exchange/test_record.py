"""Recording a caller, with a real human voice for a mouth."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from twilio.base.exceptions import TwilioRestException
from websockets.asyncio.client import connect

from audio.pcm import Pcm
from audio.resample import resample
from audio.wav import read_audio_file, read_wav
from telephony.exchange.phone import Phone
from telephony.exchange.protocol import (
    Answer,
    Ended,
    FromExchange,
    FromPhone,
    Recorded,
    Recording,
    Ringing,
    Said,
    decode_from_exchange,
)
from telephony.exchange.scripted import Script
from tests.telephony.exchange import harness
from tests.telephony.exchange.harness import ACCOUNT, NUMBER, TOKEN, Application, ExchangeUnderTest, Webhook, pick_up

READER = read_audio_file(Path(__file__).parents[3] / "deadringer" / "data" / "caller.flac")
SENTENCE = READER.cut(0, 4)


def record(application: Application, **attributes: str) -> str:
    given = {
        "action": "/done",
        "recordingStatusCallback": "/recording",
        "recordingStatusCallbackEvent": "in-progress completed absent",
        **attributes,
    }
    written = " ".join(f"{name}='{value}'" for name, value in given.items())
    application.answers["/voice"] = f"<Record {written}/><Say>Nothing.</Say>"
    return f"{application.url}/voice"


def ends(heard: list[FromExchange | FromPhone]) -> list[Recorded]:
    return [message for message in heard if isinstance(message, Recorded)]


def sound_files(folder: Path) -> list[Path]:
    return list(folder.rglob("*.wav"))


async def fetch_media(url: str) -> httpx.Response:
    async with httpx.AsyncClient(auth=(ACCOUNT, TOKEN), trust_env=False) as client:
        return await client.get(url)


async def test_recording_is_ended_by_a_key_and_can_be_fetched(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    heard: list[FromExchange | FromPhone] = []
    phone = await pick_up(exchange, Script(keys=["1"], speech=[READER]), heard=heard)
    call = await exchange.call(url=record(application, trim="do-not-trim", maxLength="60", timeout="5"))
    await phone
    [recorded] = ends(heard)
    assert recorded.reason == "key"
    assert recorded.seconds == pytest.approx(READER.seconds, abs=1.5)  # the pauses before and after are silent
    assert not any(isinstance(message, Said) for message in heard)  # what follows the recording is not carried out

    [done] = application.received("/done")
    assert done.parameters["Digits"] == "1"
    assert done.parameters["RecordingDuration"] == str(round(recorded.seconds))
    assert done.parameters["CallStatus"] == "in-progress"
    url, sid = done.parameters["RecordingUrl"], done.parameters["RecordingSid"]
    assert url == f"{exchange.url}/2010-04-01/Accounts/{ACCOUNT}/Recordings/{sid}"

    begun, completed = [webhook.parameters for webhook in await application.wait_for("/recording", 2)]
    assert begun["RecordingStatus"] == "in-progress"
    assert completed["RecordingStatus"] == "completed"
    assert completed["RecordingDuration"] == done.parameters["RecordingDuration"]
    for callback in (begun, completed):
        assert (callback["RecordingSid"], callback["CallSid"], callback["RecordingUrl"]) == (sid, call.sid, url)
        assert (callback["RecordingSource"], callback["RecordingChannels"]) == ("RecordVerb", "1")
    assert all(webhook.signed for webhook in application.webhooks)

    instance = await exchange.api(lambda client: client.recordings(sid).fetch())
    assert (instance.status, instance.call_sid, instance.source) == ("completed", call.sid, "RecordVerb")
    assert instance.duration == completed["RecordingDuration"]
    assert instance.channels == 1

    for media in (url, f"{url}.wav"):
        response = await fetch_media(media)
        assert (response.status_code, response.headers["content-type"]) == (200, "audio/x-wav")
        pcm = read_wav(response.content)
        assert pcm.rate == 8000
        assert pcm.seconds == pytest.approx(recorded.seconds)
    assert likeness(pcm, READER) > 0.95


def likeness(one: Pcm, other: Pcm) -> float:
    """The highest correlation of two sounds over all shifts in time."""
    a, b = (resample(pcm, 8000).samples for pcm in (one, other))
    size = len(a) + len(b)
    product = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    return float(np.max(product) / (np.linalg.norm(a) * np.linalg.norm(b)))


async def test_silence_ends_a_recording_and_is_trimmed(exchange: ExchangeUnderTest, application: Application) -> None:
    heard: list[FromExchange | FromPhone] = []
    phone = await pick_up(exchange, Script(speech=[SENTENCE]), heard=heard)
    await exchange.call(url=record(application, timeout="3"))
    await phone
    [recorded] = ends(heard)
    assert recorded.reason == "silence"
    assert recorded.seconds == pytest.approx(SENTENCE.seconds + 3, abs=1.5)
    [done] = application.received("/done")
    assert "Digits" not in done.parameters
    await application.wait_for("/recording", 2)
    pcm = read_wav((await fetch_media(done.parameters["RecordingUrl"])).content)
    assert pcm.seconds <= SENTENCE.seconds + 0.3


async def test_longest_time_ends_a_recording_to_the_sample(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    heard: list[FromExchange | FromPhone] = []
    phone = await pick_up(exchange, Script(speech=[READER]), heard=heard)
    await exchange.call(url=record(application, maxLength="7", trim="do-not-trim"))
    await phone
    [recorded] = ends(heard)
    assert (recorded.reason, recorded.seconds) == ("max-length", 7.0)
    await application.wait_for("/recording", 2)
    media = await fetch_media(application.received("/done")[0].parameters["RecordingUrl"])
    assert len(read_wav(media.content)) == 7 * 8000


async def test_key_that_ends_nothing_is_passed_over(exchange: ExchangeUnderTest, application: Application) -> None:
    heard: list[FromExchange | FromPhone] = []
    phone = await pick_up(exchange, Script(keys=["23#"], speech=[SENTENCE]), heard=heard)
    await exchange.call(url=record(application, finishOnKey="1#"))
    await phone
    assert application.received("/done")[0].parameters["Digits"] == "#"


async def test_silence_alone_is_no_recording(exchange: ExchangeUnderTest, application: Application) -> None:
    heard: list[FromExchange | FromPhone] = []
    phone = await pick_up(exchange, Script(), heard=heard)
    await exchange.call(url=record(application, timeout="4"))
    await phone
    assert [message.text for message in heard if isinstance(message, Said)] == ["Nothing."]
    assert application.received("/done") == []
    begun, absent = [webhook.parameters for webhook in await application.wait_for("/recording", 2)]
    assert (begun["RecordingStatus"], absent["RecordingStatus"]) == ("in-progress", "absent")
    sid = absent["RecordingSid"]
    assert (await exchange.api(lambda client: client.recordings(sid).fetch())).status == "absent"
    assert (await fetch_media(absent["RecordingUrl"])).status_code == 404


async def test_phone_that_sends_no_sound_at_all_is_silent(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    async with connect(f"{exchange.url.replace('http', 'ws')}/phones/{NUMBER}", proxy=None) as socket:
        await exchange.call(url=record(application, timeout="1"))
        async for frame in socket:
            match decode_from_exchange(str(frame)):
                case Ringing():
                    await socket.send(Answer().encode())
                case Recorded(reason=reason, seconds=seconds):
                    assert (reason, seconds) == ("silence", 0)
                case Ended():
                    break
    assert (await application.wait_for("/recording", 2))[1].parameters["RecordingStatus"] == "absent"


async def test_hang_up_while_speaking_keeps_what_was_said(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    heard: list[FromExchange | FromPhone] = []
    script = Script(keys=["1"], speech=[READER], hang_up_after="speaking")
    phone = await pick_up(exchange, script, heard=heard)
    call = await exchange.call(url=record(application), status_callback=f"{application.url}/status")
    await phone
    [recorded] = ends(heard)
    assert recorded.reason == "hang-up"
    [done] = await application.wait_for("/done")
    assert done.parameters["Digits"] == "hangup"
    assert done.parameters["CallStatus"] == "completed"
    assert done.parameters["CallSid"] == call.sid
    completed = (await application.wait_for("/recording", 2))[1].parameters
    assert completed["RecordingStatus"] == "completed"
    assert int(completed["RecordingDuration"]) == pytest.approx(READER.seconds / 2, abs=2)


async def test_hang_up_before_a_word_is_no_recording(exchange: ExchangeUnderTest, application: Application) -> None:
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(url=record(application))
        async for message in phone:
            match message:
                case Ringing():
                    await phone.answer()
                case Recording():
                    await phone.hang_up()
                case Ended():
                    break
    assert (await application.wait_for("/recording", 2))[1].parameters["RecordingStatus"] == "absent"
    assert application.received("/done") == []


async def test_redirection_ends_a_recording(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/elsewhere"] = "<Say>Elsewhere.</Say>"
    heard: list[str] = []
    async with Phone(exchange.url, NUMBER) as phone:
        call = await exchange.call(url=record(application, timeout="600"))
        async for message in phone:
            match message:
                case Ringing():
                    await phone.answer()
                case Recording():
                    await exchange.api(lambda client: client.calls(call.sid).update(url=f"{application.url}/elsewhere"))
                case Said():
                    heard.append(message.text)
                case Recorded():
                    assert message.reason == "redirected"
                case Ended():
                    break
    assert heard == ["Elsewhere."]


async def test_each_recording_of_a_call_hears_the_next_speech(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    heard: list[FromExchange | FromPhone] = []
    phone = await pick_up(exchange, Script(keys=["1", "1", "1"], speech=[SENTENCE, READER.cut(0, 8)]), heard=heard)
    application.answers["/done"] = ["<Record action='/done'/>", "<Record action='/last'/>"]
    call = await exchange.call(url=record(application))
    await phone
    assert [round(message.seconds / 4) for message in ends(heard)] == [1, 2, 2]
    listed = await exchange.api(lambda client: client.calls(call.sid).recordings.list())
    assert len(listed) == 3
    assert {recording.call_sid for recording in listed} == {call.sid}


async def test_recording_is_late_and_gone_once_deleted(tmp_path: Path, application: Application) -> None:
    async with harness.exchange(tmp_path, recording_delay=36_000) as exchange:  # longer than the test
        phone = await pick_up(exchange, Script(keys=["1"], speech=[SENTENCE]))
        await exchange.call(url=record(application))
        await phone
        [done] = application.received("/done")
        sid, url = done.parameters["RecordingSid"], done.parameters["RecordingUrl"]
        assert (await exchange.api(lambda client: client.recordings(sid).fetch())).status == "processing"
        late = await fetch_media(f"{url}.wav")
        assert late.status_code == 404
        assert late.json()["code"] == 20404

    # The exchange that is started again makes it available.
    async with harness.exchange(tmp_path, recording_delay=0) as exchange:
        await application.wait_for("/recording", 2)
        url = f"{exchange.url}/2010-04-01/Accounts/{ACCOUNT}/Recordings/{sid}"
        assert (await fetch_media(url)).status_code == 200
        assert await exchange.api(lambda client: client.recordings(sid).delete()) is True
        assert (await fetch_media(url)).status_code == 404
        with pytest.raises(TwilioRestException) as refused:
            await exchange.api(lambda client: client.recordings(sid).fetch())
        assert (refused.value.status, refused.value.code) == (404, 20404)
        assert await exchange.api(lambda client: client.recordings.list()) == []
        remembered = await exchange.api(lambda client: client.recordings(sid).fetch(include_soft_deleted=True))
        assert remembered.status == "deleted"
        with pytest.raises(TwilioRestException):
            await exchange.api(lambda client: client.recordings(sid).delete())
    assert sound_files(tmp_path) == []


async def test_recording_that_is_deleted_before_it_is_available_stays_deleted(
    tmp_path: Path, application: Application
) -> None:
    async with harness.exchange(tmp_path, recording_delay=100) as exchange:

        async def delete(webhook: Webhook) -> str:
            sid = webhook.parameters["RecordingSid"]
            await exchange.api(lambda client: client.recordings(sid).delete())
            return "<Record action='/last' recordingStatusCallback='/second'/>"

        phone = await pick_up(exchange, Script(keys=["1", "1"], speech=[SENTENCE]))
        await exchange.call(url=record(application))
        application.answers["/done"] = delete
        await phone
        await application.wait_for("/second")  # the first recording's turn would have come before
        told = [webhook.parameters["RecordingStatus"] for webhook in application.received("/recording")]
        assert told == ["in-progress"]


async def test_recording_that_cannot_be_stored_ends_the_call(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    phone = await pick_up(exchange, Script(keys=["1"], speech=[SENTENCE]))
    await exchange.call(url=record(application), status_callback=f"{application.url}/status")
    folder = exchange.settings.data / "recordings"
    begun = (await application.wait_for("/recording"))[0].parameters
    (folder / f"{begun['RecordingSid']}.wav").mkdir()  # in the way of the file
    [end] = await phone
    assert isinstance(end, Ended)
    assert end.error_code == 20500
    assert (await application.wait_for("/status"))[0].parameters["CallStatus"] == "completed"
