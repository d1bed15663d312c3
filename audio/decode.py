"""Sound files from strangers, decoded where they can do no harm.

Decoders are large, written in C, and fed with whatever somebody made up. So they run in a process of their own for each
file (`audio.decode_child`), which has little time, little memory, no environment, and can open nothing.

FFmpeg decodes, by way of PyAV: it is the one library that reads all the formats that phones, browsers and recorders
write. libsndfile, which reads and writes our own files, knows no AAC.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from collections.abc import Mapping
from typing import BinaryIO, Final

from audio import decode_child
from audio.decode_child import Order, Outcome
from audio.pcm import Pcm
from audio.wav import MAX_CHANNELS, MAX_RATE, MIN_RATE, BadAudio

BEST_RATE: Final = 24_000
"""Hz. No voice model here hears or speaks above 12 kHz, so a higher rate would only cost time and space."""
MAX_SECONDS: Final = 600
"""Of sound. Half a minute makes a voice; what is much longer is not a recording of somebody who speaks for that."""
DECODE_SECONDS: Final = 60.0
"""How long decoding may take; 10 minutes of sound take 1 to 3 s of a processor."""

_SAMPLE_BYTES: Final = 2
_PIECE: Final = 1 << 16
_LAST_WORDS: Final = 4_000  # bytes
_HEAD: Final = 12  # bytes, of which a format is known
_ID3_HEAD: Final = 10
_WHAT_IS_READ: Final = "This is not a recording that can be read: WAV, MP3, M4A, OGG or FLAC."
_DAMAGED: Final = "The recording is damaged, or of a kind that cannot be read."
_WORDS: Final[Mapping[Outcome, str]] = {
    Outcome.UNREADABLE: _DAMAGED,
    Outcome.NO_SOUND: "There is no sound in this recording.",
    Outcome.TOO_LONG: f"The recording is longer than {MAX_SECONDS // 60} minutes: send the part that matters.",
    Outcome.UNUSUAL: f"Recordings of {MIN_RATE} to {MAX_RATE} Hz with 1 to {MAX_CHANNELS} channels can be read.",
    Outcome.OUT_OF_MEMORY: "The recording takes too much memory to decode.",
}


async def decode(file: BinaryIO) -> Pcm:
    """A WAV, MP3, M4A (AAC, ALAC), AAC, OGG (Vorbis, Opus), FLAC or WebM file, told apart by content.

    Channels are mixed down. The rate is the file's own, or `BEST_RATE` if that is lower. What a file that was cut short
    still holds is taken, as players do; but a recording that is too long is not shortened: which part of it is wanted,
    only its sender knows. `file` is read from its beginning; it may be a spooled one, which then goes to the disk.

    Raises:
        BadAudio: it cannot be decoded, or holds no sound, or too much.
        OSError: the file cannot be read, or no process can be started.
    """
    format = await asyncio.to_thread(_sniff, file)
    order = Order(format, BEST_RATE, MIN_RATE, MAX_RATE, MAX_CHANNELS, MAX_SECONDS)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", decode_child.__file__, *order.arguments()),
        stdin=file.fileno(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},  # ours holds secrets
        cwd="/",
        start_new_session=True,  # a Ctrl-C in the terminal is ours to act on
    )
    try:
        async with asyncio.timeout(DECODE_SECONDS):
            data = await _read(process)
            status = await process.wait()
    except TimeoutError:
        raise BadAudio("The recording takes too long to decode.") from None
    finally:
        if process.returncode is None:
            process.kill()
        _, last_words = await process.communicate()  # at most what the pipes still held
    if status in (1, 2):
        raise RuntimeError(f"the decoder could not work: {last_words[-_LAST_WORDS:].decode(errors='replace')}")
    return await asyncio.to_thread(_sound, status, data)


async def _read(process: asyncio.subprocess.Process) -> bytearray:
    """What it says, up to the longest that it may say."""
    assert process.stdout is not None
    data = bytearray()
    while piece := await process.stdout.read(_PIECE):
        data += piece
        if len(data) > 4 + MAX_SECONDS * BEST_RATE * _SAMPLE_BYTES:
            raise BadAudio(_DAMAGED)
    return data


def _sound(status: int, data: bytearray) -> Pcm:
    if status != Outcome.DONE:
        # A signal, unless it is an outcome: it crashed, or was stopped by one of its limits.
        raise BadAudio(_WORDS[Outcome(status)] if status in _WORDS else _DAMAGED)
    if len(data) <= 4:
        raise BadAudio(_WORDS[Outcome.NO_SOUND])
    (rate,) = struct.unpack_from("<I", data)
    if not MIN_RATE <= rate <= BEST_RATE or len(data) % _SAMPLE_BYTES:
        raise BadAudio(_DAMAGED)
    return Pcm.from_int16(bytes(memoryview(data)[4:]), rate)


def _sniff(file: BinaryIO) -> str:
    """FFmpeg's name of the format.

    Raises:
        BadAudio: it begins as none of those that can be read.
    """
    number = file.fileno()  # a spooled file has none before it is on the disk,
    file.flush()  # and the process sees only what is there
    # Past the file's own buffer: the process moves the position that both share, and closing the file would fail.
    head = os.pread(number, _HEAD, 0)
    if not head:
        raise BadAudio("The file is empty.")
    tagged = head[:3] == b"ID3"
    if tagged:
        head = os.pread(number, _HEAD, _ID3_HEAD + _id3_size(head))
    format = _format(head) or ("mp3" if tagged else None)
    if format is None:
        raise BadAudio(_WHAT_IS_READ)
    return format


def _id3_size(head: bytes) -> int:
    """Bytes of the tag that is put before MP3s mostly, holding a picture often: 4 times 7 bits (ID3v2, section 3.1)."""
    size = 0
    for byte in head[6:_ID3_HEAD]:
        size = size << 7 | byte & 0x7F
    return size


def _format(head: bytes) -> str | None:
    match head[:4], head[4:8], head[8:12]:
        case (b"RIFF" | b"RF64", _, b"WAVE"):
            return "wav"
        case (b"OggS", _, _):
            return "ogg"
        case (b"fLaC", _, _):
            return "flac"
        case (_, b"ftyp", _):
            return "mov"  # MP4, of which M4A is one
        case (b"\x1a\x45\xdf\xa3", _, _):
            return "matroska"  # EBML, of which WebM is one
    return _mpeg_format(head)


def _mpeg_format(head: bytes) -> str | None:
    """From a frame's first 16 bits: 11 (MP3) or 12 (AAC) ones, version, layer (0 for AAC, 1 for III), protection
    (ISO/IEC 11172-3, 2.4.1.3, and 13818-7, 6.2)."""
    bits = int.from_bytes(head[:2], "big")
    if bits & 0xFFF6 == 0xFFF0:
        return "aac"
    if bits & 0xFFE6 == 0xFFE2:
        return "mp3"
    return None
