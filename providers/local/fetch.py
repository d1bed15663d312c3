"""`python -m providers.local.fetch`: bring Kokoro's voices, which arrive in an npm package.

The package is kokoro-js 1.2.1 (Apache-2.0), of which only the voices are kept: 54 files, 28 MB. English ones speak;
all of them together span the space of styles in which voices are cloned.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from providers.local.settings import LocalSettings
from providers.local.weights import voice_hashes, voices_folder

PACKAGE = "kokoro-js@1.2.1"
INTEGRITY = "sha512-oq0HZJWis3t8lERkMJh84WLU86dpYD0EuBPtqYnLlQzyFP1OkyBRDcweAqCfhNOpltyN9j/azp1H6uuC47gShw=="
"""As the registry publishes it: the algorithm, and the digest in base64."""

_DOWNLOAD_SECONDS = 600.0


class CannotFetch(Exception):
    """The voices cannot be brought; the message says what to do."""


def main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    folder = voices_folder(LocalSettings().models_dir)
    if complete(folder):
        console.print(f"Kokoro's voices are in {folder}.")
        return 0
    try:
        with console.status(f"Fetching Kokoro's voices: 27 MB from npm ({PACKAGE}), once …"):
            fetch(folder)
    except CannotFetch as problem:
        console.print(f"[red]Kokoro's voices could not be fetched.[/red] {escape(str(problem))}")
        return 1
    console.print(f"Fetched Kokoro's {len(voice_hashes())} voices to {folder}.")
    return 0


def complete(folder: Path) -> bool:
    """Whether all voices are in `folder`, undamaged."""
    return all(_is_good(folder / f"{name}.bin", sha256) for name, sha256 in voice_hashes().items())


def fetch(folder: Path) -> None:
    """Bring all voices to `folder`. Each file appears whole or not at all.

    Raises:
        CannotFetch: npm or the network is missing, the package is not the expected one, or the disk cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as made:
            workplace = Path(made)
            extract(_download(workplace), workplace)
            for name in voice_hashes():
                (workplace / f"{name}.bin").replace(folder / f"{name}.bin")
    except OSError as problem:
        raise CannotFetch(f"{folder} cannot be written: {problem}.") from problem


def extract(archive: Path, folder: Path) -> None:
    """The voices out of the package, into `folder`.

    Raises:
        CannotFetch: the package, or a voice in it, is not the expected one.
    """
    algorithm, _, expected = INTEGRITY.partition("-")
    with archive.open("rb") as opened:
        actual = base64.b64encode(hashlib.file_digest(opened, algorithm).digest()).decode()
    if actual != expected:
        raise CannotFetch(
            f"What npm brought is not {PACKAGE}: its integrity is {algorithm}-{actual}. Nothing was kept."
        )
    with tarfile.open(archive) as package:
        voices = {Path(member.name).stem: member for member in package if member.name.endswith(".bin")}
        for name, sha256 in voice_hashes().items():
            opened_voice = package.extractfile(voices[name]) if name in voices else None
            content = opened_voice.read() if opened_voice else b""
            if hashlib.sha256(content).hexdigest() != sha256:
                raise CannotFetch(f"The voice {name} in {PACKAGE} is not the expected one. Nothing was kept.")
            (folder / f"{name}.bin").write_bytes(content)


def _download(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise CannotFetch("They come by npm, which is not installed: install Node 20 or newer (https://nodejs.org).")
    try:
        subprocess.run(
            [npm, "pack", PACKAGE, "--ignore-scripts", "--loglevel=error", "--pack-destination", "."],
            check=True,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_SECONDS,
            cwd=folder,  # away from any package.json
        )
    except subprocess.TimeoutExpired as problem:
        raise CannotFetch(
            f"npm did not finish within {_DOWNLOAD_SECONDS:.0f} s. Is the network very slow?"
        ) from problem
    except subprocess.CalledProcessError as problem:
        words = " ".join(problem.stderr.split()[:24])
        raise CannotFetch(f"Is the network there, and the npm registry reachable? npm says: {words}") from problem
    return next(folder.glob("*.tgz"))


def _is_good(file: Path, sha256: str) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256


if __name__ == "__main__":
    sys.exit(main())
