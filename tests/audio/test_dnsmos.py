"""Predicted opinion scores."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from audio.dnsmos import _windows, dnsmos
from audio.pcm import Pcm
from tests.audio.sounds import caller, coded, phone, with_noise


@pytest.mark.parametrize("seconds", [5.0, 9.5, 11.5])
def test_the_scores_are_those_of_the_original(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own program, without the mel spectrogram that another of its scores needs."""
    librosa = ModuleType("librosa")
    librosa.__dict__["feature"] = SimpleNamespace(melspectrogram=lambda **_: np.zeros((120, 900), np.float32))
    librosa.__dict__["power_to_db"] = lambda spectrum, **_: spectrum
    monkeypatch.setitem(sys.modules, "librosa", librosa)
    monkeypatch.delitem(sys.modules, "speechmos.dnsmos", raising=False)
    original = import_module("speechmos.dnsmos")

    recording = caller().cut(0, seconds)
    expected = original.run(recording.samples, 16000)
    scores = dnsmos(recording)
    assert scores is not None
    assert scores.overall == pytest.approx(expected["ovrl_mos"], abs=1e-4)
    assert scores.signal == pytest.approx(expected["sig_mos"], abs=1e-4)
    assert scores.background == pytest.approx(expected["bak_mos"], abs=1e-4)


def test_noise_lowers_the_scores() -> None:
    clean = phone(caller().cut(0, 9.5))
    scores = [dnsmos(coded(sound)) for sound in (clean, with_noise(clean, "pink", 20), with_noise(clean, "pink", 5))]
    backgrounds = [score.background for score in scores if score]
    overalls = [score.overall for score in scores if score]
    assert backgrounds[0] > backgrounds[1] + 0.3 > backgrounds[2] + 0.6
    assert overalls[0] > overalls[1] > overalls[2]


def test_a_long_recording_costs_two_windows() -> None:
    seconds = np.linspace(0, 1, 300 * 16000, dtype=np.float32)
    windows = _windows(Pcm(seconds, 16000))
    assert [round(float(window[0, 0]), 2) for window in windows] == [0.15, 0.82]


def test_too_little_sound_has_no_score() -> None:
    assert dnsmos(Pcm.silence(0, 8000)) is None
    assert dnsmos(Pcm.silence(0.9, 8000)) is None
    assert dnsmos(Pcm.silence(1.0, 8000)) is not None
