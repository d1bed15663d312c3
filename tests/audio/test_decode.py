"""Files from strangers: what they hold is heard, and what they are up to comes to nothing."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from signal import SIGKILL
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audio import decode as decoding
from audio import decode_child
from audio.decode import BEST_RATE, MAX_SECONDS, decode
from audio.pcm import Pcm
from audio.resample import resample
from audio.wav import BadAudio, write_wav
from tests.audio.recordings import FORMATS, encode, id3, recording, speech, wav_with
from tests.audio.sounds import tones


async def _decoded(data: bytes) -> Pcm:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        return await decode(file)


async def _complaint(data: bytes) -> str:
    with pytest.raises(BadAudio) as caught:
        await _decoded(data)
    return str(caught.value)


def _likeness(one: Pcm, other: Pcm) -> float:
    """The highest correlation of two sounds, one of which may come up to 0.1 s later, at 8 kHz."""
    a, b = resample(one, 8000).samples, resample(other, 8000).samples
    size = min(len(a), len(b))
    a, b = a[:size], b[:size]
    spectrum = np.fft.rfft(a, 2 * size) * np.conj(np.fft.rfft(b, 2 * size))
    around = np.fft.irfft(spectrum)
    best = max(around[:800].max(), around[-800:].max())
    return float(best / np.sqrt(np.sum(a**2) * np.sum(b**2)))


# ── what is heard ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", FORMATS)
async def test_every_format_is_heard_as_it_was_spoken(form: str) -> None:
    heard = await _decoded(recording(form))
    assert heard.seconds == pytest.approx(speech().seconds, abs=0.1)  # what encoders of frames add
    assert _likeness(heard, speech()) > 0.97
    loudness = np.sqrt(np.mean(heard.samples**2)) / np.sqrt(np.mean(speech().samples ** 2))
    # FFmpeg mixes surround channels down by their weight, and leaves out the one for the lowest tones.
    assert loudness == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize(("rate", "expected"), [(8_000, 8_000), (11_025, 11_025), (24_000, 24_000), (96_000, 24_000)])
async def test_the_rate_is_the_files_own_up_to_what_voices_need(rate: int, expected: int) -> None:
    heard = await _decoded(write_wav(tones(1.0, rate, 1000)))
    assert heard.rate == expected
    assert heard.seconds == pytest.approx(1.0, abs=0.001)


async def test_nothing_is_folded_back_when_the_rate_is_brought_down() -> None:
    heard = await _decoded(write_wav(tones(1.0, 48_000, 15_000)))
    assert np.abs(heard.samples[1000:-1000]).max() < 0.002


async def test_channels_are_mixed_down() -> None:
    left = np.stack([tones(1.0, 16_000, 440, amplitude=0.4).samples, np.zeros(16_000, np.float32)], axis=1)
    file = io.BytesIO()
    soundfile.write(file, left, 16_000, format="WAV")
    assert np.abs((await _decoded(file.getvalue())).samples).max() == pytest.approx(0.2, abs=0.01)


async def test_a_spooled_file_that_was_never_on_the_disk() -> None:
    with tempfile.SpooledTemporaryFile(1 << 20) as file:
        file.write(recording("mp3, 24 kHz"))
        heard = await decode(file)  # type: ignore[arg-type]  # it has what an open file has
    assert heard.seconds == pytest.approx(4.0, abs=0.08)


async def test_sizes_of_a_stream_mean_up_to_the_end() -> None:
    sound = speech().to_int16()
    assert len(await _decoded(wav_with(sound, announced=0xFFFFFFFF))) == len(speech())


@pytest.mark.parametrize("form", ["wav", "mp3", "ogg, Vorbis", "ogg, Opus", "flac", "aac", "webm, Opus"])
async def test_of_a_file_that_was_cut_short_the_part_that_is_there_is_heard(form: str) -> None:
    data = recording(form)
    heard = await _decoded(data[: len(data) // 2])
    assert 0.9 < heard.seconds < 3.5
    assert _likeness(heard, speech().cut(0.0, heard.seconds)) > 0.95


async def test_an_m4a_without_its_end_cannot_be_read() -> None:  # its index is there
    data = recording("m4a")
    assert "damaged" in await _complaint(data[: len(data) // 2])


# ── what is not a recording ──────────────────────────────────────────────────


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("voice.mp3", recording("mp3"))
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"The quick brown fox jumps over the lazy dog.\n" * 50,
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(100),
        _zip(),
        b"\xff\xfet\0e\0x\0t\0",
        b"RIFF\x24\0\0\0AVI LIST",
        b"FORM\0\0\0\x24AIFFCOMM",
        b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/voice.mp3\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"R",
    ],
)
async def test_what_is_something_else_is_told_what_can_be_read(data: bytes) -> None:
    assert await _complaint(data) == "This is not a recording that can be read: WAV, MP3, M4A, OGG or FLAC."


async def test_an_empty_file() -> None:
    assert await _complaint(b"") == "The file is empty."


@pytest.mark.parametrize(
    "data",
    [
        id3((b"TIT2", b"\0Nothing")) + b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        id3((b"TIT2", b"\0Nothing")) + _zip()[:50],
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"RIFF\x24\0\0\0WAVEfmt \xff\xff\xff\xff" + bytes(50),
        b"OggS" + bytes(200),
        b"fLaC" + bytes(200),
        b"\0\0\0\x18ftypM4A " + bytes(200),
        b"\x1a\x45\xdf\xa3" + b"\xff" * 200,
        b"\xff\xfb\x90\0" + bytes(300),
        b"\xff\xf1\x50\x80" + bytes(300),
        wav_with(b""),
        wav_with(bytes(100), rate=0),
        wav_with(bytes(100), channels=0),
    ],
)
async def test_what_only_begins_like_a_recording(data: bytes) -> None:
    complaint = await _complaint(data)
    assert complaint.startswith(("The recording is damaged", "There is no sound"))


@pytest.mark.parametrize("data", [wav_with(bytes(4000), rate=2_000_000_000), wav_with(bytes(4000), rate=100)])
async def test_an_absurd_rate(data: bytes) -> None:
    assert "4000 to 192000 Hz" in await _complaint(data)


async def test_more_channels_than_anybody_records_a_voice_with() -> None:
    assert "1 to 8 channels" in await _complaint(wav_with(bytes(64_000), channels=32))


async def test_a_film_without_sound() -> None:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 16
        output.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        output.mux(stream.encode(None))
    assert await _complaint(file.getvalue()) == "There is no sound in this recording."


async def test_a_codec_that_nobody_records_voices_with_does_not_run() -> None:
    assert "damaged, or of a kind" in await _complaint(encode(speech(), "mov", "ac3", 48_000))


async def test_hours_of_silence_in_a_small_file_are_refused() -> None:
    data = io.BytesIO()
    with soundfile.SoundFile(data, "w", 8_000, 1, format="FLAC") as sound:
        for _ in range(3 * 60):
            sound.write(np.zeros(60 * 8_000, np.int16))
    assert len(data.getvalue()) < 1 << 20
    assert "longer than 10 minutes" in await _complaint(data.getvalue())


async def test_what_is_just_not_too_long_is_whole() -> None:
    silence = Pcm.silence(MAX_SECONDS, 8_000)
    assert len(await _decoded(write_wav(silence))) == len(silence)
    assert "longer than" in await _complaint(write_wav(Pcm.silence(MAX_SECONDS + 0.1, 8_000)))


# ── the process ──────────────────────────────────────────────────────────────


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a program in the place of the one that decodes."""

    def put(source: str) -> None:
        path = tmp_path / "child.py"
        path.write_text(source)
        monkeypatch.setattr(decode_child, "__file__", str(path))

    return put


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[asyncio.subprocess.Process]:
    """The processes that were started."""
    processes: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
    start = asyncio.create_subprocess_exec

    async def noting(*arguments: Any, **more: Any) -> asyncio.subprocess.Process:
        process = await start(*arguments, **more)
        processes.put_nowait(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noting)
    return processes


