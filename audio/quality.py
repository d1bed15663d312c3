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

# Where warnings begin; docs/audio.md holds the measurements behind them.
ENOUGH_SPEECH: Final = 10.0  # s
QUIET_DBFS: Final = -38.0
NOISY_SNR_DB: Final = 15.0
NOISY_BACKGROUND: Final = 2.4  # DNSMOS
CLIPPED: Final = 0.005
DISTORTED_SIGNAL: Final = 2.4  # DNSMOS

_FRAME_SECONDS: Final = 0.032
_MIN_PAUSE: Final = 0.3  # s of pauses, from which the noise is known
_QUIETEST: Final = 0.1  # the part of the frames from which the noise is known where there are no pauses

_PEAK_QUANTILE: Final = 0.999
_NEAR_PEAK: Final = 0.85
_NEAR_PEAK_UNCLIPPED: Final = 0.007


@dataclass(frozen=True, slots=True)
class Quality:
    """What `measure` finds.

    Attributes:
        seconds: length of the recording.
        speech_seconds: how much of it is speech (voice-activity detection).
        signal_to_noise_db: speech against what is heard in the pauses, within `SNR_RANGE_DB`; the upper end for a line
            that is digitally silent in the pauses, the lower end without speech.
        clipped_fraction: of the speech, how much lies in flat tops, 0 to 1; 0 for speech that was not clipped.
        loudness_dbfs: RMS of the speech, pauses left out. 0 dBFS is a square wave of full scale, so that a sine of full
            scale has -3; `SILENCE_DBFS` without speech.
        dnsmos: predicted opinion scores; None when there is less than a second of speech.
    """

    seconds: float
    speech_seconds: float
    signal_to_noise_db: float
    clipped_fraction: float
    loudness_dbfs: float
    dnsmos: Dnsmos | None


def measure(pcm: Pcm) -> Quality:
    """Raises BadWeights when a model is not installed, or is not the expected one."""
    segments = speech_segments(pcm)
    speaking = _mask(pcm, segments)
    speech = pcm.samples[speaking]
    speech_seconds = len(speech) / pcm.rate
    return Quality(
        seconds=pcm.seconds,
        speech_seconds=speech_seconds,
        signal_to_noise_db=_signal_to_noise_db(pcm, speaking),
        clipped_fraction=_clipped_fraction(speech),
        loudness_dbfs=_dbfs(_power(speech)),
        dnsmos=dnsmos(pcm) if speech_seconds >= 1.0 else None,
    )


def warnings(quality: Quality) -> tuple[str, ...]:
    """What the speaker can do better next time, in words; empty for a good recording."""
    if quality.speech_seconds == 0:
        return ("No speech was heard. Speak into the microphone and try again.",)
    found: list[str] = []
    if quality.speech_seconds < ENOUGH_SPEECH:
        found.append(
            f"Only {quality.speech_seconds:.0f} seconds of speech were heard. Keep talking for 20 to 30 seconds."
        )
    scores = quality.dnsmos
    noisy = quality.signal_to_noise_db < NOISY_SNR_DB or (scores is not None and scores.background < NOISY_BACKGROUND)
    if noisy:
        found.append("There is noise in the background. Record again in a quieter place.")
    if quality.clipped_fraction > CLIPPED:
        found.append(
            "The voice is so loud that it distorts. Hold the phone further from the mouth, or speak more softly."
        )
    elif scores is not None and scores.signal < DISTORTED_SIGNAL and not noisy:
        found.append("The voice sounds distorted or broken up. Try again with a better connection.")
    if quality.loudness_dbfs < QUIET_DBFS:
        found.append("The voice is very quiet. Hold the phone closer to the mouth, or speak louder.")
    return tuple(found)


def _mask(pcm: Pcm, segments: list[Segment]) -> NDArray[np.bool_]:
    speaking = np.zeros(len(pcm), dtype=np.bool_)
    for segment in segments:
        speaking[round(segment.start * pcm.rate) : round(segment.end * pcm.rate)] = True
    return speaking


def _signal_to_noise_db(pcm: Pcm, speaking: NDArray[np.bool_]) -> float:
    """Speech and noise are independent, so their powers add: 10 log10((P - N) / N), where P is the mean power while
    somebody speaks, and N that of the pauses.

    N is the median over frames, so that a key's tone or a click in a pause does not count as noise; and frames of
    digital silence are left out, since they say nothing about the noise under the speech. Without pauses, the quietest
    tenth of all frames stands for them.
    """
    lowest, highest = SNR_RANGE_DB
    if not speaking.any():
        return lowest
    size = round(_FRAME_SECONDS * pcm.rate)
    count = len(pcm) // size
    powers = np.mean(np.square(pcm.samples[: count * size], dtype=np.float64).reshape(count, size), axis=1)
    in_pause = ~speaking[: count * size].reshape(count, size).any(axis=1)
    pauses = powers[in_pause]
    if len(pauses) * _FRAME_SECONDS < _MIN_PAUSE:
        pauses = np.sort(powers)[: max(1, round(_QUIETEST * count))]
    pauses = pauses[pauses > 0]
    if not len(pauses):
        return highest
    noise = float(np.median(pauses))
    speech = _power(pcm.samples[speaking]) - noise
    return float(np.clip(10 * np.log10(speech / noise), lowest, highest)) if speech > 0 else lowest


def _clipped_fraction(speech: NDArray[np.float32]) -> float:
    """The part of the samples within 15 % of the peak, less what unclipped speech has there (at most 0.7 %).

    Speech spends little time near its peaks; clipped speech piles up there. So clipping at any level is found, also
    below full scale, and after μ-law, whose steps near the peak are 3 % of it. The peak is the 99.9th percentile:
    filters and resampling let single samples overshoot the flat tops. The histogram's end as a sign of clipping:
    J. Eaton, P. A. Naylor, "Detection of clipping in coded speech signals", EUSIPCO 2013.
    """
    magnitude = np.abs(speech)
    peak = float(np.quantile(magnitude, _PEAK_QUANTILE)) if len(speech) else 0.0
    if peak == 0:
        return 0.0
    return max(0.0, float(np.mean(magnitude >= _NEAR_PEAK * peak)) - _NEAR_PEAK_UNCLIPPED)


def _power(samples: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0


def _dbfs(power: float) -> float:
    return max(SILENCE_DBFS, 10 * float(np.log10(power))) if power > 0 else SILENCE_DBFS
