"""Sound as bytes, piece by piece: what a decoder hears of it, whichever way it was cut."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from audio.encode import Encoder, Mp3Encoder, MulawEncoder, RawEncoder, WavEncoder
from audio.g711 import decode_mulaw
from audio.pcm import Pcm
from audio.wav import read_wav

ENCODERS: list[Callable[[int], Encoder]] = [WavEncoder, RawEncoder, MulawEncoder, Mp3Encoder]


def _sweep(rate: int, seconds: float = 2.0) -> Pcm:
    """From 200 to 1200 Hz, so that a piece lost, doubled or out of place would be heard."""
    time = np.arange(round(rate * seconds)) / rate
    return Pcm((0.3 * np.sin(2 * np.pi * (200 + 250 * time) * time)).astype(np.float32), rate)


def _encode(encoder: Encoder, sound: Pcm, cuts: list[int]) -> bytes:
    edges = [0, *cuts, len(sound)]
    pieces = [Pcm(sound.samples[start:end], sound.rate) for start, end in pairwise(edges)]
    return b"".join([encoder.header(), *(encoder.feed(piece) for piece in pieces), encoder.finish()])


def _decode(encoder: Encoder, data: bytes) -> Pcm:
    match encoder:
        case WavEncoder():
            return read_wav(data)
        case RawEncoder():
            return Pcm.from_int16(data, 24_000)
        case MulawEncoder():
            return decode_mulaw(data)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return Pcm(samples, rate)


def _likeness(heard: Pcm, sound: Pcm) -> float:
    """The highest normalised cross-correlation at any shift: an MP3 begins with some silence."""
    time = np.arange(int(sound.seconds * heard.rate)) / heard.rate
    wanted = np.interp(time, np.arange(len(sound)) / sound.rate, sound.samples)
    size = len(heard) + len(wanted)
    correlation = np.fft.irfft(np.fft.rfft(heard.samples, size) * np.conj(np.fft.rfft(wanted, size)))
    return float(correlation.max() / (np.linalg.norm(heard.samples) * np.linalg.norm(wanted)))


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 44_100])
@pytest.mark.parametrize("make", ENCODERS)
def test_a_decoder_hears_what_was_fed(make: Callable[[int], Encoder], rate: int) -> None:
    sound = _sweep(rate)
    encoder = make(rate)
    heard = _decode(encoder, _encode(encoder, sound, [1, 100, rate // 2, rate + 7]))
    assert heard.seconds == pytest.approx(sound.seconds, abs=0.12 if isinstance(encoder, Mp3Encoder) else 0.0002)
    assert _likeness(heard, sound) > 0.99


@pytest.mark.parametrize("make", ENCODERS)
def test_the_bytes_do_not_depend_on_how_the_sound_was_cut(make: Callable[[int], Encoder]) -> None:
    sound = _sweep(24_000)
    whole = _encode(make(24_000), sound, [])
    assert _encode(make(24_000), sound, [5_000, 5_001, 30_000]) == whole


@pytest.mark.parametrize("make", ENCODERS)
def test_bytes_come_while_the_sound_is_being_made(make: Callable[[int], Encoder]) -> None:
    encoder = make(24_000)
    encoder.header()
    assert len(encoder.feed(_sweep(24_000))) > 4_000


@pytest.mark.parametrize("make", ENCODERS)
def test_without_pieces_there_is_nothing_but_a_header(make: Callable[[int], Encoder]) -> None:
    encoder = make(24_000)
    assert len(encoder.header() + encoder.finish()) == (44 if isinstance(encoder, WavEncoder) else 0)


@pytest.mark.parametrize("make", ENCODERS)
def test_a_piece_of_another_rate_is_refused(make: Callable[[int], Encoder]) -> None:
    with pytest.raises(ValueError, match="16000 Hz"):
        make(24_000).feed(_sweep(16_000))


def test_a_wav_header_says_how_long_the_sound_is_once_that_is_known() -> None:
    sound = _sweep(24_000, 0.5)
    data = _encode(WavEncoder(24_000, len(sound)), sound, [])
    assert soundfile.info(io.BytesIO(data)).frames == len(sound)