SOURCE = Path(decode_child.__file__).read_text()
HANG = "import sys, time; sys.stdout.buffer.write(bytes(100_000)); sys.stdout.flush(); time.sleep(600)"


async def test_a_decoder_that_crashes(child: Any) -> None:
    child("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert "damaged" in await _complaint(recording("wav"))


async def test_a_decoder_that_hangs_is_killed(
    child: Any, started: asyncio.Queue[asyncio.subprocess.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    child(HANG)
    monkeypatch.setattr(decoding, "DECODE_SECONDS", 0.1)
    assert "too long" in await _complaint(recording("wav"))
    assert started.get_nowait().returncode == -SIGKILL


async def test_a_decoder_whose_request_is_gone_is_killed(
    child: Any, started: asyncio.Queue[asyncio.subprocess.Process]
) -> None:
    child(HANG)
    task = asyncio.create_task(_decoded(recording("wav")))
    process = await started.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.returncode == -SIGKILL


@pytest.mark.parametrize(
    "said",
    ["bytes(4)", "b'\\0'", "b'\\xff' * 100", "(24000).to_bytes(4, 'little') + bytes(3)", "(1).to_bytes(4, 'little')"],
)
async def test_a_decoder_that_was_led_astray_is_not_believed(child: Any, said: str) -> None:
    child(f"import sys; sys.stdout.buffer.write({said})")
    assert await _complaint(recording("wav"))


async def test_a_decoder_that_does_not_stop_talking_is_killed(
    child: Any, started: asyncio.Queue[asyncio.subprocess.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_SECONDS", 1)
    child("import sys\nwhile True: sys.stdout.buffer.write(bytes(65536))")
    assert "damaged" in await _complaint(recording("wav"))
    assert started.get_nowait().returncode == -SIGKILL


async def test_a_decoder_that_is_not_there_is_our_own_mistake(child: Any) -> None:
    child("import no_such_library")
    with pytest.raises(RuntimeError, match="no_such_library"):
        await _decoded(recording("wav"))


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit memory")
async def test_a_decoder_that_takes_too_much_memory(child: Any) -> None:
    assert "512 << 20" in SOURCE
    child(SOURCE.replace("512 << 20", "1 << 20"))  # less than it has already
    assert "memory" in await _complaint(recording("flac"))


async def test_the_process_can_open_nothing(child: Any) -> None:
    child(
        SOURCE.partition('if __name__ == "__main__"')[0]
        + """
import errno, socket
_confine()
for attempt in (lambda: open(__file__), socket.socket):
    try:
        attempt()
    except OSError as trouble:
        assert trouble.errno == errno.EMFILE
    else:
        sys.exit(Outcome.DONE)
sys.exit(Outcome.TOO_LONG)  # so that it can be told apart
"""
    )
    assert "longer than" in await _complaint(recording("wav"))


async def test_the_process_inherits_no_environment(child: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "do not tell")
    child("import os, sys; sys.exit(0 if 'SECRET_KEY' in os.environ else 12)")
    assert "longer than" in await _complaint(recording("wav"))


def test_the_service_itself_does_not_load_ffmpeg() -> None:
    program = "import sys, audio.decode; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ── anything at all ──────────────────────────────────────────────────────────


def _is_heard_or_refused(data: bytes) -> None:
    try:
        heard = asyncio.run(_decoded(data))
    except BadAudio:
        return
    assert 0 < heard.rate <= BEST_RATE
    assert heard.seconds <= MAX_SECONDS
    assert np.isfinite(heard.samples).all()


BEGINNINGS = (
    b"",
    b"RIFF\0\0\0\0WAVE",
    b"OggS\0\2",
    b"fLaC\0\0\0\x22",
    b"\0\0\0\x18ftypM4A ",
    b"\x1a\x45\xdf\xa3",
    b"ID3\3\0\0",
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from((*BEGINNINGS, b"\xff\xfb\x90", b"\xff\xf1\x50")), st.binary(max_size=2000))
def test_random_bytes(beginning: bytes, rest: bytes) -> None:
    _is_heard_or_refused(beginning + rest)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), min_size=1, max_size=10),
    st.booleans(),
)
def test_damaged_recordings(form: str, wounds: list[tuple[float, bytes]], early: bool) -> None:
    data = bytearray(recording(form))
    for place, bytes_ in wounds:
        at = int(place * (min(600, len(data)) if early else len(data)))
        data[at : at + len(bytes_)] = bytes_
    _is_heard_or_refused(bytes(data))
