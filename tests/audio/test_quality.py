"""Quality of whole recordings, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from audio.dnsmos import Dnsmos
from audio.levels import SILENCE_DBFS, SNR_RANGE_DB
from audio.pcm import Pcm
from audio.quality import Quality, measure, warnings
from audio.vad import speech_segments
from tests.audio.sounds import caller, coded, phone, scaled, white, with_noise

GOOD = Quality(
    seconds=26.0,
    speech_seconds=22.0,
    signal_to_noise_db=35.0,
    clipped_fraction=0.0,
    loudness_dbfs=-22.0,
    dnsmos=Dnsmos(overall=2.9, signal=3.2, background=3.8),
)


def test_a_good_call_has_good_figures_and_no_warnings() -> None:
    quality = measure(coded(phone(caller())))
    assert quality.seconds == pytest.approx(caller().seconds, abs=0.01)
    assert 20 < quality.speech_seconds < quality.seconds
    assert quality.signal_to_noise_db > 30
    assert quality.clipped_fraction == 0
    assert -30 < quality.loudness_dbfs < -18
    assert quality.dnsmos is not None
    assert quality.dnsmos.overall > 2.4
    assert warnings(quality) == ()


def test_a_noisy_call_is_told_so() -> None:
    noisy = measure(coded(with_noise(phone(caller()), "pink", 10)))
    assert warnings(noisy) == ("There is noise in the background. Record again in a quieter place.",)


def test_speech_that_is_known_already_is_not_looked_for() -> None:
    pcm = coded(phone(caller().cut(0.0, 5.0)))
    speech = speech_segments(pcm)
    assert measure(pcm, speech) == measure(pcm)
    assert measure(pcm, []).speech_seconds == 0


def test_a_short_and_quiet_call_is_told_so() -> None:
    few_words = measure(coded(scaled(phone(caller().cut(0.0, 3.0)), -22)))
    assert [warning.split(".")[0] for warning in warnings(few_words)] == [
        "Only 3 seconds of speech were heard",
        "The voice is very quiet",
    ]


@pytest.mark.parametrize(
    "pcm", [Pcm.silence(0, 8000), Pcm.silence(0.01, 8000), Pcm.silence(5, 8000), white(5, 8000, -30)]
)
def test_without_speech_every_figure_is_at_its_end(pcm: Pcm) -> None:
    quality = measure(pcm)
    assert quality == Quality(pcm.seconds, 0.0, SNR_RANGE_DB[0], 0.0, SILENCE_DBFS, None)
    assert warnings(quality) == ("No speech was heard. Speak into the microphone and try again.",)


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        (replace(GOOD, speech_seconds=3.2), "Only 3 seconds of speech"),
        (replace(GOOD, signal_to_noise_db=9.0), "noise in the background"),
        (replace(GOOD, dnsmos=Dnsmos(overall=2.0, signal=2.2, background=2.0)), "noise in the background"),
        (replace(GOOD, dnsmos=Dnsmos(overall=2.0, signal=2.0, background=3.5)), "distorted or broken up"),
        (replace(GOOD, clipped_fraction=0.02), "so loud that it distorts"),
        (replace(GOOD, loudness_dbfs=-45.0), "very quiet"),
    ],
)
def test_each_fault_has_its_warning(quality: Quality, words: str) -> None:
    (warning,) = warnings(quality)
    assert words in warning


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        (replace(GOOD, signal_to_noise_db=3.0), "almost as loud as the voice"),
        (replace(GOOD, signal_to_noise_db=8.0, loudness_dbfs=-56.0), "very quiet"),  # the noise of the coding
        (replace(GOOD, clipped_fraction=0.1, dnsmos=Dnsmos(overall=2.0, signal=2.9, background=2.2)), "distorts"),
    ],
)
def test_a_fault_is_not_taken_for_another(quality: Quality, words: str) -> None:
    (warning,) = warnings(quality)
    assert words in warning


def test_several_faults_have_several_warnings() -> None:
    poor = replace(GOOD, speech_seconds=3.0, signal_to_noise_db=5.0, loudness_dbfs=-50.0, dnsmos=None)
    assert len(warnings(poor)) == 3
    assert warnings(GOOD) == ()
