"""Text to speech, piece by piece, with the pauses between the pieces that a speaker makes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from audio.pcm import Pcm
from providers.local.accents import Accent
from providers.local.kokoro import Kokoro, Style
from providers.local.pieces import pieces

_FRAME = 0.005  # s
_LEVEL = 1e-5  # -50 dB: speech is louder than this part of its loud frames' power, breath and hiss are not
_LEAD = 0.03  # s kept before the first sound: quiet consonants

# Seconds from one piece to the next, as Kokoro itself pauses when it says both at once.
_AFTER_SENTENCE = 0.35
_AFTER_CLAUSE = 0.28
_AFTER_WORD = 0.0
_PAUSE_MARKS = ".!?…"
_CLAUSE_MARKS = ",;:—"


def speak(kokoro: Kokoro, text: str, style: Style, accent: Accent, speed: float) -> Iterator[Pcm]:
    """Speech at 24 kHz, which can be played one piece after the other. Nothing, where nothing can be said.

    Each step blocks for the time that one piece takes.

    Raises:
        BadWeights: a file is missing or damaged (see `audio.weights`).
    """
    for phonemes in pieces(text, accent):
        yield _within_full_scale(_with_pause(kokoro.speak(phonemes, style, speed), _pause(phonemes) / speed))


def _pause(phonemes: str) -> float:
    last = phonemes.rstrip(")”")[-1:]
    return _AFTER_SENTENCE if last in _PAUSE_MARKS else _AFTER_CLAUSE if last in _CLAUSE_MARKS else _AFTER_WORD


def _with_pause(spoken: Pcm, pause: float) -> Pcm:
    """`spoken` from its first sound to `pause` seconds after its last."""
    frame = round(_FRAME * spoken.rate)
    frames = spoken.samples[: len(spoken) // frame * frame].reshape(-1, frame)
    power = np.mean(np.square(frames), axis=1)
    loud = np.flatnonzero(power > np.percentile(power, 95) * _LEVEL)
    if not len(loud):
        return spoken
    start = max(0, loud[0] * frame - round(_LEAD * spoken.rate))
    end = (loud[-1] + 1) * frame + round(pause * spoken.rate)
    silence = np.zeros(max(0, end - len(spoken)), dtype=np.float32)
    return Pcm(np.concatenate([spoken.samples[start:end], silence]), spoken.rate)


def _within_full_scale(spoken: Pcm) -> Pcm:
    """Turned down where it would be clipped: by 1.5 dB at most, in the loudest voices."""
    peak = float(np.abs(spoken.samples).max(initial=0.0))
    return spoken if peak <= 1.0 else Pcm(spoken.samples / np.float32(peak), spoken.rate)
