"""Noise suppression by DeepFilterNet 3, gently, and only where it helps.

It was made for the full band. In a telephone's band (300 to 3400 Hz) it takes speech for noise: without a limit it
lowered whole words by 20 to 40 dB, and the result was further from the clean speech than the noisy recording had been,
while DNSMOS rose. So it may lower nothing by more than 6 dB, and only recordings with much noise are cleaned. Measured
in the phone band (docs/audio.md tells how), by the background score before:

    background  recordings  overall score  signal score  distance to the clean speech (scale-invariant SDR)
    below 1.6           25   1.33 -> 1.80  1.97 -> 2.77   4.7 ->  6.0 dB, nearer in 92 %
    1.6 to 2.2          72   1.91 -> 2.17  3.12 -> 3.23   7.4 ->  8.9 dB, nearer in 86 %
    2.2 to 2.6          56   2.25 -> 2.42  3.29 -> 3.28  14.4 -> 13.8 dB, nearer in 55 %
    2.6 to 3.0          39   2.45 -> 2.59  3.35 -> 3.33  17.6 -> 16.5 dB, nearer in 33 %
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import ceil
from typing import Final

import numpy as np

from audio.deepfilternet import RATE, suppress_noise
from audio.dnsmos import dnsmos
from audio.pcm import Pcm
from audio.quality import Quality
from audio.resample import resample

CLEAN_BELOW: Final = 2.2  # DNSMOS background score
MIN_GAIN: Final = 0.1  # DNSMOS overall score; it is known to 0.05
MAX_SECONDS: Final = 180.0  # a second takes 0.02 s; the script ends a take after 120

_LEFT: Final = 10 ** (-6.0 / 20)  # of the amplitude of what is taken for noise: 6 dB less
_PART: Final = 10.0  # s, the longest: 200 MB while it is in work
_LEAD_IN: Final = 2.0  # s of the sound before a part, from which the model learns the noise
_LEAD_OUT: Final = 0.1  # s of the sound after it, for the look-ahead and the ends of the resampler's filter


def clean(pcm: Pcm) -> Pcm:
    """The speech with its background 6 dB lower: same rate, same length, in the same place in time.

    Raises:
        BadWeights: the model is not installed, or is not the expected one.
    """
    return Pcm.join([Pcm.silence(0, pcm.rate), *_cleaned_parts(pcm)])


def _cleaned_parts(pcm: Pcm) -> Iterator[Pcm]:
    """Of even length."""
    count = max(1, ceil(pcm.seconds / _PART))
    for start, end in pairwise(len(pcm) * number // count for number in range(count + 1)):
        first = max(0, start - round(_LEAD_IN * pcm.rate))
        around = _clean_whole(Pcm(pcm.samples[first : end + round(_LEAD_OUT * pcm.rate)], pcm.rate))
        yield Pcm(around.samples[start - first : end - first], pcm.rate)


def _clean_whole(pcm: Pcm) -> Pcm:
    noisy = resample(pcm, RATE).samples
    cleaned = suppress_noise(noisy) * (1 - _LEFT) + noisy * _LEFT
    speech = resample(Pcm(cleaned, RATE), pcm.rate).samples[: len(pcm)]
    return Pcm(np.pad(speech, (0, len(pcm) - len(speech))), pcm.rate)


def clean_if_it_helps(pcm: Pcm, quality: Quality) -> tuple[Pcm, bool]:
    """The cleaned recording and True, or the recording itself and False; `quality` is what `measure(pcm)` found.

    Cleaned is what has a background score below `CLEAN_BELOW` and is no longer than `MAX_SECONDS`, if the overall
    score then rises by `MIN_GAIN`.

    Raises:
        BadWeights: as `clean`.
    """
    before = quality.dnsmos
    if before is None or before.background >= CLEAN_BELOW or pcm.seconds > MAX_SECONDS:
        return pcm, False
    cleaned = clean(pcm)
    after = dnsmos(cleaned)
    if after is None or after.overall < before.overall + MIN_GAIN:
        return pcm, False
    return cleaned, True
