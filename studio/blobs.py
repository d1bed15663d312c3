"""Audio and other bytes that are too large for a row, as files under one folder.

A file cannot be written in the transaction of the row that names it. So its key is committed first, as unclaimed; the
row's transaction claims it; and what nobody has claimed after a day is deleted: a process died between the two.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
import uuid
from datetime import timedelta
from pathlib import Path

from sqlmodel import col, delete

from studio.database import Database, Unit
from studio.retrying import retried
from studio.tables import UnclaimedFile

STORAGE_SECONDS = 3600.0
"""How long work that is under way waits for room on a full disk."""
ROOM = 16 << 20
"""Bytes that have to be free for new work to begin."""
CLAIMED_WITHIN = timedelta(days=1)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_KEY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{32}\.[a-z0-9]{1,8}")


class StorageFull(Exception):
    """There is no room to store something; nothing of it is kept."""


class Blobs:
    """Write-once blobs. Keys are made here, unguessable, and safe as paths."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database

    async def put(self, data: bytes, suffix: str, patience: float = 0.0) -> str:
        """Store bytes durably and return their key, for a row that `claim`s it. A crash leaves either the whole blob or
        none under it.

        A full disk is waited for `patience` seconds: by those whose work would be lost, or would have to be done again.

        Raises:
            StorageFull
        """
        name = uuid.uuid4().hex
        key = f"{name[:2]}/{name}.{suffix}"
        async with self._database.transaction() as unit:
            unit.add(UnclaimedFile(key=key))
        await retried(lambda: asyncio.to_thread(self._write, self._path(key), data), StorageFull, patience)
        return key

    async def claim(self, unit: Unit, key: str) -> None:
        """From this transaction on a row names the blob.

        Raises:
            FileNotFoundError: it came too late.
        """
        claimed = await unit.exec(delete(UnclaimedFile).where(col(UnclaimedFile.key) == key))
        if claimed.rowcount == 0:
            raise FileNotFoundError(key)

    async def sweep(self, key: str) -> None:
        """Delete a blob that nobody has claimed."""
        async with self._database.transaction() as unit:
            # Whoever claims it now waits for this, and is told that it is gone.
            swept = await unit.exec(delete(UnclaimedFile).where(col(UnclaimedFile.key) == key))
            if swept.rowcount:
                await self.delete(key)

    async def get(self, key: str) -> bytes:
        """
        Raises:
            FileNotFoundError: if there is no such blob.
        """
        return await asyncio.to_thread(self._path(key).read_bytes)

    async def delete(self, key: str) -> None:
        """Delete a blob, or what there is of it. One that is already gone is no error."""
        path = self._path(key)
        for each in (path, _partial(path)):
            await asyncio.to_thread(each.unlink, missing_ok=True)

    async def check(self) -> None:
        """
        Raises:
            StorageFull: there is too little room to begin anything.
        """
        free = await asyncio.to_thread(self._free)
        if free < ROOM:
            raise StorageFull(f"only {free >> 20} MiB are free in DATA_DIR")

    def _free(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._folder).free

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a blob's key: {key!r}")
        return self._folder / key

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        partial = _partial(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as problem:
            partial.unlink(missing_ok=True)  # a full disk gets its space back
            if problem.errno in _FULL:
                raise StorageFull(f"no room for {len(data)} bytes") from problem
            raise


def _partial(path: Path) -> Path:
    """Where it is while it is written."""
    return path.with_suffix(".partial")
