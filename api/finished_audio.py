"""Syntheses that are over, encoded once, so that players may jump about in them."""

from __future__ import annotations

import asyncio
import os
import tempfile
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

from audio.encode import Encoder, Mp3Encoder, MulawEncoder, RawEncoder, WavEncoder
from audio.pcm import Pcm
from studio.speech import Speech
from studio.states import AudioFormat
from studio.tables import Synthesis

KEPT_SECONDS: Final = 300.0
"""How long an encoded synthesis is kept after it was last asked for, also if it is deleted meanwhile."""
_KEPT_AT_ONCE = 32
_CHUNK = 1 << 16

ENCODERS: Final[Mapping[AudioFormat, Callable[[int], Encoder]]] = {
    AudioFormat.WAV: WavEncoder,
    AudioFormat.MP3: Mp3Encoder,
    AudioFormat.PCM_S16LE_24K: RawEncoder,
    AudioFormat.MULAW_8K: MulawEncoder,
}
CONTENT_TYPES: Final[Mapping[AudioFormat, str]] = {
    AudioFormat.WAV: WavEncoder.content_type,
    AudioFormat.MP3: Mp3Encoder.content_type,
    AudioFormat.PCM_S16LE_24K: RawEncoder.content_type,
    AudioFormat.MULAW_8K: MulawEncoder.content_type,
}


class EncodedAudio:
    """Bytes in a file without a name: it takes no memory, and is gone with the last who uses it."""

    def __init__(self, folder: Path) -> None:
        self._file, path = tempfile.mkstemp(dir=folder)
        weakref.finalize(self, os.close, self._file)
        Path(path).unlink()
        self.size = 0

    def add(self, data: bytes) -> None:
        """Blocks for a disk's time."""
        self.size += os.pwrite(self._file, data, self.size)

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        while start < stop:
            chunk = await asyncio.to_thread(os.pread, self._file, min(_CHUNK, stop - start), start)
            start += len(chunk)
            yield chunk


class FinishedAudio:
    """Encodes syntheses one at a time, and keeps the latest for a while. Whose they are is not asked here."""

    def __init__(self, speech: Speech, folder: Path) -> None:
        self._speech = speech
        self._folder = folder
        self._kept: dict[str, tuple[EncodedAudio, asyncio.TimerHandle]] = {}
        self._turn = asyncio.Lock()

    async def get(self, row: Synthesis) -> EncodedAudio | None:
        """A synthesis that is over; None if nothing was spoken."""
        async with self._turn:
            kept = self._kept.pop(row.id, None)
            audio = kept[0] if kept else await self._encode(row)
            if kept:
                kept[1].cancel()
            if audio is not None:
                while len(self._kept) >= _KEPT_AT_ONCE:
                    self._drop(next(iter(self._kept)))
                timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, row.id)
                self._kept[row.id] = audio, timer
            return audio

    def close(self) -> None:
        for key in list(self._kept):
            self._drop(key)

    def _drop(self, key: str) -> None:
        _, timer = self._kept.pop(key)
        timer.cancel()

    async def _encode(self, row: Synthesis) -> EncodedAudio | None:
        pieces = await self._speech.pieces(row.id)
        if not pieces:
            return None
        rate = pieces[0].sample_rate
        if row.format is AudioFormat.WAV:
            encoder: Encoder = WavEncoder(rate, sum(piece.samples for piece in pieces))
        else:
            encoder = ENCODERS[row.format](rate)
        audio = await asyncio.to_thread(EncodedAudio, self._folder)

        def add(pcm: Pcm) -> None:
            audio.add(encoder.feed(pcm))

        await asyncio.to_thread(audio.add, encoder.header())
        for piece in pieces:
            await asyncio.to_thread(add, await self._speech.read_piece(piece))
        await asyncio.to_thread(audio.add, encoder.finish())
        return audio
