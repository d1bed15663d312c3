"""DNSMOS P.835: how people would rate the speech, its signal and its background, predicted by a model.

Source: C. K. A. Reddy, V. Gopal, R. Cutler, "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric
to evaluate noise suppressors", ICASSP 2022; windows and polynomials as in the DNS Challenge's `dnsmos_local.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.inference import load_model
from audio.pcm import Pcm
from audio.resample import resample

MIN_SECONDS: Final = 1.0  # a shorter recording would be repeated nine times and more to fill a window

_RATE: Final = 16_000
_WINDOW: Final = 144_160  # samples: the 9.01 s that the model was trained on
_HOP: Final = 16_000
# A window costs 0.18 s of one core. Of more than two, those at these places among all are scored: of 80 recordings of
# 24 s in even noise that was 0.06 (background) and 0.05 (overall) from the mean of all (docs/audio.md).
_PLACES: Final = (0.15, 0.85)
_THREADS: Final = 2

_PACKAGE: Final = "speechmos"
_MODEL: Final = "dnsmos_models/sig_bak_ovr.onnx"
_MODEL_SHA256: Final = "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd"

# Raw model output -> opinion score: coefficients of x², x and 1, for signal, background, overall.
_POLYNOMIALS: Final = np.array(
    [
        [-0.08397278, 1.22083953, 0.0052439],
        [-0.13166888, 1.60915514, -0.39604546],
        [-0.06766283, 1.11546468, 0.04602535],
    ]
)


@dataclass(frozen=True, slots=True)
class Dnsmos:
    """Predicted mean opinion scores, 1 (bad) to 5 (excellent)."""

    overall: float
    signal: float  # is the speech itself undistorted?
    background: float  # is the background quiet?


def dnsmos(pcm: Pcm) -> Dnsmos | None:
    """The mean over windows of 9.01 s; None below `MIN_SECONDS`.

    What is shorter than a window is repeated, as the original does.

    Raises:
        BadWeights: the model is not installed, or is not the expected one.
    """
    if pcm.seconds < MIN_SECONDS:
        return None
    model = load_model(_PACKAGE, _MODEL, _MODEL_SHA256, _THREADS)
    raw: NDArray[np.float32] = np.concatenate([model.run(None, {"input_1": window})[0] for window in _windows(pcm)])
    powers = np.stack([raw**2, raw, np.ones_like(raw)], axis=-1)
    signal, background, overall = np.clip((powers * _POLYNOMIALS).sum(axis=-1).mean(axis=0), 1.0, 5.0)
    return Dnsmos(overall=float(overall), signal=float(signal), background=float(background))


def _windows(pcm: Pcm) -> list[NDArray[np.float32]]:
    """Each of shape (1, _WINDOW), one a second; where those are too many, some."""
    samples = np.clip(resample(pcm, _RATE).samples, -1.0, 1.0)
    while len(samples) < _WINDOW:
        samples = np.concatenate((samples, samples))
    count = int(len(samples) // _RATE - _WINDOW / _RATE) + 1  # the original counts whole seconds
    starts = np.arange(count) * _HOP
    if count > len(_PLACES):
        starts = starts[[round(place * (count - 1)) for place in _PLACES]]
    return [samples[None, start : start + _WINDOW] for start in starts]
