"""Sounds for the tests: a human reader, what a telephone makes of her, and seeded noise."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.g711 import decode_mulaw, encode_mulaw
from audio.pcm import Pcm
from audio.resample import resample
from audio.wav import read_audio_file

CALLER = Path(__file__).parents[2] / "deadringer" / "data" / "caller.flac"


@cache
def caller() -> Pcm:
    """25 seconds of a human reader, 16 kHz."""
    return read_audio_file(CALLER)


def phone(pcm: Pcm) -> Pcm:
    """As it arrives over a telephone: 300 to 3400 Hz at 8 kHz."""
    return band(resample(pcm, 8000), 300, 3400)


def coded(pcm: Pcm) -> Pcm:
    """Through μ-law and back."""
    return decode_mulaw(encode_mulaw(pcm), pcm.rate)


def band(pcm: Pcm, low: float, high: float) -> Pcm:
    hertz = np.fft.rfftfreq(len(pcm), 1 / pcm.rate)
    gain = np.clip((hertz - low + 50) / 100, 0, 1) * np.clip((high + 100 - hertz) / 200, 0, 1)
    return Pcm(np.fft.irfft(np.fft.rfft(pcm.samples) * gain, len(pcm)).astype(np.float32), pcm.rate)


def white(seconds: float, rate: int, dbfs: float, seed: int = 1) -> Pcm:
    random = np.random.default_rng(seed)
    return Pcm((random.standard_normal(round(seconds * rate)) * 10 ** (dbfs / 20)).astype(np.float32), rate)


def pink(seconds: float, rate: int, dbfs: float, seed: int = 1) -> Pcm:
    spectrum = np.fft.rfft(white(seconds, rate, 0.0, seed).samples)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, round(seconds * rate))
    return Pcm((noise / np.sqrt(np.mean(noise**2)) * 10 ** (dbfs / 20)).astype(np.float32), rate)


def tones(seconds: float, rate: int, *hertz: float, amplitude: float = 0.2) -> Pcm:
    time = np.arange(round(seconds * rate)) / rate
    samples = sum((amplitude * np.sin(2 * np.pi * one * time) for one in hertz), start=np.zeros_like(time))
    return Pcm(samples.astype(np.float32), rate)


def add(one: Pcm, other: Pcm) -> Pcm:
    return Pcm(one.samples + other.samples, one.rate)


def scaled(pcm: Pcm, decibels: float) -> Pcm:
    return Pcm((pcm.samples * 10 ** (decibels / 20)).astype(np.float32), pcm.rate)


def speech_dbfs(pcm: Pcm) -> float:
    """Mean level of the frames that are within 30 dB of the loudest: a measure that needs no model."""
    powers = frame_powers(pcm, 0.02)
    return float(10 * np.log10(powers[powers > powers.max() / 1000].mean()))


def frame_powers(pcm: Pcm, seconds: float) -> NDArray[np.float64]:
    size = round(seconds * pcm.rate)
    frames = pcm.samples[: len(pcm) // size * size].reshape(-1, size)
    return np.asarray(np.mean(np.square(frames, dtype=np.float64), axis=1))


def with_noise(pcm: Pcm, kind: str, snr_db: float) -> Pcm:
    """`kind` is `white` or `pink`; as far below the speech as told, within the phone's band."""
    make = {"white": white, "pink": pink}[kind]
    noise = band(make(pcm.seconds, pcm.rate, 0.0), 300, 3400)
    level = 10 * np.log10(np.mean(np.square(noise.samples, dtype=np.float64)))
    return add(pcm, scaled(noise, speech_dbfs(pcm) - snr_db - float(level)))


def likeness(pcm: Pcm, speech: Pcm) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (J. Le Roux et al., "SDR: half-baked or well done?", 2019)."""
    wanted = np.dot(pcm.samples, speech.samples) / np.dot(speech.samples, speech.samples) * speech.samples
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((pcm.samples - wanted) ** 2)))
