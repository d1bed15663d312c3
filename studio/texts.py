"""What people write: names, labels, texts to speak, and ids that they claim to have."""

from __future__ import annotations

import re

from studio.mistakes import Mistake, MistakeCode

MAX_NAME = 80
_ID = re.compile(r"[0-9a-f]{32}")


def is_id(text: str) -> bool:
    """Whether a row could have this id: what is none is not looked for."""
    return _ID.fullmatch(text) is not None


def is_text(text: str) -> bool:
    """Whether it can be stored: JSON lets through characters that are part of no text (U+0000, lone surrogates)."""
    return not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text)


def checked_text(text: str, longest: int, field: str, when_empty: str) -> str:
    """A text without the white space around it.

    Raises:
        Mistake: REQUIRED, TOO_LONG, INVALID.
    """
    text = text.strip()
    if not text:
        raise Mistake(MistakeCode.REQUIRED, when_empty, (field,))
    if len(text) > longest:
        raise Mistake(MistakeCode.TOO_LONG, f"At most {longest:,} characters.", (field,))
    if not is_text(text):
        raise Mistake(MistakeCode.INVALID, "There is a character in it that is not part of any text.", (field,))
    return text


def checked_name(name: str) -> str:
    """A voice's name, on one line.

    Raises:
        Mistake: REQUIRED, TOO_LONG, INVALID.
    """
    return checked_text(" ".join(name.split()), MAX_NAME, "name", "Give the voice a name.")
