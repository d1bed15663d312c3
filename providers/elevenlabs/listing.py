"""The account's voices, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.elevenlabs.connection import REPEATABLE, Connection, in_words
from providers.elevenlabs.errors import BadAnswer

if TYPE_CHECKING:
    from elevenlabs.types.voice import Voice

_PAGE = 100  # the most that they give at once
_PAGES = 20  # the largest plan has 660 slots


async def listed(connection: Connection, **filters: Any) -> list[Voice]:
    """All voices that the filters of `voices.search` let through.

    Raises:
        ProviderError
    """
    voices: list[Voice] = []
    token: str | None = None
    for _ in range(_PAGES):
        async with connection.asking() as sdk:
            page = await sdk.voices.search(
                page_size=_PAGE, next_page_token=token, request_options=REPEATABLE, **filters
            )
        with in_words():
            found = getattr(page, "voices", None)
            if not isinstance(found, list) or not all(getattr(voice, "voice_id", None) for voice in found):
                raise BadAnswer("a page without voices")
        voices += found
        token = getattr(page, "next_page_token", None)
        if not getattr(page, "has_more", False) or not token:
            break
    return voices
