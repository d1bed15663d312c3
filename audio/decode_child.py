"""The process that decodes a stranger's file, and is made to be thrown away. `audio.decode` starts it.

It reads the file from standard input, and writes the sound's rate in Hz (32 bits, little-endian) and then its samples
(16 bits, little-endian, mono) to standard output. How it went is its exit status, an `Outcome`. Whatever else a decoder
that was led astray by its input might say is nobody's business, so there is no other way to say something.

Run by its path, it imports nothing of the house, and is ready in a tenth of a second.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from enum import IntEnum
from io import FileIO
from itertools import chain, groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING or __name__ == "__main__":  # the service, which imports this for its names, never loads FFmpeg
    import av
    import av.subtitles.codeccontext  # PyAV looks for these two when it opens a file, and it would be too late
    import av.subtitles.stream
    from av import AudioFrame, AudioResampler
    from av.container import InputContainer

CPU_SECONDS: Final = 30
_MEMORY: Final = 512 << 20  # bytes of addresses, of which Python and FFmpeg take 120 MB
_CODECS: Final = (
    *("aac", "alac", "flac", "mp3float", "opus", "libopus", "vorbis"),
    *("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw"),
    *("adpcm_ima_wav", "adpcm_ms", "gsm_ms"),
)
"""FFmpeg's names of the decoders that may run. It has hundreds, for games of the nineties and for pictures."""


class Outcome(IntEnum):
    """Exit statuses; Python's own, 1 and 2, are not among them."""

    DONE = 0
    UNREADABLE = 10
    NO_SOUND = 11
    TOO_LONG = 12
    UNUSUAL = 13
    OUT_OF_MEMORY = 14


@dataclass(frozen=True, slots=True)
class Order:
    """What to decode it as (a demuxer of FFmpeg), and what is accepted: rates in Hz, the longest in seconds. Sound at a
    higher rate than `best_rate` is brought down to that."""

    format: str
    best_rate: int
    min_rate: int
    max_rate: int
    max_channels: int
    max_seconds: int

    def arguments(self) -> list[str]:
        return [str(value) for value in astuple(self)]

    @classmethod
    def of(cls, arguments: list[str]) -> Order:
        return cls(arguments[0], *map(int, arguments[1:]))


class _Refusal(Exception):
    """Raised with the `Outcome`."""


def _decode(order: Order, source: FileIO, sink: FileIO) -> Outcome:
    _confine()
    # The format is given, so nothing is guessed from what a file claims to be, and no format that names other files
    # (playlists) is ever given. The lists are for what hides inside of a format.
    options = {"format_whitelist": order.format, "protocol_whitelist": "none", "codec_whitelist": ",".join(_CODECS)}
    written = 0
    try:
        with av.open(
            source, "r", format=order.format, container_options=options, metadata_errors="ignore"
        ) as container:
            for piece in _mono(_frames(container), order):
                if not written:
                    sink.write(struct.pack("<I", piece.sample_rate))
                written += piece.samples
                if written > order.max_seconds * piece.sample_rate:
                    return Outcome.TOO_LONG
                _write(sink, memoryview(piece.planes[0])[: 2 * piece.samples])
    except _Refusal as refusal:
        return Outcome(refusal.args[0])
    except MemoryError:
        return Outcome.OUT_OF_MEMORY
    except (av.error.FFmpegError, ValueError):  # PyAV has ValueErrors of its own
        return Outcome.UNREADABLE
    return Outcome.DONE if written else Outcome.NO_SOUND


def _frames(container: InputContainer) -> Iterator[AudioFrame]:
    """Of the first stream of sound. A bad spot is left out, as players do."""
    stream = next(iter(container.streams.audio), None)
    if stream is None:
        raise _Refusal(Outcome.NO_SOUND)
    codec = stream.codec_context
    if not codec or codec.name not in _CODECS:  # there is none for a number that stands for no codec
        raise _Refusal(Outcome.UNREADABLE)
    codec.thread_count = 1
    for packet in container.demux(stream):
        with suppress(av.error.InvalidDataError):
            yield from packet.decode()


def _mono(frames: Iterator[AudioFrame], order: Order) -> Iterator[AudioFrame]:
    """16 bits, one channel, at the rate that the first frame has or `order.best_rate`. What follows may have another
    form: broadcasts are recorded so, and a damaged frame may say anything."""
    rate = 0
    for (_, channels, own_rate), alike in groupby(frames, _form):
        if not order.min_rate <= own_rate <= order.max_rate or channels > order.max_channels:
            raise _Refusal(Outcome.UNUSUAL)
        rate = rate or min(own_rate, order.best_rate)
        resampler = AudioResampler("s16", "mono", rate)
        for frame in chain(alike, [None]):
            yield from resampler.resample(frame)


def _form(frame: AudioFrame) -> tuple[str, int, int]:
    return f"{frame.format.name} {frame.layout.name}", frame.layout.nb_channels, frame.sample_rate


def _write(sink: FileIO, data: memoryview) -> None:
    while data:
        data = data[sink.write(data) or 0 :]


def _confine() -> None:
    """Take from this process what decoding does not need. What was imported before is all that is ever loaded: no file
    and no socket can be opened any more, since there are no numbers left for them."""
    limits = {
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_NOFILE: 3,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = _MEMORY  # macOS has the name, and refuses it
    for what, limit in limits.items():
        resource.setrlimit(what, (limit, limit))
    os.nice(10)  # live calls go first


if __name__ == "__main__":
    with FileIO(0, "r", closefd=False) as source, FileIO(1, "w", closefd=False) as sink:
        source.seek(0)  # its place is shared with whoever opened it
        sys.exit(_decode(Order.of(sys.argv[1:]), source, sink))
