"""Kokoro's English voices (https://huggingface.co/hexgrad/Kokoro-82M/blob/main/VOICES.md), the best first."""

from __future__ import annotations

from collections.abc import Mapping

from providers.contract import VoiceInfo
from providers.local.accents import Accent

# In the order of their published grades, A to F.
_ENGLISH = (
    "af_heart af_bella af_nicole bf_emma af_aoede af_kore af_sarah am_fenrir am_michael am_puck af_alloy af_nova "
    "bf_isabella bm_fable bm_george af_sky bm_lewis af_jessica af_river am_echo am_eric am_liam am_onyx bf_alice "
    "bf_lily bm_daniel am_santa am_adam"
)

_ACCENTS: Mapping[str, Accent] = {"a": "en-US", "b": "en-GB"}


def accent_of(key: str) -> Accent:
    """How a voice speaks: its key begins with `a` for American, `b` for British."""
    return _ACCENTS[key[0]]


ENGLISH_VOICES: Mapping[str, VoiceInfo] = {
    key: VoiceInfo(key=key, name=key[3:].capitalize(), language=accent_of(key)) for key in _ENGLISH.split()
}
