"""The parts whose rules are easier to pin down by themselves."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.g711 import encode_mulaw
from audio.pcm import Pcm
from telephony.exchange.calls import Call, CallStatus, Instructions
from telephony.exchange.clock import PATIENCE, Clock
from telephony.exchange.microphone import Microphone
from telephony.exchange.protocol import SAMPLE_RATE
from telephony.exchange.recorder import FRAME, Recorder
from telephony.exchange.twiml import Gather, Pause, Play, Record, Say, parse
from telephony.exchange.webhooks import Connection


def noise(seconds: float, dbfs: float) -> bytes:
    """μ-law noise of a given power."""
    samples = np.random.default_rng(1).standard_normal(round(seconds * SAMPLE_RATE)) * 10 ** (dbfs / 20)
    return encode_mulaw(Pcm(samples.astype(np.float32), SAMPLE_RATE))


SPEECH = noise(1, -25)
BACKGROUND = noise(1, -60)


async def heard(sound: bytes, cuts: list[int], *, timeout: float = 2, max_length: float = 8) -> tuple[str, int, int]:
    """How a recording of `sound`, arriving cut at some places, ends: why, with how many samples, and how many
    trimmed."""
    recorder = Recorder(timeout, max_length, "#")
    for start, end in zip([0, *cuts], [*cuts, len(sound)], strict=True):
        recorder.hear(sound[start:end])
    reason = recorder.ended.result() if recorder.ended.done() else "goes on"
    return reason, len(recorder.sound(trim=False)), len(recorder.sound(trim=True))


async def test_recorder_ends_after_silence_and_trims_it() -> None:
    reason, samples, trimmed = await heard(BACKGROUND + SPEECH + 5 * BACKGROUND, [])
    assert (reason, samples) == ("silence", 4 * SAMPLE_RATE)
    assert trimmed == SAMPLE_RATE + 2 * 5 * FRAME


async def test_recorder_goes_on_through_a_pause() -> None:
    assert (await heard(SPEECH + BACKGROUND + SPEECH, []))[0] == "goes on"


async def test_recorder_ends_at_its_length() -> None:
    assert (await heard(9 * SPEECH, []))[:2] == ("max-length", 8 * SAMPLE_RATE)


async def test_recorder_knows_that_it_heard_nothing() -> None:
    recorder = Recorder(5, 60, "#")
    recorder.hear(BACKGROUND)
    assert recorder.is_empty
    recorder.hear(SPEECH)
    assert not recorder.is_empty


@given(cuts=st.lists(st.integers(0, 8 * SAMPLE_RATE), max_size=12).map(sorted))
def test_recorder_does_not_depend_on_how_sound_is_cut(cuts: list[int]) -> None:
    sound = BACKGROUND + SPEECH + BACKGROUND + SPEECH + 4 * BACKGROUND

    async def both() -> None:
        assert await heard(sound, cuts) == await heard(sound, [])

    asyncio.run(both())


async def test_microphone_sends_speech_then_silence_in_order() -> None:
    sent = bytearray()
    silence_came = asyncio.Event()

    async def send(sound: bytes) -> None:
        sent.extend(sound)
        if sent.endswith(b"\xff" * SAMPLE_RATE):
            silence_came.set()

    microphone = Microphone(send, 1000)
    assert not await microphone.speak(SPEECH)  # closed
    microphone.open()
    assert await microphone.speak(SPEECH)
    assert sent.lstrip(b"\xff") == SPEECH
    assert await microphone.speak(SPEECH)
    assert sent.endswith(SPEECH)
    await asyncio.wait_for(silence_came.wait(), 20)
    assert sent.rstrip(b"\xff").endswith(SPEECH.rstrip(b"\xff"))
    await microphone.close()


async def test_speech_ends_unspoken_with_the_microphone() -> None:
    sending = asyncio.Event()

    async def send(_: bytes) -> None:
        sending.set()

    microphone = Microphone(send, 1)
    microphone.open()
    speaking = asyncio.create_task(microphone.speak(SPEECH))
    await asyncio.wait_for(sending.wait(), 20)
    await microphone.close()
    assert not await speaking


def test_call_goes_along_its_states_only() -> None:
    call = Call.create("AC", Instructions(to="+14155550123", caller="+14155550100"))
    with pytest.raises(ValueError, match="from queued to in-progress"):
        call.move_to(CallStatus.IN_PROGRESS)
    for status in (CallStatus.INITIATED, CallStatus.RINGING, CallStatus.IN_PROGRESS, CallStatus.COMPLETED):
        call.move_to(status)
    for status in CallStatus:
        with pytest.raises(ValueError, match="from completed"):
            call.move_to(status)


def test_billed_minutes_are_rounded_up() -> None:
    instructions = Instructions(to="+14155550123", caller="+14155550100", status_callback="http://localhost/")
    call = Call.create("AC", instructions)
    for status in (CallStatus.INITIATED, CallStatus.RINGING, CallStatus.IN_PROGRESS):
        call.move_to(status)
    call.move_to(CallStatus.COMPLETED, seconds=61.4)
    parameters = call.status_callback_parameters() or {}
    assert (parameters["CallDuration"], parameters["Duration"]) == ("61", "2")


def test_patience_has_a_floor_that_is_no_longer_than_what_was_asked() -> None:
    assert Clock(1).patience(5) == 5
    assert Clock(100).patience(5) == PATIENCE
    assert Clock(100).patience(0.2) == 0.2
    with pytest.raises(ValueError, match="positive"):
        Clock(0)


def test_defaults_of_verbs_are_twilios() -> None:
    text = "<Response><Gather/><Record/><Pause/><Say/><Play>a.wav</Play></Response>"
    assert parse(text) == [
        Gather(
            prompts=(),
            action="",
            method="POST",
            timeout=5,
            num_digits=None,
            finish_on_key="#",
            action_on_empty_result=False,
        ),
        Record(
            action="",
            method="POST",
            timeout=5,
            finish_on_key="1234567890*#",
            max_length=3600,
            play_beep=True,
            trim=True,
            status_callback="",
            status_callback_method="POST",
            status_callback_events=frozenset({"completed"}),
        ),
        Pause(1),
        Say("", 1),
        Play("a.wav", 1),
    ]


@pytest.mark.parametrize(
    ("fragment", "connection"),
    [
        ("", Connection(5, 15, 15, 1, frozenset({"ct"}))),
        ("rc=3&rp=4xx,rt&ct=200&rt=1500&tt=9000", Connection(0.2, 1.5, 9, 3, frozenset({"4xx", "rt"}))),
        ("rc=99&ct=1&rt=99999", Connection(0.1, 15, 15, 5, frozenset({"ct"}))),
        ("rc=-1&ct=soon&e=ashburn", Connection()),
    ],
)
def test_connection_overrides(fragment: str, connection: Connection) -> None:
    assert Connection.of_fragment(fragment) == connection
