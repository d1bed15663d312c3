"""WAV and FLAC files."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from audio.pcm import Pcm

MIN_RATE: Final = 4_000
MAX_RATE: Final = 192_000
MAX_CHANNELS: Final = 8

_PCM_FORMAT: Final = 1
_BLOCK_FRAMES: Final = 1 << 16
_OPEN_ENDED: Final = 0xFFFFFFFF
# Writers that cannot seek put a size in the header that no file here can have: 0xFFFFFFFF (ffmpeg, this module) or
# 0x7FFFF000 (sox).
_UNKNOWN_SIZE_FROM: Final = 0x7FFFF000


class BadAudio(ValueError):
    """Sound that cannot be used; the message says why in words for the person who sent it."""


def read_wav(data: bytes) -> Pcm:
    """Any WAV that libsndfile decodes (PCM, float, μ-law, A-law, ...); channels are mixed down by their mean.

    libsndfile reads a file that was cut short without a word, so the sizes in the file are checked here. A header of a
    stream, whose size is 0 or 0xFFFFFFFF, means "up to the end of the bytes".

    Raises:
        BadAudio: not a WAV file, cut short, without sound, or with an absurd rate or number of channels.
    """
    parts = _parse(data)
    # A header of our own makes it the same to libsndfile where the sound lies and whether its size was known.
    head = b"WAVE" + _chunk(b"fmt ", parts.format) + struct.pack("<4sI", b"data", len(parts.sound))
    rebuilt = b"".join((b"RIFF", struct.pack("<I", len(head) + len(parts.sound)), head, parts.sound))
    return _decode(io.BytesIO(rebuilt), "WAV")


def read_audio_file(path: Path) -> Pcm:
    """A WAV or FLAC file, told apart by content; channels are mixed down by their mean.

    Raises:
        BadAudio: as `read_wav`.
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    if data.startswith(b"fLaC"):
        return _decode(io.BytesIO(data), "FLAC")
    if data.startswith(b"RIFF"):
        return read_wav(data)
    raise BadAudio(f"{path.name} is not a WAV or FLAC file")


def write_wav(pcm: Pcm) -> bytes:
    """16-bit mono WAV; what lies outside -1..1 is clipped."""
    return wav_header(pcm.rate, len(pcm)) + pcm.to_int16()


def wav_header(rate: int, frames: int | None) -> bytes:
    """The 44 bytes before 16-bit mono samples; `frames` None where the length is not known yet (a stream).

    Source: "Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft, 1991.
    """
    size = _OPEN_ENDED if frames is None else 2 * frames
    riff_size = _OPEN_ENDED if frames is None else 36 + size
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", riff_size, b"WAVE"),
        *(b"fmt ", 16, _PCM_FORMAT, 1, rate, 2 * rate, 2, 16),
        *(b"data", size),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    format: bytes
    sound: memoryview


def _parse(data: bytes) -> _Parts:
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise BadAudio("this is not a WAV file" if data else "the file is empty")
    form: bytes | None = None
    for name, size, start in _chunks(data):
        there = len(data) - start
        if name == b"fmt ":
            form = data[start : start + size]
            if len(form) < max(size, 16):
                break
            _check_format(form)
        elif name == b"data":
            if form is None:
                raise BadAudio("the WAV file does not say what kind of sound it holds")
            if size >= _UNKNOWN_SIZE_FROM or (size == 0 and _is_open_ended(data)):
                size = there
            if size > there:
                raise BadAudio(f"the WAV file is cut short: it announces {size} bytes of sound, and {there} came")
            if size == 0:
                raise BadAudio("the WAV file holds no sound")
            return _Parts(form, memoryview(data)[start : start + size])
    raise BadAudio("the WAV file is cut short: it ends before its sound begins")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, announced size and place of each chunk."""
    place = 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        yield name, size, place + 8
        place += 8 + size + size % 2


def _is_open_ended(data: bytes) -> bool:
    """Whether the file as a whole does not know its size either: then a data chunk of size 0 is a stream's."""
    announced = int(struct.unpack_from("<I", data, 4)[0]) + 8
    return announced != len(data)


def _check_format(form: bytes) -> None:
    _, channels, rate = struct.unpack_from("<HHI", form)
    if not 1 <= channels <= MAX_CHANNELS:
        raise BadAudio(f"the file has {channels} channels; 1 to {MAX_CHANNELS} can be read")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise BadAudio(f"the file has a sample rate of {rate} Hz; {MIN_RATE} to {MAX_RATE} Hz can be read")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


def _decode(file: io.BytesIO, kind: str) -> Pcm:
    try:
        with soundfile.SoundFile(file) as sound:
            rate = int(sound.samplerate)
            samples = np.concatenate(list(_mixed_down(sound)))
    except soundfile.LibsndfileError as error:
        raise BadAudio(f"the {kind} file is damaged, cut short or of an unknown kind: {error.error_string}") from error
    if not np.isfinite(samples).all():
        raise BadAudio(f"the {kind} file holds values that are not numbers")
    return Pcm(samples, rate)


def _mixed_down(sound: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    """Block by block: a damaged header cannot make it allocate what it announces, and GSM is not seekable."""
    length = _BLOCK_FRAMES
    while length == _BLOCK_FRAMES:
        frames: NDArray[np.float32] = sound.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
        length = len(frames)
        yield frames.mean(axis=1, dtype=np.float32)
