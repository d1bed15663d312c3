"""Disks that are small, and a PostgreSQL server that can be stopped and started."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from studio.studio import StudioSettings
from tests.infrastructure.server import Server, running_server
from tests.studio.conftest import carrier, empty, provider, providers, quick_heart, rows_only, settings, studio, user

__all__ = ["carrier", "empty", "provider", "providers", "quick_heart", "rows_only", "settings", "studio", "user"]


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Up to the last byte, and so that databases have nothing in reserve."""
        for database in self.folder.rglob("*.sqlite"):
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with suppress(OSError):  # there is no space left on the device
                    while True:
                        file.write(bytes(size))

    def clear(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system with a few MB, of which nothing is used."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def on_disk(settings: StudioSettings, disk: Disk) -> StudioSettings:
    """A studio's settings: all its data is on the small disk, its SQLite files too."""
    return replace(settings, data_dir=shutil.copytree(settings.data_dir, disk.folder / "data"))


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL server for one test, which may stop it."""
    with running_server() as running:
        yield running
