"""Text in the pieces that are spoken one after the other: a short one first, so that speech starts at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

import sentencex

from providers.local.accents import Accent
from providers.local.phonemes import Border, SpokenWord, spoken_words

FIRST_PIECE = 50
"""Tokens of the first piece at most: about 3 seconds of speech, made in one on two cores."""

LATER_PIECES = 180
"""Tokens of any piece at most: about 12 seconds of speech."""

_GROWTH = 2
"""How much longer than all speech before it a piece may be: it is made while that is still being heard."""

_SHORT = 20
"""Tokens below which a sentence is joined to the next one: Kokoro says a lone word hastily."""

_LONGEST_SENTENCE = 600
"""Characters. What has no end of a sentence for so long is no prose, and is cut at any space."""

# A line that goes on in small letters is one that was wrapped.
_WRAPPED_LINE = re.compile(r"(?<=\S)[^\S\n]*\n(?=[^\S\n]*[^\W\d_A-Z])")


def pieces(text: str, accent: Accent = "en-US") -> Iterator[str]:
    """Kokoro's symbols for `text`, in pieces of at most `FIRST_PIECE`, then `LATER_PIECES` tokens. No word is lost.

    Pieces end where sentences do; a sentence that is too long is parted at a clause, before a preposition, or else
    between words. Sentences are looked up as the iterator comes to them.
    """
    said = 0
    waiting: list[SpokenWord] = []
    for sentence in sentences(text):
        words = spoken_words(sentence, accent)
        if waiting and (_length(waiting) >= _SHORT or _length(waiting + words) > _limit(said)):
            yield _symbols(waiting)
            said, waiting = said + _length(waiting), []
        waiting += words
        while _length(waiting) > _limit(said):
            piece, waiting = _parted(waiting, _limit(said))
            yield _symbols(piece)
            said += _length(piece)
    if waiting:
        yield _symbols(waiting)


def sentences(text: str) -> Iterator[str]:
    """The sentences of an English text, none longer than `_LONGEST_SENTENCE` characters."""
    for line in _WRAPPED_LINE.sub(" ", text).splitlines():
        for sentence in sentencex.segment("en", line):
            while len(sentence) > _LONGEST_SENTENCE:
                end = sentence.rfind(" ", 0, _LONGEST_SENTENCE)
                end = _LONGEST_SENTENCE if end <= 0 else end
                yield sentence[:end]
                sentence = sentence[end:]
            if sentence.strip():
                yield sentence.strip()


def _limit(said: int) -> int:
    return min(LATER_PIECES, max(FIRST_PIECE, _GROWTH * said))


def _parted(words: Sequence[SpokenWord], limit: int) -> tuple[list[SpokenWord], list[SpokenWord]]:
    """The longest good beginning of at most `limit` tokens, and the rest."""
    ends = list(accumulate(len(word.symbols) + 1 for word in words))
    fitting = [i for i in range(1, len(words)) if ends[i - 1] < limit]
    if not fitting:
        first = words[0].symbols
        head, tail = (SpokenWord(part, Border.WORD) for part in (first[: limit - 1], first[limit - 1 :]))
        return [head], [tail, *words[1:]]
    not_tiny = [i for i in fitting if ends[i - 1] >= limit // 3 and ends[-1] - ends[i - 1] >= _SHORT] or fitting
    border = max(not_tiny, key=lambda i: (words[i].border, i))
    return list(words[:border]), list(words[border:])


def _length(words: Sequence[SpokenWord]) -> int:
    return len(_symbols(words))


def _symbols(words: Sequence[SpokenWord]) -> str:
    return " ".join(word.symbols for word in words)
