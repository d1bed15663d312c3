"""How good a recording of speech is, in figures and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.dnsmos import Dnsmos, dnsmos
from audio.pcm import Pcm
from audio.vad import Segment, speech_segments

SNR_RANGE_DB: Final = (-10.0, 60.0)
SILENCE_DBFS: Final = -100.0


@dataclass(frozen=True, slots=True)
class Quality:
    """What `measure` finds.

    `loudness_dbfs` is the RMS of the speech alone; 0 dBFS is a square wave of full scale, so a full sine has -3.
    """

    seconds: float
    speech_seconds: float
    signal_to_noise_db: float
    clipped_fraction: float  # of the speech's samples, 0 to 1
    loudness_dbfs: float
    dnsmos: Dnsmos | None  # None when there is too little sound to judge


def measure(pcm: Pcm) -> Quality:
    """Raises BadWeights when a model is not installed, or is not the expected one."""
    segments = speech_segments(pcm)
    speaking = _mask(pcm, segments)
    speech, rest = pcm.samples[speaking], pcm.samples[~speaking]
    return Quality(
        seconds=pcm.seconds,
        speech_seconds=len(speech) / pcm.rate,
        signal_to_noise_db=_signal_to_noise_db(speech, rest, pcm.rate),
        clipped_fraction=0.0,
        loudness_dbfs=_dbfs(_power(speech)),
        dnsmos=dnsmos(pcm),
    )


def warnings(quality: Quality) -> tuple[str, ...]:
    """What the speaker can do better next time, in words; empty for a good recording."""
    return ()


def _mask(pcm: Pcm, segments: list[Segment]) -> NDArray[np.bool_]:
    speaking = np.zeros(len(pcm), dtype=np.bool_)
    for segment in segments:
        speaking[round(segment.start * pcm.rate) : round(segment.end * pcm.rate)] = True
    return speaking


def _power(samples: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0


def _dbfs(power: float) -> float:
    return max(SILENCE_DBFS, 10 * float(np.log10(power))) if power > 0 else SILENCE_DBFS


def _signal_to_noise_db(speech: NDArray[np.float32], rest: NDArray[np.float32], rate: int) -> float:
    noise, loud = _power(rest), _power(speech)
    return float(np.clip(_dbfs(max(0.0, loud - noise)) - _dbfs(noise), *SNR_RANGE_DB))
