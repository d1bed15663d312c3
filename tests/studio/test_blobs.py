from __future__ import annotations

from pathlib import Path

import pytest

from studio.blobs import Blobs, StorageFull


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_what_is_put_can_be_got_until_it_is_deleted(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    key = await blobs.put(b"sound", "wav")
    other = await blobs.put(b"another", "pcm")
    assert key != other
    assert await blobs.get(key) == b"sound"
    assert await Blobs(tmp_path).get(other) == b"another", "they outlive the process"
    await blobs.delete(key)
    await blobs.delete(key)
    with pytest.raises(FileNotFoundError):
        await blobs.get(key)
    assert await blobs.get(other) == b"another"


@pytest.mark.parametrize(
    "key", ["", "../../etc/passwd", "ab/../../x.wav", f"ab/{'0' * 32}.wav\n", f"AB/{'0' * 32}.wav", f"ab/{'0' * 32}"]
)
async def test_nothing_else_is_a_key(tmp_path: Path, key: str) -> None:
    blobs = Blobs(tmp_path)
    with pytest.raises(ValueError, match="not a blob's key"):
        await blobs.get(key)
    with pytest.raises(ValueError, match="not a blob's key"):
        await blobs.delete(key)


async def test_a_write_that_is_cut_short_is_no_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageFull):
        await Blobs(tmp_path).put(b"sound", "wav")
    assert files_in(tmp_path) == []
