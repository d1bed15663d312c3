"""Things that outlive the process: one JSON file each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

logger = logging.getLogger(__name__)

KEEP = 1000
"""So many of a kind are remembered; the oldest go first."""


class Stored(BaseModel):
    sid: str
    created: datetime


StoredT = TypeVar("StoredT", bound=Stored)


class Store(Generic[StoredT]):
    """All things of one kind, in memory and in `folder`.

    The files are a few hundred bytes and written where they change, without a thread: that keeps their order, and takes
    less time than a thread takes to start.
    """

    def __init__(self, folder: Path, kind: type[StoredT]) -> None:
        self.folder = folder
        self._things: dict[str, StoredT] = {}
        folder.mkdir(parents=True, exist_ok=True)
        found: list[StoredT] = []
        for file in folder.glob("*.json"):
            try:
                found.append(kind.model_validate_json(file.read_bytes()))
            except ValidationError as error:
                logger.warning("%s is unreadable and passed over: %s", file, error)
        for thing in sorted(found, key=lambda thing: thing.created):
            self._things[thing.sid] = thing

    def save(self, thing: StoredT) -> list[StoredT]:
        """Keep the thing as it is now; return what had to go to make room."""
        self._things[thing.sid] = thing
        file = self.folder / f"{thing.sid}.json"
        draft = file.with_suffix(".draft")
        draft.write_text(thing.model_dump_json())
        draft.replace(file)
        gone = [self._things.pop(sid) for sid in list(self._things)[: max(0, len(self._things) - KEEP)]]
        for old in gone:
            (self.folder / f"{old.sid}.json").unlink(missing_ok=True)
        return gone

    def get(self, sid: str) -> StoredT | None:
        return self._things.get(sid)

    def __iter__(self) -> Iterator[StoredT]:
        """Newest first, as Twilio's lists are."""
        return iter(list(reversed(self._things.values())))
