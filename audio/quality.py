"""How good a recording of speech is, in figures and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from audio.dnsmos import Dnsmos, dnsmos
from audio.levels import clipped_fraction, loudness_dbfs, signal_to_noise_db
from audio.pcm import Pcm
from audio.vad import Segment, speech_segments

MIN_SCORED_SPEECH: Final = 1.0  # s; DNSMOS of less says nothing

# Where warnings begin; docs/audio.md holds the measurements behind them.
ENOUGH_SPEECH: Final = 10.0  # s
QUIET_DBFS: Final = -38.0
NOISY_SNR_DB: Final = 15.0
HOPELESS_SNR_DB: Final = 5.0
CODING_NOISE_DBFS: Final = -60.0  # what the steps of μ-law leave under a very quiet voice is less
NOISY_BACKGROUND: Final = 2.4  # DNSMOS
CLIPPED: Final = 0.005
DISTORTED_SIGNAL: Final = 2.4  # DNSMOS


@dataclass(frozen=True, slots=True)
class Quality:
    """What `measure` finds; `audio.levels` says how each level is defined and where it ends.

    Attributes:
        seconds: length of the recording.
        speech_seconds: how much of it is speech.
        signal_to_noise_db: speech against what is heard in the pauses, -10 to 60.
        clipped_fraction: how much of the speech lies in flat tops, 0 to 1; 0 for speech that was not clipped.
        loudness_dbfs: RMS of the speech without its pauses.
        dnsmos: predicted opinion scores; None with less than `MIN_SCORED_SPEECH`.
    """

    seconds: float
    speech_seconds: float
    signal_to_noise_db: float
    clipped_fraction: float
    loudness_dbfs: float
    dnsmos: Dnsmos | None


def measure(pcm: Pcm, speech: Sequence[Segment] | None = None) -> Quality:
    """`speech` is what `speech_segments(pcm)` found, if that is known already.

    Raises:
        BadWeights: a model is not installed, or is not the expected one.
    """
    if speech is None:
        speech = speech_segments(pcm)
    speech_seconds = sum(segment.seconds for segment in speech)
    return Quality(
        seconds=pcm.seconds,
        speech_seconds=speech_seconds,
        signal_to_noise_db=signal_to_noise_db(pcm, speech),
        clipped_fraction=clipped_fraction(pcm, speech),
        loudness_dbfs=loudness_dbfs(pcm, speech),
        dnsmos=dnsmos(pcm) if speech_seconds >= MIN_SCORED_SPEECH else None,
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
    clipped = quality.clipped_fraction > CLIPPED
    quiet = quality.loudness_dbfs < QUIET_DBFS
    noise_dbfs = quality.loudness_dbfs - quality.signal_to_noise_db
    noisy = quality.signal_to_noise_db < NOISY_SNR_DB and noise_dbfs > CODING_NOISE_DBFS
    # What clipping adds sounds like a background.
    murky = scores is not None and scores.background < NOISY_BACKGROUND and not clipped
    if noisy and quality.signal_to_noise_db < HOPELESS_SNR_DB:
        found.append(
            "The noise is almost as loud as the voice, and a clone of it will hardly sound like the speaker. "
            "Record again in a quiet place."
        )
    elif noisy or murky:
        found.append("There is noise in the background. Record again in a quieter place.")
    elif scores is not None and scores.signal < DISTORTED_SIGNAL and not clipped and not quiet:
        found.append("The voice sounds distorted or broken up. Try again with a better connection.")
    if clipped:
        found.append(
            "The voice is so loud that it distorts. Hold the phone further from the mouth, or speak more softly."
        )
    if quiet:
        found.append("The voice is very quiet. Hold the phone closer to the mouth, or speak louder.")
    return tuple(found)
