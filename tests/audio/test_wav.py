"""WAV and FLAC files, good and bad."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.pcm import Pcm
from audio.wav import BadAudio, read_audio_file, read_wav, wav_header, write_wav

CALLER = Path(__file__).parents[2] / "deadringer" / "data" / "caller.flac"
RATE = 8000


@pytest.fixture
def tone() -> Pcm:
    return Pcm((0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32), RATE)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


def fmt(channels: int = 1, rate: int = RATE) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", 1, channels, rate, 2 * channels * rate, 2 * channels, 16))


SOUND = chunk(b"data", b"\x01\x02" * 100)


def test_what_was_written_is_read_again(tone: Pcm) -> None:
    again = read_wav(write_wav(tone))
    assert again.rate == RATE
    np.testing.assert_allclose(again.samples, tone.samples, atol=1.01 / 32767)


def test_others_read_what_was_written(tone: Pcm) -> None:
    samples, rate = soundfile.read(io.BytesIO(write_wav(tone)), dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, tone.samples, atol=1.01 / 32767)


@pytest.mark.parametrize(
    ("subtype", "error"),
    [
        *[("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-23)],
        *[("FLOAT", 0), ("DOUBLE", 0), ("ULAW", 2**-6), ("ALAW", 2**-6)],
    ],
)
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_reads_every_kind_of_samples(tone: Pcm, subtype: str, error: float, form: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, tone.samples, RATE, format=form, subtype=subtype)
    np.testing.assert_allclose(read_wav(file.getvalue()).samples, tone.samples, atol=error)


def test_reads_compressed_sound(tone: Pcm) -> None:
    file = io.BytesIO()
    soundfile.write(file, tone.samples, RATE, format="WAV", subtype="GSM610")
    decoded = read_wav(file.getvalue()).samples
    assert np.corrcoef(decoded[: len(tone)], tone.samples)[0, 1] > 0.9


def test_mixes_channels_down(tone: Pcm) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.stack([tone.samples, np.zeros_like(tone.samples)], axis=1), RATE, format="WAV")
    np.testing.assert_allclose(read_wav(file.getvalue()).samples, tone.samples / 2, atol=2**-15)


def test_skips_chunks_that_are_not_sound() -> None:
    odd = chunk(b"LIST", b"odd")
    assert read_wav(riff(odd, fmt(), odd, SOUND, odd)).samples.tolist() == read_wav(riff(fmt(), SOUND)).samples.tolist()


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("riff_size", [0, 0xFFFFFFFF])
def test_reads_a_stream_up_to_its_end(size: int, riff_size: int) -> None:
    stream = struct.pack("<4sI4s", b"RIFF", riff_size, b"WAVE") + fmt() + struct.pack("<4sI", b"data", size)
    assert len(read_wav(stream + b"\x01\x02" * 100)) == 100


def test_reads_its_own_open_ended_header(tone: Pcm) -> None:
    header = wav_header(RATE, None)
    assert len(header) == 44
    assert len(read_wav(header + tone.to_int16())) == len(tone)


def test_the_header_with_a_length_is_that_of_a_file(tone: Pcm) -> None:
    assert write_wav(tone) == wav_header(RATE, len(tone)) + tone.to_int16()
    assert soundfile.info(io.BytesIO(write_wav(tone))).frames == len(tone)


@pytest.mark.parametrize("missing", [1, 2, 1000, 2 * RATE - 1, 2 * RATE])
def test_a_file_that_was_cut_short_is_refused(tone: Pcm, missing: int) -> None:
    with pytest.raises(
        BadAudio, match=f"cut short: it announces {2 * RATE} bytes of sound, and {2 * RATE - missing} came"
    ):
        read_wav(write_wav(tone)[:-missing])


@pytest.mark.parametrize("length", range(1, 44))
def test_a_header_that_was_cut_short_is_refused(tone: Pcm, length: int) -> None:
    with pytest.raises(BadAudio):
        read_wav(write_wav(tone)[:length])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"<html><body>404 Not Found</body></html>", "not a WAV file"),
        (b"ID3\x04 an MP3", "not a WAV file"),
        (riff(fmt(), chunk(b"data", b"")), "holds no sound"),
        (riff(SOUND), "does not say what kind of sound"),
        (riff(fmt(channels=0), SOUND), "0 channels"),
        (riff(fmt(channels=99), SOUND), "99 channels"),
        (riff(fmt(rate=0), SOUND), "sample rate of 0 Hz"),
        (riff(fmt(rate=2_000_000_000), SOUND), "sample rate of 2000000000 Hz"),
        (riff(chunk(b"fmt ", b"\1\0"), SOUND), "cut short"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 0x1234, 1, RATE, RATE, 1, 8)), SOUND), "of an unknown kind"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 0, 0, 0)), SOUND), "of an unknown kind"),
    ],
)
def test_says_what_is_wrong(data: bytes, words: str) -> None:
    with pytest.raises(BadAudio, match=words):
        read_wav(data)


def test_values_that_are_not_numbers_are_refused() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.array([0.0, np.nan, 0.5], dtype=np.float32), RATE, format="WAV", subtype="FLOAT")
    with pytest.raises(BadAudio, match="not numbers"):
        read_wav(file.getvalue())


def test_no_damage_of_the_header_raises_anything_else(tone: Pcm) -> None:
    random = np.random.default_rng(1)
    good = write_wav(tone)
    for _ in range(2000):
        damaged = bytearray(good)
        for place in random.integers(0, 44, size=3):
            damaged[place] = random.integers(256)
        try:
            read = read_wav(bytes(damaged))
        except BadAudio:
            continue
        assert np.isfinite(read.samples).all()


def test_reads_flac() -> None:
    caller = read_audio_file(CALLER)
    assert caller.rate == 16000
    assert 20 < caller.seconds < 30


def test_reads_wav_files_whatever_their_name(tone: Pcm, tmp_path: Path) -> None:
    file = tmp_path / "voice.bin"
    file.write_bytes(write_wav(tone))
    assert len(read_audio_file(file)) == len(tone)


@pytest.mark.parametrize("length", [4, 60, 1000, 100_000, -5000, -1])
def test_a_flac_file_that_was_cut_short_is_refused(length: int, tmp_path: Path) -> None:
    file = tmp_path / "cut.flac"
    file.write_bytes(CALLER.read_bytes()[:length])
    with pytest.raises(BadAudio, match="the FLAC file is damaged, cut short or of an unknown kind"):
        read_audio_file(file)


def test_a_flac_file_that_announces_years_of_sound_is_refused(tmp_path: Path) -> None:
    data = bytearray(CALLER.read_bytes())
    data[21] |= 0x0F  # the 36 bits of STREAMINFO that tell the number of samples
    data[22:26] = b"\xff\xff\xff\xff"
    file = tmp_path / "endless.flac"
    file.write_bytes(data)
    with pytest.raises(BadAudio, match="FLAC"):
        read_audio_file(file)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "voice.mp3"
    file.write_bytes(b"ID3\x04")
    with pytest.raises(BadAudio, match=r"voice\.mp3 is not a WAV or FLAC file"):
        read_audio_file(file)
    with pytest.raises(FileNotFoundError):
        read_audio_file(tmp_path / "none.wav")
