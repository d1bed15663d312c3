"""The mel features that the speaker encoder was trained on.

The same numbers as `librosa.feature.melspectrogram(sr=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40,
window="hamming", center=False)` followed by log10, without librosa: power spectra of periodic Hamming windows through
triangular filters on Slaney's mel scale (linear to 1 kHz, logarithmic above), each filter of unit area
(M. Slaney, Auditory Toolbox, 1998).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE = 16000
BANDS = 40
_FFT = 512
_WINDOW = 400
_HOP = 160
_FLOOR = 1e-10

_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log10 mel power of sound at 16 kHz, shape `(frames, 40)`; sound shorter than one frame is padded to one."""
    padded = np.pad(samples, (0, max(0, _FFT - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP]
    power = np.abs(np.fft.rfft(frames * _window(), axis=1)) ** 2
    mel: NDArray[np.float32] = np.log10(power.astype(np.float32) @ _filters().T + _FLOOR)
    return mel


@cache
def _window() -> NDArray[np.float32]:
    """A periodic Hamming window in the middle of the transform's frame."""
    hamming = 0.54 - 0.46 * np.cos(2.0 * np.pi * np.arange(_WINDOW) / _WINDOW)
    margin = (_FFT - _WINDOW) // 2
    return np.pad(hamming, (margin, _FFT - _WINDOW - margin)).astype(np.float32)


@cache
def _filters() -> NDArray[np.float32]:
    """The triangles, shape `(40, 257)`."""
    bins = np.linspace(0.0, RATE / 2, _FFT // 2 + 1)
    edges = _to_hz(np.linspace(_to_mel(0.0), _to_mel(RATE / 2), BANDS + 2))
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    return (triangles * 2.0 / (right - left)).astype(np.float32)


def _to_mel(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return float(_KNEE_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP)


def _to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ_PER_MEL, _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL)))
