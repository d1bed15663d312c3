"""Noise suppression, and when it is used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from audio.clean import CLEAN_BELOW, MAX_SECONDS, _clean_whole, clean, clean_if_it_helps
from audio.dnsmos import Dnsmos, dnsmos
from audio.pcm import Pcm
from audio.quality import measure
from tests.audio.sounds import caller, coded, frame_powers, likeness, phone, with_noise


def call(snr_db: float | None = None, seconds: float = 9.5) -> Pcm:
    speech = phone(caller().cut(0.0, seconds))
    return coded(speech if snr_db is None else with_noise(speech, "pink", snr_db))


def test_the_noise_is_lower_by_six_decibels() -> None:
    noisy = call(snr_db=10)
    before, after = (np.quantile(frame_powers(pcm, 0.02), 0.03) for pcm in (noisy, clean(noisy)))
    assert 10 * np.log10(before / after) == pytest.approx(6, abs=1)


def test_nothing_that_is_said_is_lost() -> None:
    """Without a limit, whole words of this reader are 30 dB lower: in the phone band they are taken for noise."""
    before, after = (frame_powers(pcm, 0.1) for pcm in (call(), clean(call())))
    spoken = before > before.max() / 1000
    assert 10 * np.log10(before[spoken] / after[spoken]).max() < 6.5


def test_the_result_is_nearer_to_the_clean_speech() -> None:
    noisy = call(snr_db=5)
    assert likeness(clean(noisy), call()) > likeness(noisy, call()) + 0.5


def test_a_recording_that_is_cleaned_in_parts_sounds_like_one_that_was_not() -> None:
    noisy = call(snr_db=10, seconds=18.0)
    whole, in_parts = _clean_whole(noisy), clean(noisy)
    assert likeness(in_parts, whole) > 30
    seam = slice(round(8.9 * 8000), round(9.5 * 8000))
    assert likeness(Pcm(in_parts.samples[seam], 8000), Pcm(whole.samples[seam], 8000)) > 20


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("length", [1, 479, 8001])
def test_rate_and_length_are_kept(rate: int, length: int) -> None:
    cleaned = clean(Pcm(np.linspace(-0.5, 0.5, length, dtype=np.float32), rate))
    assert (cleaned.rate, len(cleaned)) == (rate, length)
    assert np.isfinite(cleaned.samples).all()


def test_nothing_is_cleaned_to_nothing() -> None:
    assert len(clean(Pcm.silence(0, 8000))) == 0
    assert np.abs(clean(Pcm.silence(1, 8000)).samples).max() < 1e-4


def test_the_speech_stays_where_it_was() -> None:
    speech = call(seconds=4.0)
    cleaned = clean(speech).samples
    same = np.correlate(cleaned, speech.samples[100:-100], mode="valid")
    assert int(np.argmax(same)) == 100


def test_a_noisy_call_is_cleaned() -> None:
    noisy = call(snr_db=5)
    quality = measure(noisy)
    cleaned, was_cleaned = clean_if_it_helps(noisy, quality)
    assert was_cleaned
    before, after = quality.dnsmos, dnsmos(cleaned)
    assert before is not None
    assert after is not None
    assert after.overall > before.overall + 0.15
    assert after.background > before.background + 0.3


def test_a_quiet_call_is_left_alone() -> None:
    quiet = call()
    assert clean_if_it_helps(quiet, measure(quiet)) == (quiet, False)


def test_what_has_little_noise_is_left_alone_though_its_score_would_rise() -> None:
    noisy = call(snr_db=5, seconds=5.0)
    quality = replace(measure(noisy), dnsmos=Dnsmos(overall=1.0, signal=1.0, background=CLEAN_BELOW))
    assert clean_if_it_helps(noisy, quality) == (noisy, False)


def test_what_is_very_long_is_left_alone() -> None:
    noisy = call(snr_db=5, seconds=5.0)
    quality = replace(measure(noisy), dnsmos=Dnsmos(overall=1.0, signal=1.0, background=1.0))
    long = Pcm.join([noisy] * (int(MAX_SECONDS / noisy.seconds) + 1))
    assert clean_if_it_helps(long, quality) == (long, False)


def test_what_was_not_judged_is_left_alone() -> None:
    short = call(seconds=1.0)
    assert clean_if_it_helps(short, replace(measure(short), dnsmos=None)) == (short, False)


def test_a_result_that_is_not_better_is_not_kept() -> None:
    noisy = call(snr_db=10, seconds=5.0)
    good_but_noisy = replace(measure(noisy), dnsmos=Dnsmos(overall=4.5, signal=4.5, background=1.5))
    assert clean_if_it_helps(noisy, good_but_noisy) == (noisy, False)


def test_threads_do_not_disturb_each_other() -> None:
    calls = [call(snr_db=snr_db, seconds=2.0) for snr_db in (5, 10, 20)]
    expected = [clean(one).samples.tolist() for one in calls]
    with ThreadPoolExecutor(3) as pool:
        assert [cleaned.samples.tolist() for cleaned in pool.map(clean, calls)] == expected
