"""English text to the symbols that Kokoro was trained on: words in their sentence.

Sounds depend on neighbours ("the" before a vowel, "to" before a pause) and on the part of speech ("I read it" today or
yesterday). The rules for both are those of misaki 0.9.4, in whose notation Kokoro's training text was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from threading import Lock

from providers.local.accents import Accent
from providers.local.gruut_words import GruutWords
from providers.local.lexicon import VOWELS, Lexicon
from providers.local.normalization import normalize

_TOKEN = re.compile(r"[^\W\d_](?:\.[^\W\d_])+|'?[^\W\d_]+(?:'[^\W\d_]+)*|[,.!?;:—…()“”]")
_ELIDED = frozenset({"'bout", "'cause", "'em", "'til", "'tis", "'twas"})
_PAUSES = frozenset(",.!?;:—…")
_OPENING = frozenset("(“")
_MARKS = _PAUSES | _OPENING | frozenset(")”")

# Parts of speech that begin a phrase: conjunctions, prepositions and subordinators, "to", "which", "who", "where".
_PHRASE_TAGS = frozenset({"CC", "IN", "TO", "WDT", "WP", "WRB"})

# How misaki writes Kokoro's tap and glottal stop.
_KOKORO = str.maketrans("ɾʔ", "Tt")


class Border(IntEnum):
    """How well speech can be parted before a word, if it has to be."""

    WORD = 1
    PHRASE = 2
    CLAUSE = 3
    SENTENCE = 4


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word in Kokoro's symbols, with the punctuation that touches it."""

    symbols: str
    border: Border


def phonemize(sentence: str, accent: Accent = "en-US") -> str:
    """The sentence in Kokoro's symbols, with its punctuation; empty where there is nothing to say.

    May be called from any thread. Loads its dictionaries the first time (about a second).

    Raises:
        BadWeights: a dictionary is missing or not what it should be (see `audio.weights`).
    """
    return " ".join(word.symbols for word in spoken_words(sentence, accent))


def spoken_words(sentence: str, accent: Accent = "en-US") -> list[SpokenWord]:
    """As `phonemize`, word by word."""
    with _lock:
        return _phonemizer(accent).words(normalize(sentence, day_first=accent == "en-GB"))


_lock = Lock()


class _Phonemizer:
    def __init__(self, accent: Accent) -> None:
        self._gruut = _gruut_words()
        self._lexicon = Lexicon(accent, self._gruut)

    def words(self, text: str) -> list[SpokenWord]:
        tokens = [_without_quote(token) for token in _TOKEN.findall(text)]
        tags = self._gruut.tags(tokens) if tokens else []
        return list(_joined(tokens, tags, self._sounds(tokens, tags)))

    def _sounds(self, tokens: Sequence[str], tags: Sequence[str]) -> list[str]:
        """How each token is said: from the last to the first, since a sound depends on the one that follows."""
        sounds: list[str] = []
        next_word, next_sound = "", ""  # both empty before a pause
        for token, tag in zip(reversed(tokens), reversed(tags), strict=True):
            if token in _MARKS:
                sounds.append(token)
                if token in _PAUSES:
                    next_word = next_sound = ""
                continue
            weak = _weak_form(token, tag, next_sound)
            tag_of_used = "VBD" if next_word == "to" else "VBN"  # "used to it" has another s than "used it"
            sound = weak or self._lexicon.pronounce(
                token, tag_of_used if token.lower() == "used" else tag, not next_sound
            )
            sounds.append(sound.translate(_KOKORO))
            if sound:
                next_word, next_sound = token.lower(), sound
        return sounds[::-1]


def _weak_form(word: str, tag: str, next_sound: str) -> str | None:
    """How a function word sounds where it depends on what follows; `next_sound` is empty before a pause."""
    before_vowel = next_sound.lstrip("ˈˌ")[:1] in VOWELS if next_sound else False
    match word.lower():
        case "the":
            return "ði" if before_vowel else "ðə"
        case "a" if tag == "DT" or word == "a":
            return "ɐ"
        case "an":
            return "ɐn"
        case "am" if next_sound and not word.isupper():
            return "ɐm"
        case "to" if next_sound:
            return "tʊ" if before_vowel else "tə"
        case "in" if next_sound and tag == "IN":
            return "ɪn"
        case "i" if tag == "PRP":
            return "ˌI"
    return None


def _joined(tokens: Sequence[str], tags: Sequence[str], sounds: Sequence[str]) -> Iterator[SpokenWord]:
    """Words with their punctuation; a sentence without any gets a full stop. What has no sound is left out."""
    symbols, border, opening = "", Border.SENTENCE, ""
    for token, tag, sound in zip(tokens, tags, sounds, strict=True):
        if token in _OPENING:
            opening = token
        elif token in _MARKS:
            symbols += "" if not symbols else f" {token}" if token == "—" else token
        elif sound:
            if symbols:
                yield SpokenWord(symbols, border)
                border = _border(symbols, tag)
            symbols, opening = opening + sound, ""
    if symbols:
        yield SpokenWord(symbols if symbols[-1] in _MARKS else f"{symbols}.", border)


def _border(before: str, tag: str) -> Border:
    if before[-1] in _MARKS:
        return Border.CLAUSE
    return Border.PHRASE if tag in _PHRASE_TAGS else Border.WORD


def _without_quote(token: str) -> str:
    """`'hello` is a quotation's beginning, `'em` a word."""
    return token if token.lower() in _ELIDED else token.removeprefix("'")


@cache
def _gruut_words() -> GruutWords:
    return GruutWords()


@cache
def _phonemizer(accent: Accent) -> _Phonemizer:
    return _Phonemizer(accent)
