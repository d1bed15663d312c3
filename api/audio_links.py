"""Links to audio that work without signing in, for a while: an <audio> element cannot send headers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from studio.states import AudioFormat
from studio.tables import Recording, Synthesis

PREFIX: Final = "/audio"
LIFETIME: Final = 3600
"""Seconds that a link works at least."""
EXTENSIONS: Final[Mapping[AudioFormat, str]] = {
    AudioFormat.WAV: "wav",
    AudioFormat.MP3: "mp3",
    AudioFormat.PCM_S16LE_24K: "pcm",
    AudioFormat.MULAW_8K: "ulaw",
}
# Links made within this many seconds are the same, so that a player or a cache knows them again.
_ROUNDED_TO = 900


class AudioLinks:
    """Makes and checks links. Whoever has one may hear that one thing until it expires or the thing is deleted."""

    def __init__(self, key: bytes, base_url: str, clock: Callable[[], float] = time.time) -> None:
        # A key of its own, so that no other signature made with the same secret passes for one of these.
        self._key = hmac.digest(key, b"deadringer: links to audio", hashlib.sha256)
        self._base_url = base_url
        self._clock = clock

    def synthesis(self, row: Synthesis) -> str:
        return self._signed(f"{PREFIX}/syntheses/{row.id}.{EXTENSIONS[row.format]}", row.user_id)

    def recording(self, row: Recording) -> str:
        return self._signed(f"{PREFIX}/recordings/{row.id}.wav", row.user_id)

    def owner(self, path: str, query: Mapping[str, str]) -> str | None:
        """Whose audio the link with this path and query leads to; None if it is forged or has expired."""
        owner, expires, signature = (query.get(name, "") for name in ("owner", "expires", "signature"))
        if not (expires.isascii() and expires.isdecimal() and len(expires) <= 12):
            return None
        right = hmac.compare_digest(self._signature(path, owner, expires).encode(), signature.encode())
        return owner if right and self._clock() < int(expires) else None

    def _signed(self, path: str, owner: str) -> str:
        expires = str((int(self._clock() + LIFETIME) // _ROUNDED_TO + 1) * _ROUNDED_TO)
        query = {"owner": owner, "expires": expires, "signature": self._signature(path, owner, expires)}
        return f"{self._base_url}{path}?{urlencode(query)}"

    def _signature(self, path: str, owner: str, expires: str) -> str:
        # Neither the path nor the digits hold a line break, so the parts cannot be shifted against each other.
        digest = hmac.digest(self._key, "\n".join((path, owner, expires)).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
