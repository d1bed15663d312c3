"""Sound as bytes that can be sent while it is still being made.

An encoder takes the pieces of one sound in order. What `header`, `feed` and `finish` return, one after the other, is
the whole file, and is the same however the sound was cut into pieces.
"""

from __future__ import annotations

from typing import Final, Protocol

import soundfile

from audio.g711 import encode_mulaw
from audio.pcm import Pcm
from audio.resample import StreamResampler
from audio.wav import wav_header

SPEECH_RATE: Final = 24_000  # Hz
TELEPHONE_RATE: Final = 8_000  # Hz
# libsndfile's measure from 0 to 1, at which it makes 64 kbit/s of 24 kHz: plenty for speech. At a constant rate a
# player can tell the time at any byte, though the length is not known when the first bytes are sent.
_MP3_COMPRESSION: Final = 0.6


class Encoder(Protocol):
    """`content_type` is the media type of the bytes."""

    @property
    def content_type(self) -> str: ...

    def header(self) -> bytes:
        """What comes before the sound."""
        ...

    def feed(self, pcm: Pcm) -> bytes:
        """What can be sent now that this piece has come; it may be nothing yet.

        Raises:
            ValueError: the piece has another rate than the sound began with.
        """
        ...

    def finish(self) -> bytes:
        """The rest, after the last piece."""
        ...


class WavEncoder:
    """16-bit mono WAV at the sound's own `rate` in Hz. While `frames`, the number of samples, is not known, the header
    says that the sound goes on to the end of the file."""

    content_type = "audio/wav"

    def __init__(self, rate: int, frames: int | None = None) -> None:
        self._rate = rate
        self._frames = frames

    def header(self) -> bytes:
        return wav_header(self._rate, self._frames)

    def feed(self, pcm: Pcm) -> bytes:
        if pcm.rate != self._rate:
            raise ValueError(f"a piece at {pcm.rate} Hz came into a sound of {self._rate} Hz")
        return pcm.to_int16()

    def finish(self) -> bytes:
        return b""


class RawEncoder:
    """Signed 16-bit little-endian mono samples at 24 kHz, without a header (RFC 2586 has them big-endian as audio/L16,
    so that name does not fit)."""

    content_type = "audio/pcm;rate=24000;encoding=signed-integer;bits=16"

    def __init__(self, rate: int) -> None:
        self._resampler = StreamResampler(rate, SPEECH_RATE)

    def header(self) -> bytes:
        return b""

    def feed(self, pcm: Pcm) -> bytes:
        return self._resampler.process(pcm).to_int16()

    def finish(self) -> bytes:
        return self._resampler.flush().to_int16()


class MulawEncoder:
    """G.711 μ-law, 8 kHz mono, without a header: what telephone networks carry (RFC 3551, PCMU)."""

    content_type = "audio/basic"  # RFC 2046: 8-bit μ-law, one channel, 8000 Hz

    def __init__(self, rate: int) -> None:
        self._resampler = StreamResampler(rate, TELEPHONE_RATE)

    def header(self) -> bytes:
        return b""

    def feed(self, pcm: Pcm) -> bytes:
        return encode_mulaw(self._resampler.process(pcm))

    def finish(self) -> bytes:
        return encode_mulaw(self._resampler.flush())


class Mp3Encoder:
    """MPEG-2 layer III, mono, 24 kHz, 64 kbit/s."""

    content_type = "audio/mpeg"

    def __init__(self, rate: int) -> None:
        self._resampler = StreamResampler(rate, SPEECH_RATE)
        self._sink = _Sink()
        self._file = soundfile.SoundFile(
            self._sink,
            "w",
            samplerate=SPEECH_RATE,
            channels=1,
            format="MP3",
            subtype="MPEG_LAYER_III",
            bitrate_mode="CONSTANT",
            compression_level=_MP3_COMPRESSION,
        )

    def header(self) -> bytes:
        return b""

    def feed(self, pcm: Pcm) -> bytes:
        self._file.write(self._resampler.process(pcm).samples)
        return self._sink.take()

    def finish(self) -> bytes:
        self._file.write(self._resampler.flush().samples)
        self._file.close()
        return self._sink.take()


class _Sink:
    """A file for libsndfile that hands on what is added to it, and forgets it. When an MP3 is closed, its first frame
    is written again with the length of the file; it has long been sent, and that is let go."""

    def __init__(self) -> None:
        self._new = bytearray()
        self._size = 0
        self._position = 0

    def take(self) -> bytes:
        taken = bytes(self._new)
        self._new.clear()
        return taken

    def write(self, data: bytes) -> int:
        added = data[max(0, self._size - self._position) :]
        self._new += added
        self._size += len(added)
        self._position += len(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position
