"""The pitch of a voice, measured so that a telephone's missing low end does not matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audio.pcm import Pcm
from audio.resample import resample

_RATE = 8000
_FRAME = 320  # 40 ms: at least two periods of the lowest pitch
_HOP = 80
_FFT = 2048
_LOWEST_HZ = 60
_HIGHEST_HZ = 400
_QUIET = 0.02  # of the power of loud frames: below it a frame says nothing about pitch
_FEWEST_FRAMES = 4


def median_f0(speech: Pcm) -> float | None:
    """Median fundamental frequency in Hz of the clearly voiced frames, or None where nothing is voiced.

    A frame's pitch is the lag of the highest peak of its autocorrelation, taken from the square root of the magnitude
    spectrum instead of the power spectrum (generalised autocorrelation; T. Tolonen and M. Karjalainen, "A
    computationally efficient multipitch analysis model", 2000): the compression lets the many weak harmonics that a
    telephone passes vote for the fundamental that it cuts off. The half of the frames with the higher peaks counts.
    """
    samples = resample(speech, _RATE).samples
    if len(samples) < 2 * _FRAME:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP].astype(np.float64)
    power = np.square(frames).mean(axis=1)
    frames = frames[power > _QUIET * np.percentile(power, 95)]
    if len(frames) < _FEWEST_FRAMES:
        return None
    shortest, longest = _RATE // _HIGHEST_HZ, _RATE // _LOWEST_HZ
    correlation = _autocorrelation(frames)[:, shortest : longest + 1]
    lag = correlation.argmax(axis=1)
    height = correlation[np.arange(len(correlation)), lag]
    at_a_peak = (lag > 0) & (lag < longest - shortest)
    voiced = at_a_peak & (height >= np.median(height))
    if np.count_nonzero(voiced) < _FEWEST_FRAMES:
        return None
    return float(np.median(_RATE / (lag[voiced] + shortest)))


def _autocorrelation(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Generalised autocorrelation by lag, 1 at lag 0, with the window's own decay divided out."""
    window = np.hanning(_FRAME)
    spectrum = np.abs(np.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * window, _FFT, axis=1))
    correlation = np.fft.irfft(np.sqrt(spectrum), axis=1)[:, :_FRAME]
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, _FFT)) ** 2)[:_FRAME]
    taper = np.maximum(of_window / of_window[0], 0.2)
    normalised: NDArray[np.float64] = correlation / np.maximum(correlation[:, :1], 1e-12) / taper
    return normalised


def semitones(f0: float, reference: float) -> float:
    """How far `f0` lies above `reference`, both in Hz."""
    return float(12.0 * np.log2(f0 / reference))
