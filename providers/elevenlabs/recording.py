"""A recording as ElevenLabs wants it.

They advise one to two minutes of speech, not more than three, at -23 to -18 dB RMS with peaks of -3 dB, and to leave
noise removal off where there is little noise, as it can make the voice worse. So the recording goes as it came over the
phone, not the cleaned one: cleaning moves it away from the speaker (docs/cloning.md). It also keeps the
phone's 8 kHz: upsampled it would be three times as large and sound the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from audio.levels import loudness_dbfs
from audio.pcm import Pcm
from audio.resample import resample
from audio.vad import Segment, speech_segments
from providers.contract import Refused

MINIMUM_SPEECH: Final = 10.0
"""Seconds. Below this, ElevenLabs' own site makes no voice."""

LONGEST: Final = 180.0  # s
LEVEL_DBFS: Final = -20.0  # RMS of the speech
PEAK_DBFS: Final = -3.0
HIGHEST_RATE: Final = 24_000  # Hz, of what was not recorded over the phone: three minutes of it are 8.6 MB

_PAUSE = 0.6  # s that is left of a longer pause


def prepared(recording: Pcm) -> Pcm:
    """The recording without long pauses and what lies around the speech, `LONGEST` at most, and levelled.

    Raises:
        Refused: there is less than `MINIMUM_SPEECH` of speech.
        BadWeights: as `audio.vad.speech_segments`.
    """
    speech = speech_segments(recording)
    spoken = sum(segment.seconds for segment in speech)
    if spoken < MINIMUM_SPEECH:
        raise Refused(
            f"Only {spoken:.0f} seconds of speech were heard in the recording, and ElevenLabs needs at least "
            f"{MINIMUM_SPEECH:.0f}. Record again, and keep talking for 20 to 30 seconds."
        )
    tight = Pcm.join([recording.cut(part.start, part.end) for part in _with_short_pauses(speech, recording.seconds)])
    tight = tight.cut(0.0, LONGEST)
    return levelled(resample(tight, min(tight.rate, HIGHEST_RATE)), loudness_dbfs(recording, speech))


def levelled(sound: Pcm, loudness: float) -> Pcm:
    """Speech of `loudness` dBFS (RMS) at `LEVEL_DBFS`, or below where its peaks would exceed `PEAK_DBFS`: a gain and
    nothing else, so nothing is distorted."""
    peak = 20 * float(np.log10(max(1e-9, float(np.abs(sound.samples).max(initial=0.0)))))
    gain_db = min(LEVEL_DBFS - loudness, PEAK_DBFS - peak)
    return Pcm(sound.samples * np.float32(10 ** (gain_db / 20)), sound.rate)


def _with_short_pauses(speech: Sequence[Segment], end: float) -> list[Segment]:
    """The speech with half a short pause on either side, in one part where the pause between is short enough."""
    parts: list[Segment] = []
    for segment in speech:
        start, stop = max(0.0, segment.start - _PAUSE / 2), min(end, segment.end + _PAUSE / 2)
        if parts and start <= parts[-1].end:
            start = parts.pop().start
        parts.append(Segment(start, stop))
    return parts
