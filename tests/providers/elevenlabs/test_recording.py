"""How a recording is made ready: level, length and pauses, of a real voice."""

from __future__ import annotations

import numpy as np
import pytest

from audio.levels import loudness_dbfs
from audio.pcm import Pcm
from audio.resample import resample
from audio.vad import speech_segments
from providers.contract import Refused
from providers.elevenlabs.recording import LEVEL_DBFS, LONGEST, PEAK_DBFS, levelled, prepared


def loudness(sound: Pcm) -> float:
    return loudness_dbfs(sound, speech_segments(sound))


def peak_dbfs(sound: Pcm) -> float:
    return 20 * float(np.log10(np.abs(sound.samples).max()))


def times(sound: Pcm, gain: float) -> Pcm:
    return Pcm(sound.samples * np.float32(gain), sound.rate)


@pytest.mark.parametrize("gain", [0.05, 0.3, 1.0])
def test_speech_comes_to_the_advised_level_whatever_it_was(caller: Pcm, gain: float) -> None:
    ready = prepared(times(caller, gain))
    assert -23.0 <= loudness(ready) <= -18.0
    assert peak_dbfs(ready) <= PEAK_DBFS + 0.01


def test_the_sound_is_the_same_but_for_its_level(caller: Pcm) -> None:
    part = caller.cut(5.0, 20.0)
    louder = levelled(part, loudness(part))
    ratio = louder.samples[part.samples != 0] / part.samples[part.samples != 0]
    assert np.ptp(ratio) < 1e-4


def test_peaks_bound_the_level() -> None:
    samples = np.full(8000, 0.01, dtype=np.float32)
    samples[100] = 0.9
    ready = levelled(Pcm(samples, 8000), -40.0)
    assert peak_dbfs(ready) == pytest.approx(PEAK_DBFS, abs=0.01)


def test_speech_that_reaches_the_level_exactly() -> None:
    sound = Pcm(np.full(8000, 0.01, dtype=np.float32), 8000)
    assert peak_dbfs(levelled(sound, -40.0)) == pytest.approx(LEVEL_DBFS, abs=0.01)


def test_long_pauses_are_shortened_and_the_ends_cut_off(caller: Pcm) -> None:
    talk = caller.cut(0.0, 12.0)
    silence = Pcm.silence(8.0, 8000)
    ready = prepared(Pcm.join([silence, talk, silence, talk, silence]))
    alone = prepared(Pcm.join([talk, Pcm.silence(0.3, 8000), talk]))
    assert ready.seconds == pytest.approx(alone.seconds, abs=1.0)
    said = sum(segment.seconds for segment in speech_segments(ready))
    assert said == pytest.approx(2 * sum(segment.seconds for segment in speech_segments(talk)), rel=0.1)


def test_three_minutes_are_enough(caller: Pcm) -> None:
    assert prepared(Pcm.join([caller] * 10)).seconds <= LONGEST


def test_too_little_speech(caller: Pcm) -> None:
    for sound in (caller.cut(0.0, 6.0), Pcm.silence(60.0, 8000), Pcm.silence(0.0, 8000)):
        with pytest.raises(Refused, match="seconds of speech"):
            prepared(sound)


@pytest.mark.parametrize(("rate", "kept"), [(8000, 8000), (16_000, 16_000), (44_100, 24_000)])
def test_the_rate_is_kept_as_far_as_it_helps(caller: Pcm, rate: int, kept: int) -> None:
    assert prepared(resample(caller, rate)).rate == kept
