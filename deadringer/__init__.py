"""Deadringer's front door: the `deadringer` command, and the names that authors of provider plugins import.

    from deadringer import hookimpl, Synthesizer, SpeechRequest

Names are loaded when they are asked for, so that importing this package is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audio.pcm import Pcm
    from providers.contract import (
        Artefact,
        AtCapacity,
        Capability,
        ChatMessage,
        ClonedVoice,
        Cloner,
        CloneRequest,
        Converser,
        Dialogue,
        Gone,
        Health,
        NotConfigured,
        Provider,
        ProviderError,
        Quota,
        QuotaExceeded,
        Refused,
        Responder,
        SpeechOptions,
        SpeechRequest,
        Synthesizer,
        Transcriber,
        Transcript,
        Transient,
        VoiceInfo,
    )
    from providers.hookspecs import Register, hookimpl

__all__ = [
    "Artefact",
    "AtCapacity",
    "Capability",
    "ChatMessage",
    "CloneRequest",
    "ClonedVoice",
    "Cloner",
    "Converser",
    "Dialogue",
    "Gone",
    "Health",
    "NotConfigured",
    "Pcm",
    "Provider",
    "ProviderError",
    "Quota",
    "QuotaExceeded",
    "Refused",
    "Register",
    "Responder",
    "SpeechOptions",
    "SpeechRequest",
    "Synthesizer",
    "Transcriber",
    "Transcript",
    "Transient",
    "VoiceInfo",
    "hookimpl",
]

_ELSEWHERE = {"Pcm": "audio.pcm", "Register": "providers.hookspecs", "hookimpl": "providers.hookspecs"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'deadringer' has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "providers.contract")), name)
