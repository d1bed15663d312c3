"""Reading rows that belong to somebody. What belongs to somebody else is not found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, and_
from sqlmodel import col, select

from studio.database import AWAY, Database, Unit
from studio.mistakes import Mistake, MistakeCode
from studio.pages import Listed, Page, page_of
from studio.retrying import retried
from studio.tables import User
from studio.texts import is_id

# A notice can be lost with a connection: even without one, a subscriber looks again after this many seconds.
_LOOK_AGAIN_SECONDS = 15.0
_AWAY_SECONDS = 60.0


class Owned(Listed, Protocol):
    """A row with an owner."""

    user_id: str


Row = TypeVar("Row", bound=Owned)
T = TypeVar("T")


async def living_user(unit: Unit, user_id: str) -> User:
    """A user's row, locked, to begin something of theirs: not once the deletion of their account has begun.

    Raises:
        Mistake: NOT_FOUND.
    """
    statement = select(User).where(User.id == user_id, col(User.deleted_at).is_(None)).with_for_update()
    user = (await unit.exec(statement)).first()
    if user is None:
        raise Mistake(MistakeCode.NOT_FOUND, "There is no such account.")
    return user


class Repository(Generic[Row]):
    """The rows of one table, always by owner. `kind` names them in keys of changes ("clone:…") and in messages."""

    def __init__(self, database: Database, table: type[Row], kind: str) -> None:
        self._database = database
        self._table = table
        self._kind = kind
        self._upcoming: dict[tuple[str, str], asyncio.Task[Row | None]] = {}

    def key(self, row_id: str) -> str:
        """What the change hub calls this row."""
        return f"{self._kind}:{row_id}"

    async def get(self, owner: str, row_id: str) -> Row | None:
        found = await self.many(owner, [row_id])
        return found[0] if found else None

    async def many(self, owner: str, ids: Sequence[str]) -> list[Row]:
        """Those of the rows that are the owner's, in any order."""
        statement = select(self._table).where(self._mine(owner), col(self._table.id).in_(filter(is_id, ids)))
        async with self._database.reading() as session:
            return list((await session.exec(statement)).all())

    async def page(self, owner: str, first: int, after: str | None, *also: ColumnElement[bool]) -> Page[Row]:
        """Newest first.

        Raises:
            Mistake: INVALID, for a cursor or size that cannot be.
        """
        async with self._database.reading() as session:
            return await page_of(session, self._table, and_(self._mine(owner), *also), first, after)

    async def locked(self, unit: Unit, owner: str, row_id: str) -> Row:
        """The row, for changing it within a transaction.

        Raises:
            Mistake: NOT_FOUND.
        """
        statement = select(self._table).where(self._mine(owner), col(self._table.id) == row_id).with_for_update()
        row = (await unit.exec(statement)).first() if is_id(row_id) else None
        if row is None:
            raise self._missing()
        return row

    async def _follow(self, owner: str, row_id: str, over: Callable[[Row], bool]) -> AsyncIterator[Row]:
        """The present state at once, then every change, until it is over.

        Raises:
            Mistake: NOT_FOUND, also when it is deleted meanwhile.
        """
        with self._database.hub.watch(self.key(row_id)) as watch:
            seen: Row | None = None
            while True:
                row = await self._once_there(lambda: self._get_together(owner, row_id))
                if row is None:
                    raise self._missing()
                if row != seen:
                    yield row
                    seen = row
                if over(row):
                    return
                await watch.changed(_LOOK_AGAIN_SECONDS)

    async def _once_there(self, read: Callable[[], Awaitable[T]]) -> T:
        """A subscription outlives a restart of the database."""
        return await retried(read, AWAY, _AWAY_SECONDS, longest_pause=2.0)

    async def _get_together(self, owner: str, row_id: str) -> Row | None:
        """One read for all who ask in the same turn of the event loop, as all subscribers to a row do when it changes.
        Nobody joins a read that has begun: it may be older than the change that they heard of."""
        reading = self._upcoming.get((owner, row_id))
        if reading is None:
            reading = asyncio.create_task(self._get_next_turn(owner, row_id))
            self._upcoming[owner, row_id] = reading
        return await asyncio.shield(reading)

    async def _get_next_turn(self, owner: str, row_id: str) -> Row | None:
        await asyncio.sleep(0)
        del self._upcoming[owner, row_id]
        return await self.get(owner, row_id)

    def _mine(self, owner: str) -> ColumnElement[bool]:
        return col(self._table.user_id) == owner

    def _missing(self) -> Mistake:
        return Mistake(MistakeCode.NOT_FOUND, f"There is no such {self._kind}.", ("id",))
