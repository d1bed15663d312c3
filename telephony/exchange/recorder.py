"""Listening to the person at the phone: until a key, a silence, or the longest time.

Time is counted in samples, so that a recording comes out the same however fast the sound arrives.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from audio.g711 import decode_mulaw
from telephony.exchange.protocol import SAMPLE_RATE

GATE_DBFS = -45.0
"""A frame with less power than this is silence. Speech on a telephone line has about -25 dBFS, its background -55."""
FRAME = SAMPLE_RATE // 50
"""Samples whose power is measured together: 20 ms."""
MARGIN_FRAMES = 5
"""Kept around speech where silence is trimmed, for soft beginnings and ends."""

End = Literal["key", "silence", "max-length", "hang-up", "redirected"]


class Recorder:
    """Collects μ-law sound by `hear` until `ended` is done; `timeout` and `max_length` are in seconds."""

    def __init__(self, timeout: float, max_length: float, finish_on_key: str) -> None:
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.key = ""
        """The one that ended the recording."""
        self._finish_on_key = finish_on_key
        self._silent_frames_allowed = round(timeout * SAMPLE_RATE / FRAME)
        self._bytes_allowed = round(max_length * SAMPLE_RATE)
        self._sound = bytearray()
        self._loud: list[bool] = []
        """Of each frame."""
        self._silent_frames = 0
        """At the end."""

    def hear(self, sound: bytes) -> None:
        if self.ended.done():
            return
        self._sound += sound[: self._bytes_allowed - len(self._sound)]
        for loud in _is_loud(self._sound[len(self._loud) * FRAME :]):
            self._loud.append(bool(loud))
            self._silent_frames = 0 if loud else self._silent_frames + 1
            if self._silent_frames >= self._silent_frames_allowed:
                del self._sound[len(self._loud) * FRAME :]
                self.end("silence")
                return
        if len(self._sound) >= self._bytes_allowed:
            self.end("max-length")

    def press(self, key: str) -> None:
        if key in self._finish_on_key and not self.ended.done():
            self.key = key
            self.end("key")

    def end(self, reason: End) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)

    @property
    def is_empty(self) -> bool:
        """Nothing but silence was heard."""
        return not any(self._loud)

    @property
    def seconds(self) -> float:
        return len(self._sound) / SAMPLE_RATE

    def sound(self, *, trim: bool) -> bytes:
        """What was heard, in μ-law; with `trim` without the silence before and after, but for a short margin."""
        if not trim or self.is_empty:
            return bytes(self._sound)
        first = self._loud.index(True)
        last = len(self._loud) - self._loud[::-1].index(True)
        return bytes(self._sound[max(0, first - MARGIN_FRAMES) * FRAME : (last + MARGIN_FRAMES) * FRAME])


def _is_loud(sound: bytes | bytearray) -> NDArray[np.bool_]:
    """Of each whole frame."""
    frames = len(sound) // FRAME
    samples = decode_mulaw(bytes(sound[: frames * FRAME])).samples.reshape(frames, FRAME)
    return np.asarray(np.mean(np.square(samples), axis=1) > 10 ** (GATE_DBFS / 10))
