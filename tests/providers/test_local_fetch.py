"""Bringing Kokoro's voices, and what is said where it fails. npm is a script here: `make setup` runs the real one."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from providers.local import fetch
from providers.local.weights import voice_hashes


@pytest.fixture
def voices(tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with all voices."""
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))
    return Path(shutil.copytree(models_dir / "kokoro-voices", tmp_path / "models" / "kokoro-voices"))


def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_nothing_is_done_where_all_is_there(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    npm(tmp_path, monkeypatch, "exit 1")
    assert fetch.main() == 0
    assert str(voices) in capsys.readouterr().out


def package(folder: Path, voices: Path) -> Path:
    archive = folder / "package.tgz"
    with tarfile.open(archive, "w:gz") as opened:
        for name in voice_hashes():
            opened.add(voices / f"{name}.bin", f"package/voices/{name}.bin")
    return archive


def integrity(archive: Path) -> str:
    import base64
    import hashlib

    return "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()


def test_a_damaged_voice_is_brought_again(voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = package(tmp_path, voices)
    monkeypatch.setattr(fetch, "INTEGRITY", integrity(archive))
    npm(tmp_path, monkeypatch, f'test "$1 $2" = "pack kokoro-js@1.2.1" && cp {archive} kokoro-js-1.2.1.tgz')
    (voices / "af_sky.bin").write_bytes(b"\0" * 522_240)
    (voices / "am_onyx.bin").unlink()
    assert not fetch.complete(voices)
    assert fetch.main() == 0
    assert fetch.complete(voices)
    assert list(voices.parent.iterdir()) == [voices]


def test_another_package_is_not_used(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = package(tmp_path, voices)
    npm(tmp_path, monkeypatch, f"cp {archive} kokoro-js-1.2.1.tgz")
    (voices / "af_sky.bin").unlink()
    assert fetch.main() == 1
    assert "is not kokoro-js@1.2.1" in capsys.readouterr().out
    assert not (voices / "af_sky.bin").exists()


def test_a_changed_voice_in_the_package_is_not_used(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (voices / "zm_yunyang.bin").write_bytes(b"\0" * 522_240)
    archive = package(tmp_path, voices)
    monkeypatch.setattr(fetch, "INTEGRITY", integrity(archive))
    npm(tmp_path, monkeypatch, f"cp {archive} kokoro-js-1.2.1.tgz")
    with pytest.raises(fetch.CannotFetch, match="zm_yunyang"):
        fetch.fetch(tmp_path / "fresh" / "kokoro-voices")
    assert list((tmp_path / "fresh" / "kokoro-voices").iterdir()) == []


def test_a_package_without_a_voice_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as opened:
        opened.addfile(tarfile.TarInfo("package/package.json"), io.BytesIO())
    monkeypatch.setattr(fetch, "INTEGRITY", integrity(archive))
    with pytest.raises(fetch.CannotFetch, match=r"voice af_alloy .* is not the expected one"):
        fetch.extract(archive, tmp_path)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "npm, which is not installed"),
        ("echo 'npm error code ENOTFOUND [registry]' >&2; exit 1", "npm error code ENOTFOUND [registry]"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: str | None,
    words: str,
) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        npm(tmp_path, monkeypatch, script)
    assert fetch.main() == 1
    assert words in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(fetch.CannotFetch, match=r"file/kokoro-voices cannot be written"):
        fetch.fetch(tmp_path / "file" / "kokoro-voices")
