"""Sound files that an application has played: fetched, turned into what a phone line carries, and kept for the next
time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from audio.g711 import encode_mulaw
from audio.resample import resample
from audio.wav import BadAudio, read_wav
from telephony.exchange.errors import INVALID_CONTENT_TYPE, CallError
from telephony.exchange.protocol import SAMPLE_RATE
from telephony.exchange.webhooks import WebhookClient

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_CACHE_BYTES = 32 * 1024 * 1024
WAV_TYPES = {"audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave"}


class Sounds:
    """Files that come with an ETag are asked for again by it; others are fetched each time."""

    def __init__(self, webhooks: WebhookClient) -> None:
        self._webhooks = webhooks
        self._cache: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        """URL to ETag and sound, the one unused for longest first."""

    async def fetch(self, url: str) -> bytes:
        """The file at `url` as μ-law at 8000 Hz.

        Raises:
            CallError: it cannot be had, or is no WAV file.
        """
        etag, cached = self._cache.get(url, ("", b""))
        headers = {"If-None-Match": etag} if etag else {}
        response = await self._webhooks.send("GET", url, {}, headers=headers, max_bytes=MAX_FILE_BYTES)
        if response.status == 304:
            if url in self._cache:  # another call's fetch may have driven it out
                self._cache.move_to_end(url)
            return cached
        if response.content_type not in WAV_TYPES:
            kind = response.content_type or "nothing"
            raise CallError(INVALID_CONTENT_TYPE, f"the exchange plays WAV files; the application sent {kind}", url)
        try:
            sound = await asyncio.to_thread(_line_sound, response.body)
        except BadAudio as error:
            raise CallError(INVALID_CONTENT_TYPE, str(error), url) from error
        self._cache.pop(url, None)
        if response.etag:
            self._cache[url] = (response.etag, sound)
            while sum(len(kept) for _, kept in self._cache.values()) > MAX_CACHE_BYTES:
                self._cache.popitem(last=False)
        return sound


def _line_sound(wav: bytes) -> bytes:
    return encode_mulaw(resample(read_wav(wav), SAMPLE_RATE))
