from __future__ import annotations

import pytest

from studio.mistakes import Mistake, MistakeCode
from studio.tables import new_id
from studio.texts import checked_name, checked_text, is_id


def test_names_are_on_one_line() -> None:
    assert checked_name("  My\n voice \t2 ") == "My voice 2"
    assert checked_name("声" * 80) == "声" * 80


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", MistakeCode.REQUIRED),
        (" \n ", MistakeCode.REQUIRED),
        ("x" * 81, MistakeCode.TOO_LONG),
        ("nul\0l", MistakeCode.INVALID),
        ("\ud800", MistakeCode.INVALID),
    ],
)
def test_names_that_cannot_be(text: str, code: MistakeCode) -> None:
    with pytest.raises(Mistake) as caught:
        checked_name(text)
    assert (caught.value.code, caught.value.field) == (code, ("name",))


def test_texts_keep_their_lines() -> None:
    assert checked_text(" One.\nTwo. ", 20, "text", "Give a text.") == "One.\nTwo."


@pytest.mark.parametrize("text", ["", "1", "\0" * 32, "g" * 32, "A" * 32, "a" * 33, "a" * 32 + "\n"])
def test_only_our_ids_are_ids(text: str) -> None:
    assert is_id(new_id())
    assert not is_id(text)
