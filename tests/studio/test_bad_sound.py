"""Every bad sound that a caller or a carrier can come with: what becomes of the clone, and what its owner is told."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from functools import cache
from io import BytesIO

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from audio.pcm import Pcm
from audio.resample import resample
from audio.wav import read_wav, wav_header, write_wav
from studio.desk import Choose, Record, RecordWhy
from studio.mistakes import FailureCode
from studio.states import CloneStatus
from studio.studio import Studio
from studio.tables import Recording, User
from tests.audio.sounds import add, coded, pink, scaled, tones, white, with_noise
from tests.providers.tone import ToneProvider
from tests.studio.caller import Caller, ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, clone_when
from tests.studio.sounds import RATE, spoken

SECONDS = 12.0


@cache
def voice() -> Pcm:
    return read_wav(spoken(SECONDS))


def music(seconds: float, seed: int = 1) -> Pcm:
    """Four chords on a plucked instrument, two beats a second, with a drum."""
    random = np.random.default_rng(seed)
    chords = ((261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7))
    time = np.arange(RATE) / RATE
    samples = np.zeros(round(seconds * RATE) + RATE)
    for beat in range(int(seconds * 2)):
        decay = np.exp(-3 * time) * np.minimum(1, time / 0.01)
        pluck = sum(
            np.sin(2 * np.pi * hertz * partial * time) / partial
            for hertz in chords[beat // 4 % 4]
            for partial in (1, 2, 3)
        )
        drum = random.standard_normal(RATE) * np.exp(-60 * time)
        samples[beat * RATE // 2 : beat * RATE // 2 + RATE] += decay * pluck + drum
    return Pcm((0.3 * samples[:-RATE] / np.abs(samples).max()).astype(np.float32), RATE)


def louder(pcm: Pcm, gain: float) -> Pcm:
    return Pcm(np.clip(pcm.samples * np.float32(gain), -1.0, 1.0), pcm.rate)


async def only_take(studio: Studio, user: User, clone_id: str) -> Recording:
    (take,) = await studio.clones.recordings(user.id, [clone_id])
    return take


NO_SPEECH = {
    "silence": lambda: Pcm.silence(SECONDS, RATE),
    "white noise": lambda: white(SECONDS, RATE, -25),
    "pink noise": lambda: pink(SECONDS, RATE, -15),
    "mains hum": lambda: tones(SECONDS, RATE, 50, 150, 250, 350, 450, amplitude=0.1),
    "a dialling tone": lambda: tones(SECONDS, RATE, 350, 440),
    "music": lambda: music(SECONDS),
}


@pytest.mark.parametrize("sound", NO_SPEECH.values(), ids=NO_SPEECH)
async def test_what_is_no_speech_is_recorded_again(
    studio: Studio, carrier: ScriptedCarrier, user: User, sound: Callable[[], Pcm]
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(write_wav(coded(sound())))
    again = await caller.listened()
    assert isinstance(again, Record)
    assert (again.take, again.why) == (2, RecordWhy.TOO_LITTLE)
    assert again.heard_seconds < 1.0
    await caller.hang_up()
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert (failed.failure_code, failed.failure_retryable) == (FailureCode.TOO_LITTLE_SPEECH, True)
    assert "speak for 20 to 30 seconds" in (failed.failure_message or "")


POOR = {
    "noise": (lambda: with_noise(voice(), "pink", 10), ["There is noise in the background"]),
    "hardly anything but noise": (lambda: with_noise(voice(), "pink", 2), ["The noise is almost as loud as the voice"]),
    "music": (lambda: add(voice(), scaled(music(SECONDS), -6)), ["There is noise in the background"]),
    "clipped": (lambda: louder(voice(), 20), ["The voice is so loud that it distorts"]),
    "very quiet": (lambda: scaled(voice(), -30), ["The voice is very quiet"]),
    "very quiet in noise": (
        lambda: scaled(with_noise(voice(), "pink", 10), -20),
        ["There is noise in the background", "The voice is very quiet"],
    ),
}


@pytest.mark.parametrize(("sound", "told"), POOR.values(), ids=POOR)
async def test_poor_speech_makes_a_voice_and_its_owner_is_told_why_it_is_poor(
    studio: Studio, carrier: ScriptedCarrier, user: User, sound: Callable[[], Pcm], told: list[str]
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.keep(write_wav(coded(sound())))
    assert (await clone_when(studio, clone)).status is CloneStatus.READY
    take = await only_take(studio, user, clone.id)
    about_quality = [warning for warning in take.warnings if "seconds of speech" not in warning]
    assert [warning.split(".")[0].split(",")[0] for warning in about_quality] == told


async def test_two_voices_are_cloned_as_one(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    """That there are two is not found out (docs/audio.md)."""
    higher = Pcm(resample(Pcm(voice().samples, 10_000), RATE).samples, RATE)  # the same person a quarter faster
    turns = [piece for at in range(0, 8, 2) for piece in (voice().cut(at, at + 2), higher.cut(at, at + 2))]
    clone, caller = await ring(studio, carrier, user)
    await caller.keep(write_wav(coded(Pcm.join(turns))))
    assert (await clone_when(studio, clone)).status is CloneStatus.READY
    assert (await only_take(studio, user, clone.id)).warnings == []


async def test_ten_minutes_are_heard_to_their_end_and_not_cleaned(
    studio: Studio, carrier: ScriptedCarrier, user: User, provider: ToneProvider
) -> None:
    noisy = with_noise(voice(), "pink", 10)
    clone, caller = await ring(studio, carrier, user)
    await caller.keep(write_wav(Pcm.join([noisy] * 50)))
    assert (await clone_when(studio, clone)).status is CloneStatus.READY
    take = await only_take(studio, user, clone.id)
    assert take.seconds == pytest.approx(600, abs=1)
    assert take.speech_seconds > 450
    assert not take.cleaned
    assert "There is noise in the background. Record again in a quieter place." in take.warnings
    (request,) = provider.cloned
    assert request.recording.seconds == take.seconds


# ── what the carrier makes of it ─────────────────────────────────────────────


def twice_as_fast(seconds: float) -> bytes:
    """A header that says 16 kHz over samples of 8 kHz."""
    sound = read_wav(spoken(seconds))
    return wav_header(16_000, len(sound)) + sound.to_int16()


async def test_a_wrong_rate_is_fetched_once_more_and_then_recorded_again(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(twice_as_fast(SECONDS), seconds=SECONDS)
    assert await caller.listened() == Record(take=2, why=RecordWhy.LOST)
    assert carrier.fetched == caller.takes * 2
    await caller.hang_up()
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert (failed.failure_code, failed.failure_retryable) == (FailureCode.RECORDING_UNUSABLE, True)


async def test_a_wrong_rate_that_is_right_the_next_time(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    carrier.fetching.hold()
    await caller.speak(twice_as_fast(SECONDS), seconds=SECONDS)
    await asyncio.wait_for(carrier.fetching.reached(), PATIENCE)
    carrier.fetching.let()
    await asyncio.wait_for(carrier.fetching.reached(), PATIENCE)
    carrier.recordings[caller.takes[0]] = spoken(SECONDS)
    carrier.fetching.open()
    offered = await caller.listened()
    assert isinstance(offered, Choose)
    assert offered.speech_seconds > SECONDS / 2
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.READY)


@pytest.mark.parametrize(("said", "lasts"), [(0.0, 12.0), (13.0, 12.0), (26.0, 24.0), (1.0, 2.0)])
async def test_the_carrier_may_round_or_say_nothing(
    studio: Studio, carrier: ScriptedCarrier, user: User, said: float, lasts: float
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(spoken(lasts), seconds=said)
    assert isinstance(await caller.listened(), Choose)
    assert len(carrier.fetched) == 1
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.READY)


def with_sizes(riff: int, data: int) -> bytes:
    sound = bytearray(spoken())
    struct.pack_into("<I", sound, 4, riff)
    struct.pack_into("<I", sound, 40, data)
    return bytes(sound)


def at_rate(rate: int) -> bytes:
    sound = bytearray(spoken())
    struct.pack_into("<I", sound, 24, rate)
    return bytes(sound)


def written(samples: NDArray[np.float32], rate: int, subtype: str = "PCM_16") -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return bytes(file.getvalue())


READABLE = {
    "sizes of 0": lambda: with_sizes(0, 0),
    "sizes of a stream": lambda: with_sizes(0xFFFFFFFF, 0xFFFFFFFF),
    "half a sample at the end": lambda: with_sizes(0xFFFFFFFF, 0xFFFFFFFF) + b"\x01",
    "stereo": lambda: written(np.stack([read_wav(spoken()).samples] * 2, axis=1), RATE),
    "16 kHz": lambda: write_wav(resample(read_wav(spoken()), 16_000)),
    "μ-law": lambda: written(read_wav(spoken()).samples, RATE, "ULAW"),
}


@pytest.mark.parametrize("sound", READABLE.values(), ids=READABLE)
async def test_odd_files_are_read(
    studio: Studio, carrier: ScriptedCarrier, user: User, sound: Callable[[], bytes]
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await _speak_and_hang_up(caller, sound())
    assert (await clone_when(studio, clone)).status is CloneStatus.READY
    take = await only_take(studio, user, clone.id)
    assert take.seconds == pytest.approx(4.0, abs=0.01)
    assert take.speech_seconds > 2.5


DAMAGED = {
    "nothing": lambda: b"",
    "a page of HTML": lambda: b"<html><body>Please sign in</body></html>",
    "a rate of 0": lambda: at_rate(0),
    "a rate that nothing has": lambda: at_rate(0xFFFFFFFF),
    "more announced than came": lambda: with_sizes(1_000_036, 1_000_000),
    "a header alone": lambda: spoken()[:44],
}


@pytest.mark.parametrize("sound", DAMAGED.values(), ids=DAMAGED)
async def test_files_that_lie_are_unusable(
    studio: Studio, carrier: ScriptedCarrier, user: User, sound: Callable[[], bytes]
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await _speak_and_hang_up(caller, sound())
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert (failed.failure_code, failed.failure_retryable) == (FailureCode.RECORDING_UNUSABLE, True)
    assert "Start again" in (failed.failure_message or "")


async def _speak_and_hang_up(caller: Caller, sound: bytes) -> None:
    await caller.agree()
    await caller.speak(sound, seconds=4.0)
    await caller.hang_up()
