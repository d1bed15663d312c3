"""Levels of a recording in which it is known where somebody speaks: loudness, noise, clipping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.pcm import Pcm
from audio.vad import Segment

SNR_RANGE_DB: Final = (-10.0, 60.0)
SILENCE_DBFS: Final = -100.0

_FRAME_SECONDS: Final = 0.032
_MIN_PAUSE: Final = 0.3  # s of pauses, from which the noise is known
_QUIETEST: Final = 0.1  # the part of the frames from which the noise is known where there are no pauses

_PEAK_QUANTILE: Final = 0.999
_NEAR_PEAK: Final = 0.85
_NEAR_PEAK_UNCLIPPED: Final = 0.007


def loudness_dbfs(pcm: Pcm, speech: Sequence[Segment]) -> float:
    """RMS of the speech, pauses left out; `SILENCE_DBFS` without speech.

    0 dBFS is a square wave of full scale, so that a sine of full scale has -3.
    """
    power = _power(pcm.samples[_speaking(pcm, speech)])
    return max(SILENCE_DBFS, 10 * float(np.log10(power))) if power > 0 else SILENCE_DBFS


def signal_to_noise_db(pcm: Pcm, speech: Sequence[Segment]) -> float:
    """Speech and noise are independent, so their powers add: 10 log10((P - N) / N), where P is the mean power while
    somebody speaks, and N that of the pauses.

    N is the median over frames, so that a key's tone or a click in a pause does not count as noise; and frames of
    digital silence are left out, since they say nothing about the noise under the speech. Without pauses, the quietest
    tenth of all frames stands for them. The result lies within `SNR_RANGE_DB`: at its upper end when every pause is
    digitally silent, at its lower end without speech.
    """
    lowest, highest = SNR_RANGE_DB
    speaking = _speaking(pcm, speech)
    if not speaking.any():
        return lowest
    size = round(_FRAME_SECONDS * pcm.rate)
    count = len(pcm) // size
    powers = np.mean(np.square(pcm.samples[: count * size], dtype=np.float64).reshape(count, size), axis=1)
    pauses = powers[~speaking[: count * size].reshape(count, size).any(axis=1)]
    if len(pauses) * _FRAME_SECONDS < _MIN_PAUSE:
        pauses = np.sort(powers)[: max(1, round(_QUIETEST * count))]
    pauses = pauses[pauses > 0]
    if not len(pauses):
        return highest
    noise = float(np.median(pauses))
    signal = _power(pcm.samples[speaking]) - noise
    return float(np.clip(10 * np.log10(signal / noise), lowest, highest)) if signal > 0 else lowest


def clipped_fraction(pcm: Pcm, speech: Sequence[Segment]) -> float:
    """The part of the speech that lies in flat tops, 0 to 1.

    It is what lies within 15 % of the peak, less what unclipped speech has there (at most 0.7 %): speech spends little
    time near its peaks, and clipped speech piles up there. So clipping is found at any level, also below full scale,
    and after μ-law, whose steps near the peak are 3 % of it. The peak is the 99.9th percentile: filters and resampling
    let single samples overshoot the flat tops. Clipping that the line filtered afterwards (300 to 3400 Hz) leaves no
    flat tops and is not found.

    The end of the amplitude histogram as the sign of clipping: J. Eaton, P. A. Naylor, "Detection of clipping in coded
    speech signals", EUSIPCO 2013.
    """
    magnitude = np.abs(pcm.samples[_speaking(pcm, speech)])
    peak = float(np.quantile(magnitude, _PEAK_QUANTILE)) if len(magnitude) else 0.0
    if peak == 0:
        return 0.0
    return max(0.0, float(np.mean(magnitude >= _NEAR_PEAK * peak)) - _NEAR_PEAK_UNCLIPPED)


def _speaking(pcm: Pcm, speech: Sequence[Segment]) -> NDArray[np.bool_]:
    """For each sample, whether somebody speaks."""
    speaking = np.zeros(len(pcm), dtype=np.bool_)
    for segment in speech:
        speaking[round(segment.start * pcm.rate) : round(segment.end * pcm.rate)] = True
    return speaking


def _power(samples: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
