"""American and British English."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Accent: TypeAlias = Literal["en-US", "en-GB"]

_NO_VOWEL_FOLLOWS = "(?![AIOWYiuæɑɔəɛɜɪʊʌᵊᵻˈˌ])"
_BRITISH = tuple(
    (re.compile(american), british)
    for american, british in (
        # an r is said before a vowel only; elsewhere it makes the vowel long
        (f"(?<=[ɑɔɜ])ɹ{_NO_VOWEL_FOLLOWS}", "ː"),
        (f"(?<=[ɪʊ])ɹ{_NO_VOWEL_FOLLOWS}", "ə"),
        (f"ɛɹ{_NO_VOWEL_FOLLOWS}", "ɛː"),
        (f"əɹ{_NO_VOWEL_FOLLOWS}", "ə"),
        (r"ɑ(?![ːɹ])", "ɒ"),
        (r"ɔ(?![ːɹ])", "ɔː"),
        (r"i(?!$)", "iː"),
        (r"u", "uː"),
        (r"O", "Q"),
        (r"æ", "a"),
        (r"T", "t"),
        (r"ᵻ", "ɪ"),
    )
)


def as_british(phonemes: str) -> str:
    """From the American sound of a word to a likely British one, in Kokoro's symbols."""
    for american, british in _BRITISH:
        phonemes = american.sub(british, phonemes)
    return phonemes
