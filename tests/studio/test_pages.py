"""Lists in pages: each row once and in order, while rows come and go."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.database import Database
from studio.hub import ChangeHub
from studio.mistakes import Mistake, MistakeCode
from studio.pages import MAX_PAGE, decode_cursor, encode_cursor
from studio.repositories import Repository
from studio.tables import Synthesis, User, new_id

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, ChangeHub())
    await database.open()
    async with database.transaction() as unit:
        unit.add(User(id="1", email="a@example.com", password_hash=""))
    yield database
    await database.aclose()


async def add(database: Database, *seconds: int) -> None:
    """Rows that were made so many seconds after the start; several may be made at once."""
    async with database.transaction() as unit:
        for second in seconds:
            row = Synthesis(user_id="1", voice_key="tone:low", text="", created_at=START + timedelta(seconds=second))
            unit.add(row)


async def all_pages(syntheses: Repository[Synthesis], size: int) -> list[list[Synthesis]]:
    pages, after = [], None
    while True:
        page = await syntheses.page("1", size, after)
        assert page.has_previous is (after is not None)
        pages.append(page.items)
        if not page.has_next:
            return pages
        after = page.cursor_of(page.items[-1])


async def test_pages_are_the_list(database: Database) -> None:
    syntheses = Repository(database, Synthesis, "synthesis")
    await add(database, *(5, 3, 3, 3, 1, 8, 8, 2))
    whole = (await syntheses.page("1", 100, None)).items
    assert [(row.created_at - START).seconds for row in whole] == [8, 8, 5, 3, 3, 3, 2, 1]
    for size in (1, 2, 3, 8):
        pages = await all_pages(syntheses, size)
        assert [row.id for page in pages for row in page] == [row.id for row in whole]
        assert all(len(page) == size for page in pages[:-1])


async def test_a_cursor_stays_right_while_rows_come_and_go(database: Database) -> None:
    syntheses = Repository(database, Synthesis, "synthesis")
    await add(database, *range(6))
    first = await syntheses.page("1", 3, None)
    after = first.cursor_of(first.items[-1])
    await add(database, 7, 8)
    async with database.transaction() as unit:
        await unit.delete(await unit.get_one(Synthesis, first.items[-1].id))
    second = await syntheses.page("1", 3, after)
    assert [(row.created_at - START).seconds for row in second.items] == [2, 1, 0]
    assert not second.has_next


CURSORS = (
    "",
    "garbage",
    "ü",
    "=",
    encode_cursor("2026-01-01T00:00:00+00:00"),
    encode_cursor("2026-01-01T00:00:00+00:00", new_id(), "more"),
    encode_cursor("yesterday", new_id()),
    encode_cursor("2026-01-01T00:00:00", new_id()),  # of which zone?
    encode_cursor("0001-01-01T00:00:00+12:00", new_id()),  # before the first year
    encode_cursor("2026-01-01T00:00:00+00:00", "\0"),
    encode_cursor("2026-01-01T00:00:00+00:00", "'; DROP TABLE users"),
)


async def test_cursors_and_sizes_that_cannot_be(database: Database) -> None:
    syntheses = Repository(database, Synthesis, "synthesis")
    for cursor in CURSORS:
        with pytest.raises(Mistake) as caught:
            await syntheses.page("1", 3, cursor)
        assert (caught.value.code, caught.value.field) == (MistakeCode.INVALID, ("after",)), cursor
    for first in (-1, 0, MAX_PAGE + 1):
        with pytest.raises(Mistake) as caught:
            await syntheses.page("1", first, None)
        assert (caught.value.code, caught.value.field) == (MistakeCode.INVALID, ("first",))


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_cursors_come_back_as_they_were(parts: list[str]) -> None:
    assert decode_cursor(encode_cursor(*parts), len(parts)) == parts


@given(st.text(max_size=40))
def test_no_text_is_a_surprise(cursor: str) -> None:
    with contextlib.suppress(Mistake):
        assert len(decode_cursor(cursor, 2)) == 2
