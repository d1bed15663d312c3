"""The part of a recording in which somebody speaks."""

from __future__ import annotations

from audio.pcm import Pcm
from audio.vad import speech_segments
from providers.contract import Refused

MINIMUM_SPEECH = 6.0
"""Seconds. Voices fitted to 3–4 s of speech were hardly nearer to their speakers than stock voices."""


def speech_only(recording: Pcm) -> Pcm:
    """The recording without its pauses; empty if nobody speaks."""
    pieces = [recording.cut(segment.start, segment.end) for segment in speech_segments(recording)]
    return Pcm.join([recording.cut(0.0, 0.0), *pieces])


def enough_speech(recording: Pcm) -> Pcm:
    """The recording without its pauses.

    Raises:
        Refused: there is too little speech to clone.
    """
    speech = speech_only(recording)
    if speech.seconds < MINIMUM_SPEECH:
        raise Refused(
            f"Only {speech.seconds:.0f} seconds of speech were heard in the recording, and at least "
            f"{MINIMUM_SPEECH:.0f} are needed. Record again in a quiet place, and keep talking for 20 to 30 seconds."
        )
    return speech
