"""Weight files inside installed packages."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from audio.weights import BadWeights, MissingWeights, assemble, packaged_file

CONTENT = b"the weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that breaks when it is imported, with a weight file in it."""
    folder = tmp_path / "site" / "weighty_package"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('this package must not be imported')")
    (folder / "models" / "weights.bin").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_finds_a_file_without_importing_its_package(package: Path) -> None:
    found = packaged_file("weighty_package", "models/weights.bin", SHA256)
    assert found == package / "models" / "weights.bin"
    assert "weighty_package" not in sys.modules


def test_refuses_a_file_with_another_hash(package: Path) -> None:
    (package / "models" / "weights.bin").write_bytes(CONTENT + b"!")
    with pytest.raises(BadWeights) as raised:
        packaged_file("weighty_package", "models/weights.bin", SHA256)
    message = str(raised.value)
    for needed in ("weighty_package", "models/weights.bin", SHA256, hashlib.sha256(CONTENT + b"!").hexdigest()):
        assert needed in message
    assert "make setup" in message


def test_a_file_that_was_repaired_is_accepted_in_the_same_process(package: Path) -> None:
    file = package / "models" / "weights.bin"
    file.write_bytes(b"damaged")
    with pytest.raises(BadWeights):
        packaged_file("weighty_package", "models/weights.bin", SHA256)
    file.write_bytes(CONTENT)
    assert packaged_file("weighty_package", "models/weights.bin", SHA256) == file


def test_a_file_that_was_exchanged_after_a_first_use_is_refused(package: Path) -> None:
    file = packaged_file("weighty_package", "models/weights.bin", SHA256)
    exchanged = file.with_suffix(".new")
    exchanged.write_bytes(CONTENT[::-1])
    exchanged.replace(file)
    with pytest.raises(BadWeights):
        packaged_file("weighty_package", "models/weights.bin", SHA256)


def test_a_file_is_read_once_per_process(package: Path) -> None:
    file = packaged_file("weighty_package", "models/weights.bin", SHA256)
    before = file.stat()
    with file.open("r+b") as opened:  # another content that the file's size, time and inode do not tell
        opened.write(CONTENT[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert packaged_file("weighty_package", "models/weights.bin", SHA256) == file


def test_names_the_extra_when_the_package_is_missing() -> None:
    with pytest.raises(MissingWeights, match=r"no_such_package.*deadringer\[local\]"):
        packaged_file("no_such_package", "weights.bin", SHA256)


def test_says_which_file_an_installed_package_lacks(package: Path) -> None:
    with pytest.raises(BadWeights, match=r"weighty_package.*no file models/other\.bin.*make setup"):
        packaged_file("weighty_package", "models/other.bin", SHA256)


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    cuts = (CONTENT[:4000], CONTENT[4000:4001], CONTENT[4001:])
    files = [tmp_path / f"part{number}.bin" for number in range(len(cuts))]
    for file, cut in zip(files, cuts, strict=True):
        file.write_bytes(cut)
    return files


def test_assembles_parts_in_order(parts: list[Path], tmp_path: Path) -> None:
    target = assemble(parts, tmp_path / "deep" / "folder" / "whole.bin", SHA256)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_reuses_a_good_target_even_when_the_parts_are_gone(parts: list[Path], tmp_path: Path) -> None:
    target = assemble(parts, tmp_path / "whole.bin", SHA256)
    inode = target.stat().st_ino
    for part in parts:
        part.unlink()
    assert assemble(parts, target, SHA256).stat().st_ino == inode


def test_replaces_a_damaged_target(parts: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "whole.bin"
    target.write_bytes(CONTENT[:-1])
    assert assemble(parts, target, SHA256).read_bytes() == CONTENT


def test_makes_the_target_again_after_it_was_deleted(parts: list[Path], tmp_path: Path) -> None:
    target = assemble(parts, tmp_path / "whole.bin", SHA256)
    target.unlink()
    assert assemble(parts, target, SHA256).read_bytes() == CONTENT


def test_leaves_nothing_behind_when_the_parts_are_wrong(parts: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    with pytest.raises(BadWeights, match=f"whole.bin.*part0.*expected {SHA256}.*make setup"):
        assemble(parts[::-1], folder / "whole.bin", SHA256)
    assert list(folder.iterdir()) == []


def test_leaves_nothing_behind_when_a_part_is_missing(parts: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    with pytest.raises(FileNotFoundError):
        assemble([*parts, tmp_path / "missing.bin"], folder / "whole.bin", SHA256)
    assert list(folder.iterdir()) == []
