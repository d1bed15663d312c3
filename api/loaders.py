"""Reading many related rows with one statement, however deep in a query they are asked for.

Nothing is kept: over a WebSocket the same loaders serve for hours, and the next event must show the rows as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from strawberry.dataloader import DataLoader

from studio.studio import Studio
from studio.tables import Call, Clone, Consent, Recording
from studio.voices import VoiceView

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Loaders:
    """What belongs to one owner, by id; None for what is not there."""

    def __init__(self, studio: Studio, owner: str) -> None:
        self.calls: DataLoader[str, Call | None] = _loader(
            lambda ids: studio.calls.many(owner, ids), lambda call: call.id
        )
        self.clones: DataLoader[str, Clone | None] = _loader(
            lambda ids: studio.clones.many(owner, ids), lambda clone: clone.id
        )
        self.voices: DataLoader[str, VoiceView | None] = _loader(
            lambda keys: studio.voices.many(owner, keys), lambda view: view.key
        )
        self.consents: DataLoader[str, Consent | None] = _loader(
            lambda ids: studio.clones.consents(owner, ids), lambda consent: consent.clone_id
        )
        self.recordings: DataLoader[str, Recording | None] = _loader(
            lambda ids: studio.clones.recordings(owner, ids), lambda recording: recording.clone_id
        )


def _loader(read: Callable[[Sequence[K]], Awaitable[Iterable[V]]], key_of: Callable[[V], K]) -> DataLoader[K, V | None]:
    async def load(keys: list[K]) -> list[V | None]:
        found = {key_of(value): value for value in await read(list(dict.fromkeys(keys)))}
        return [found.get(key) for key in keys]

    return DataLoader(load, cache=False)
