from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from providers.manager import ProviderRegistry
from studio.blobs import CLAIMED_WITHIN, Blobs, StorageFull
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import UnclaimedFile, now
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE
from tests.studio.troubles import fail_first


@pytest.fixture
def blobs(rows_only: Studio) -> Blobs:
    return rows_only.blobs


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_what_is_put_can_be_got_until_it_is_deleted(rows_only: Studio, blobs: Blobs) -> None:
    key = await blobs.put(b"sound", "wav")
    other = await blobs.put(b"another", "pcm")
    assert key != other
    assert await blobs.get(key) == b"sound"
    another = Blobs(rows_only.settings.data_dir / "blobs", rows_only.database)
    assert await another.get(other) == b"another", "they outlive the process"
    await blobs.delete(key)
    await blobs.delete(key)
    with pytest.raises(FileNotFoundError):
        await blobs.get(key)
    assert await blobs.get(other) == b"another"


@pytest.mark.parametrize(
    "key", ["", "../../etc/passwd", "ab/../../x.wav", f"ab/{'0' * 32}.wav\n", f"AB/{'0' * 32}.wav", f"ab/{'0' * 32}"]
)
async def test_nothing_else_is_a_key(blobs: Blobs, key: str) -> None:
    with pytest.raises(ValueError, match="not a blob's key"):
        await blobs.get(key)
    with pytest.raises(ValueError, match="not a blob's key"):
        await blobs.delete(key)


async def test_a_write_that_is_cut_short_is_no_blob(
    rows_only: Studio, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageFull):
        await blobs.put(b"sound", "wav")
    assert files_in(rows_only.settings.data_dir / "blobs") == []


async def test_what_nobody_claims_is_swept_after_a_day(
    settings: StudioSettings,
    providers: ProviderRegistry,
    carrier: ScriptedCarrier,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of three files whose process died, one was claimed before, and one may yet be."""
    async with open_studio(replace(settings, database_url=database_url), providers, carrier) as studio:
        claimed, fresh = await studio.blobs.put(b"claimed", "wav"), await studio.blobs.put(b"fresh", "wav")
        half = await studio.blobs.put(b"half", "wav")
        path = studio.blobs._path(half)
        path.rename(path.with_suffix(".partial"))  # written in part, when it died
        swept = fail_first(monkeypatch, studio.blobs, "sweep")
        async with studio.database.transaction() as unit:
            await studio.blobs.claim(unit, claimed)
            row = await unit.get_one(UnclaimedFile, half)
            row.created_at = now() - CLAIMED_WITHIN - timedelta(seconds=1)
        await asyncio.wait_for(swept.wait(), PATIENCE)
        assert await unclaimed(studio) == [fresh]
        assert sorted(path.read_bytes() for path in files_in(settings.data_dir / "blobs")) == [b"claimed", b"fresh"]


async def test_it_is_too_late_to_claim_what_was_swept(rows_only: Studio, blobs: Blobs) -> None:
    key = await blobs.put(b"sound", "wav")
    await blobs.sweep(key)
    with pytest.raises(FileNotFoundError):
        async with rows_only.database.transaction() as unit:
            await blobs.claim(unit, key)


async def test_what_was_claimed_is_not_swept(rows_only: Studio, blobs: Blobs) -> None:
    key = await blobs.put(b"sound", "wav")
    async with rows_only.database.transaction() as unit:
        await blobs.claim(unit, key)
    await blobs.sweep(key)
    assert await blobs.get(key) == b"sound"


async def unclaimed(studio: Studio) -> list[str]:
    async with studio.database.reading() as session:
        return list((await session.exec(select(UnclaimedFile.key))).all())
