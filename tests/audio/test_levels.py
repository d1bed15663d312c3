"""Loudness, noise and clipping: figures against sounds that were made to have them."""

from __future__ import annotations

import numpy as np
import pytest

from audio.levels import SILENCE_DBFS, SNR_RANGE_DB, clipped_fraction, loudness_dbfs, signal_to_noise_db
from audio.pcm import Pcm
from audio.resample import resample
from audio.vad import Segment, speech_segments
from tests.audio.sounds import add, caller, coded, phone, scaled, speech_dbfs, tones, white, with_noise


def some_speech() -> Pcm:
    """Two sentences and the pause between them, over the telephone."""
    return scaled(phone(caller().cut(5.0, 14.0)), 3)


def clipped(pcm: Pcm, fraction: float) -> Pcm:
    """So that this part of the samples while somebody speaks lies in flat tops."""
    speech = np.concatenate([pcm.cut(segment.start, segment.end).samples for segment in speech_segments(pcm)])
    top = float(np.quantile(np.abs(speech), 1 - fraction))
    return Pcm(np.clip(pcm.samples, -top, top), pcm.rate)


def noise_of(pcm: Pcm) -> float:
    return signal_to_noise_db(pcm, speech_segments(pcm))


def clipping_of(pcm: Pcm) -> float:
    return clipped_fraction(pcm, speech_segments(pcm))


def loudness_of(pcm: Pcm) -> float:
    return loudness_dbfs(pcm, speech_segments(pcm))


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("snr_db", [25, 20, 15, 10, 5])
def test_the_signal_to_noise_ratio_is_that_of_the_mixture(kind: str, snr_db: float) -> None:
    assert noise_of(coded(with_noise(some_speech(), kind, snr_db))) == pytest.approx(snr_db, abs=2.5)


def test_the_signal_to_noise_ratio_does_not_need_pauses() -> None:
    without_pause = phone(caller().cut(1.0, 6.0))
    noisy = coded(with_noise(without_pause, "white", 15))
    assert len(speech_segments(noisy)) == 1
    assert noise_of(noisy) == pytest.approx(15, abs=4)


@pytest.mark.parametrize("snr_db", [-3, 0, 10])
def test_the_noise_under_the_speech_is_not_speech(snr_db: float) -> None:
    sound = Pcm.join([Pcm.silence(2, 8000), white(2, 8000, -30 + snr_db, seed=2), Pcm.silence(2, 8000)])
    noisy = add(sound, white(6, 8000, -30))
    assert signal_to_noise_db(noisy, [Segment(2, 4)]) == pytest.approx(snr_db, abs=0.3)


def test_a_key_pressed_in_a_pause_is_no_noise() -> None:
    pause, key = white(2.0, 8000, -50), tones(0.2, 8000, 697, 1209)
    plain = noise_of(Pcm.join([pause, some_speech(), pause, pause]))
    assert noise_of(Pcm.join([pause, some_speech(), pause, key, pause])) == pytest.approx(plain, abs=1)


def test_digital_silence_is_neither_infinite_nor_the_noise() -> None:
    pause, speech = Pcm.silence(1, 8000), phone(caller().cut(1.0, 6.0))
    spoken = [Segment(1.0, 6.0)]
    assert signal_to_noise_db(Pcm.join([pause, speech, pause]), spoken) == SNR_RANGE_DB[1]
    noise = white(1, 8000, loudness_dbfs(Pcm.join([pause, speech]), spoken) - 20)
    assert signal_to_noise_db(Pcm.join([pause, speech, pause, noise]), spoken) == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("pcm", [Pcm.silence(0, 8000), Pcm.silence(0.01, 8000), white(5, 8000, -30)])
def test_without_speech_every_level_is_at_its_end(pcm: Pcm) -> None:
    assert signal_to_noise_db(pcm, []) == SNR_RANGE_DB[0]
    assert clipped_fraction(pcm, []) == 0
    assert loudness_dbfs(pcm, []) == SILENCE_DBFS


def test_the_loudness_is_that_of_the_speech_without_its_pauses() -> None:
    speech = some_speech()
    pause = Pcm.silence(3, 8000)
    loudness = loudness_of(speech)
    assert loudness == pytest.approx(speech_dbfs(speech), abs=2)  # which leaves out the quietest sounds of speech
    assert loudness_of(Pcm.join([pause, speech, pause])) == pytest.approx(loudness, abs=0.3)
    assert loudness_of(scaled(speech, -12)) == pytest.approx(loudness - 12, abs=0.5)


def test_a_sine_of_full_scale_has_minus_three_decibels() -> None:
    assert loudness_dbfs(tones(1, 8000, 1000, amplitude=1.0), [Segment(0, 1)]) == pytest.approx(-3.01, abs=0.01)


def test_speech_that_was_not_clipped_has_no_flat_tops() -> None:
    for pcm in (caller(), resample(caller(), 8000), phone(caller()), coded(phone(caller()))):
        assert clipping_of(pcm) == 0


@pytest.mark.parametrize("decibels", [0, -6, -20])
@pytest.mark.parametrize("fraction", [0.02, 0.05, 0.15])
def test_flat_tops_are_found_through_mu_law_and_at_any_level(fraction: float, decibels: float) -> None:
    found = clipping_of(coded(scaled(clipped(some_speech(), fraction), decibels)))
    assert fraction / 2 < found < 2 * fraction


@pytest.mark.parametrize("fraction", [0.02, 0.05, 0.15])
def test_flat_tops_are_found_through_resampling_to_the_telephone(fraction: float) -> None:
    found = clipping_of(coded(resample(clipped(caller().cut(5.0, 14.0), fraction), 8000)))
    assert fraction / 4 < found < 2 * fraction
