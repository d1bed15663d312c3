"""The voices that every account has."""

from __future__ import annotations

import time
from collections.abc import Callable

from providers.contract import AtCapacity, Transient, VoiceInfo
from providers.elevenlabs.connection import Connection
from providers.elevenlabs.listing import listed

_FRESH_SECONDS = 600.0
_TROUBLED_SECONDS = 30.0  # after a question that was not answered


class BuiltInVoices:
    """ElevenLabs' own voices, asked for every ten minutes. What the account has cloned is not among them: it belongs
    to single users."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._known: tuple[float, dict[str, VoiceInfo]] | None = None

    async def all(self) -> dict[str, VoiceInfo]:
        """By their keys.

        Raises:
            ProviderError
        """
        if self._known is not None and self._clock() - self._known[0] < _FRESH_SECONDS:
            return self._known[1]
        try:
            voices = await self._listed()
        except (Transient, AtCapacity):
            if self._known is None:
                raise
            # Better the old ones than none, and without a wait for whoever asks next.
            self._known = self._clock() - _FRESH_SECONDS + _TROUBLED_SECONDS, self._known[1]
        else:
            self._known = self._clock(), voices
        return self._known[1]

    async def _listed(self) -> dict[str, VoiceInfo]:
        return {
            voice.voice_id: VoiceInfo(
                key=voice.voice_id,
                name=voice.name or voice.voice_id,
                language=(voice.labels or {}).get("language"),
                sample_url=voice.preview_url,
            )
            # Its first page may hold more than what was asked for.
            for voice in await listed(self._connection, voice_type="default", category="premade")
            if voice.category == "premade"
        }
