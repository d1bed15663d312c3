"""What callers say."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from audio.pcm import Pcm
from audio.resample import resample
from audio.wav import read_audio_file, write_wav

_FILE = Path(__file__).parent.parent.parent / "deadringer" / "data" / "caller.flac"
RATE = 8_000


@cache
def _recording() -> Pcm:
    return resample(read_audio_file(_FILE), RATE)


@cache
def spoken(seconds: float = 4.0) -> bytes:
    """A real person reading, as the phone brings it: a WAV file."""
    return write_wav(_recording().cut(0.0, seconds))


@cache
def murmur() -> bytes:
    """Half a second of the same in two seconds of silence: less than the tones' provider wants (1 s)."""
    return write_wav(Pcm.join([Pcm.silence(1.0, RATE), _recording().cut(2.0, 2.5), Pcm.silence(0.5, RATE)]))


@cache
def silence() -> bytes:
    return write_wav(Pcm.silence(4.0, RATE))
