"""Files as phones, browsers and recorders write them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import av
import numpy as np
import soundfile
from av import AudioFrame, AudioResampler

from audio.pcm import Pcm
from audio.resample import resample
from tests.audio.sounds import caller


def encode(pcm: Pcm, container: str, codec: str, rate: int, channels: int = 1) -> bytes:
    """By FFmpeg: the names are its own."""
    sound = resample(pcm, rate).samples
    layout = {1: "mono", 2: "stereo"}[channels]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        frame = AudioFrame.from_ndarray(np.tile(sound, (channels, 1)), format="fltp", layout=layout)
        frame.sample_rate = rate
        fitting = AudioResampler(stream.format, stream.layout, rate, stream.frame_size or None)
        for piece in (*fitting.resample(frame), *fitting.resample(None)):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return file.getvalue()


def write(pcm: Pcm, format: str, subtype: str, rate: int, channels: int = 1) -> bytes:
    """By libsndfile."""
    file = io.BytesIO()
    samples = np.tile(resample(pcm, rate).samples[:, None], (1, channels))
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


def wav_with(sound: bytes, rate: int = 16_000, channels: int = 1, announced: int | None = None) -> bytes:
    """A header that may say anything, and 16-bit samples; `announced` bytes of them."""
    size = len(sound) if announced is None else announced
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * channels * rate & 0xFFFFFFFF, 2 * channels, 16)
    riff = min(36 + size, 0xFFFFFFFF)
    return struct.pack("<4sI4s4sI16s4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16, form, b"data", size) + sound


def id3(*frames: tuple[bytes, bytes]) -> bytes:
    """An ID3v2.3 tag."""
    body = b"".join(name + struct.pack(">IH", len(content), 0) + content for name, content in frames)
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + body


def speech() -> Pcm:
    """Four seconds of the reader, 16 kHz."""
    return caller().cut(1.0, 5.0)


_MAKERS: Final[Mapping[str, Callable[[Pcm], bytes]]] = {
    "wav": lambda pcm: write(pcm, "WAV", "PCM_16", 44_100, 2),
    "wav, 24 bits": lambda pcm: write(pcm, "WAV", "PCM_24", 48_000),
    "wav, 8 bits": lambda pcm: write(pcm, "WAV", "PCM_U8", 11_025),
    "wav, float": lambda pcm: write(pcm, "WAV", "FLOAT", 44_100),
    "wav, double": lambda pcm: write(pcm, "WAV", "DOUBLE", 16_000),
    "wav, μ-law": lambda pcm: write(pcm, "WAV", "ULAW", 8_000),
    "wav, A-law": lambda pcm: write(pcm, "WAV", "ALAW", 8_000),
    "wav, 8 channels": lambda pcm: write(pcm, "WAVEX", "PCM_16", 16_000, 8),
    "wav, RF64": lambda pcm: write(pcm, "RF64", "PCM_16", 16_000),
    "mp3": lambda pcm: encode(pcm, "mp3", "libmp3lame", 44_100, 2),
    "mp3, 24 kHz": lambda pcm: write(pcm, "MP3", "MPEG_LAYER_III", 24_000),
    "mp3, with a picture of 4 MB": lambda pcm: (
        id3((b"TIT2", b"\0caf\xe9"), (b"APIC", b"\0image/jpeg\0\3\0\xff\xd8\xff\xe0" + bytes(4 << 20)))
        + encode(pcm, "mp3", "libmp3lame", 44_100)
    ),
    "m4a": lambda pcm: encode(pcm, "ipod", "aac", 44_100, 2),
    "m4a, 16 kHz": lambda pcm: encode(pcm, "ipod", "aac", 16_000),
    "m4a, ALAC": lambda pcm: encode(pcm, "ipod", "alac", 44_100),
    "aac": lambda pcm: encode(pcm, "adts", "aac", 44_100),
    "ogg, Vorbis": lambda pcm: write(pcm, "OGG", "VORBIS", 44_100, 2),
    "ogg, Opus": lambda pcm: encode(pcm, "ogg", "libopus", 48_000),
    "flac": lambda pcm: write(pcm, "FLAC", "PCM_24", 48_000, 2),
    "webm, Opus": lambda pcm: encode(pcm, "webm", "libopus", 48_000),
}
FORMATS: Final = tuple(_MAKERS)


@cache
def recording(form: str) -> bytes:
    """`speech` in one of `FORMATS`."""
    return _MAKERS[form](speech())
