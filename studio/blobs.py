"""Audio and other bytes that are too large for a row, as files under one folder."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
import uuid
from pathlib import Path

from studio.retrying import retried

STORAGE_SECONDS = 3600.0
"""How long work that is under way waits for room on a full disk."""
ROOM = 16 << 20
"""Bytes that have to be free for new work to begin."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_KEY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{32}\.[a-z0-9]{1,8}")


class StorageFull(Exception):
    """There is no room to store something; nothing of it is kept."""


class Blobs:
    """Write-once blobs. Keys are made here, unguessable, and safe as paths."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, data: bytes, suffix: str, patience: float = 0.0) -> str:
        """Store bytes durably and return their key. A crash leaves either the whole blob or none under it.

        A full disk is waited for `patience` seconds: by those whose work would be lost, or would have to be done again.

        Raises:
            StorageFull
        """
        name = uuid.uuid4().hex
        key = f"{name[:2]}/{name}.{suffix}"
        await retried(lambda: asyncio.to_thread(self._write, self._path(key), data), StorageFull, patience)
        return key

    async def get(self, key: str) -> bytes:
        """
        Raises:
            FileNotFoundError: if there is no such blob.
        """
        return await asyncio.to_thread(self._path(key).read_bytes)

    async def delete(self, key: str) -> None:
        """Delete a blob. One that is already gone is no error."""
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)

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
        partial = path.with_suffix(".partial")
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
