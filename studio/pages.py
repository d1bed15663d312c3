"""Pages of rows, newest first, by keyset: a cursor stays right while rows are added before it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, tuple_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from studio.mistakes import Mistake, MistakeCode
from studio.texts import is_id

MAX_PAGE = 100
T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items in order, whether there are more on either side, and the cursor of each."""

    items: list[T]
    has_next: bool
    has_previous: bool
    cursor_of: Callable[[T], str]


class Listed(Protocol):
    """A row that is listed by when it was made."""

    id: str
    created_at: datetime


Row = TypeVar("Row", bound=Listed)


def encode_cursor(*parts: str) -> str:
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, parts: int) -> list[str]:
    """
    Raises:
        Mistake: INVALID, if it is none of ours.
    """
    try:
        found = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split("\n")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        found = []
    if len(found) != parts:
        raise bad_cursor()
    return found


def bad_cursor() -> Mistake:
    return Mistake(MistakeCode.INVALID, "This cursor did not come from here.", ("after",))


def page_size(first: int) -> int:
    """
    Raises:
        Mistake: INVALID, if it is not 1 to 100.
    """
    if not 1 <= first <= MAX_PAGE:
        raise Mistake(MistakeCode.INVALID, f"Ask for 1 to {MAX_PAGE} items at a time.", ("first",))
    return first


async def page_of(
    session: AsyncSession, table: type[Row], condition: ColumnElement[bool], first: int, after: str | None
) -> Page[Row]:
    """A page of a table's rows that fulfil a condition."""
    size = page_size(first)
    created: Any = col(table.created_at)
    identity: Any = col(table.id)
    statement = select(table).where(condition).order_by(created.desc(), identity.desc()).limit(size + 1)
    if after is not None:
        when, last_id = decode_cursor(after, 2)
        position = _moment(when)
        if position is None or not is_id(last_id):
            raise bad_cursor()
        statement = statement.where(tuple_(created, identity) < tuple_(position, last_id))
    rows = list((await session.exec(statement)).all())
    return Page(
        rows[:size],
        has_next=len(rows) > size,
        has_previous=after is not None,
        cursor_of=lambda row: encode_cursor(row.created_at.isoformat(), row.id),
    )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
