"""The heavy part of listening to a recording. It runs in a process of its own: see `studio.listening`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from audio.clean import clean, clean_if_it_helps
from audio.dnsmos import dnsmos
from audio.pcm import Pcm
from audio.quality import Quality, measure
from audio.vad import Segment

_SILENCE = Pcm.silence(1.0, 8000)


@dataclass(frozen=True, slots=True)
class Findings:
    """`cleaned` is there where cleaning helps."""

    quality: Quality
    cleaned: Pcm | None


def analyze(pcm: Pcm, speech: Sequence[Segment]) -> Findings:
    """How good a recording is, and a better one where that can be had; `speech` is where somebody speaks."""
    quality = measure(pcm, speech)
    cleaned, helped = clean_if_it_helps(pcm, quality)
    return Findings(quality, cleaned if helped else None)


@cache
def load() -> None:
    """Once in a process: what the first analysis would have to wait for."""
    dnsmos(_SILENCE)
    clean(_SILENCE)
