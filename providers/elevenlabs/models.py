"""The models that speak, and the formats they are asked for.

Source: ElevenLabs' model overview and the descriptions in SDK 2.78, read in November 2026.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audio.g711 import decode_mulaw
from audio.pcm import Pcm


@dataclass(frozen=True, slots=True)
class Model:
    """`characters`: how long a text it takes in one request. `chooses_language`: whether it can be told which language
    a text is in; the other finds out by itself and refuses to be told."""

    id: str
    characters: int
    chooses_language: bool


QUALITY: Final = Model("eleven_multilingual_v2", 10_000, chooses_language=False)
QUICK: Final = Model("eleven_flash_v2_5", 40_000, chooses_language=True)

SLOWEST, FASTEST = 0.7, 1.2
LARGEST_SEED: Final = 2**32 - 1
MOST_PREVIOUS_REQUESTS: Final = 3


@dataclass(frozen=True, slots=True)
class Format:
    """How sound travels: its name in the API, bytes in a sample, samples in a second, and what makes `Pcm` of it."""

    name: str
    width: int
    rate: int
    decode: Callable[[bytes, int], Pcm]


# Both are in every plan; PCM at 44.1 kHz begins with Pro.
WIDE_BAND: Final = Format("pcm_24000", 2, 24_000, Pcm.from_int16)
TELEPHONE: Final = Format("ulaw_8000", 1, 8_000, decode_mulaw)
