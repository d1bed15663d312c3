"""How English words sound, in the symbols that Kokoro was trained on.

A word is looked up in the dictionaries of misaki 0.9.4 (Apache-2.0), which wrote the phonemes of Kokoro's training
text, American and British; then as an inflected form of a word that is there; then in gruut's American dictionary;
and is guessed by its spelling last. Misaki's own program is not used: it needs a spaCy model.

The symbols are described at https://github.com/hexgrad/misaki/blob/main/EN_PHONES.md.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from audio.weights import packaged_file
from providers.local.accents import Accent, as_british
from providers.local.gruut_words import GruutWords

VOWELS = frozenset("AIOQWYaiuæɑɒɐɔəɛɜɪʊʌᵊᵻ")

_DICTIONARIES: Mapping[Accent, Mapping[str, str]] = {
    "en-US": {
        "us_silver.json": "de8f67be911bb6c659187b4a65fd966b6a30e56350e0f790d763210b053ac475",
        "us_gold.json": "dc414872a49a28ae6c141463d502fd945f3b2fde040484fdc47d00cc4612686f",
    },
    "en-GB": {
        "gb_silver.json": "48131e2d92ccc41655f4543e87e0f938e71463eb5a54be7f0693bb712ebb6bce",
        "gb_gold.json": "29e62f4b60261c88f7f3c2c7811ca3825978948090b72d2b27d565b729282f71",
    },
}

# What a dictionary says of a word: how it sounds, or how it sounds by part of speech ("None": before a pause).
_Entry: TypeAlias = str | dict[str, str | None]

_COARSE_TAGS = {"VB": "VERB", "NN": "NOUN", "JJ": "ADJ", "RB": "ADV"}
_LONGEST_INITIALISM = 5
_CASE_CHANGE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+")


class Lexicon:
    """The words of one accent. Not thread-safe, as `GruutWords`.

    Raises:
        BadWeights: a dictionary is missing or not what it should be (see `audio.weights`).
    """

    def __init__(self, accent: Accent, gruut: GruutWords) -> None:
        self._accent = accent
        self._gruut = gruut
        self._entries: dict[str, _Entry] = {}
        for name, sha256 in _DICTIONARIES[accent].items():
            self._entries |= json.loads(packaged_file("misaki", f"data/{name}", sha256).read_text(encoding="utf-8"))

    def pronounce(self, word: str, tag: str, before_pause: bool = False) -> str:
        """The phonemes of a word, empty where there is no telling (a word of another script).

        Args:
            word: letters and apostrophes, or letters with dots between them to be spelled out (`U.S`).
            tag: its part of speech, of the Penn Treebank.
            before_pause: whether punctuation or the end of the text follows: a function word is not weak there.
        """
        if "." in word:
            return self._spelled(word.replace(".", ""))
        found = self._entry(word, tag, before_pause)
        if found:
            return found
        plain = _without_accents(word)
        if not plain:
            return ""
        if self._is_initialism(plain):
            return self._spelled(plain)
        lower = plain.lower()
        known = self._entry(plain, tag, before_pause) or self._inflected(lower, tag) or self._american(lower)
        if known:
            return known
        parts = _CASE_CHANGE.findall(plain)
        if len(parts) > 1:
            return "".join(self.pronounce(part, tag) for part in parts)
        return self._in_accent(self._gruut.guessed(lower))

    def _entry(self, word: str, tag: str, before_pause: bool) -> str | None:
        for form in (word, word.lower(), word.capitalize()):
            entry = self._entries.get(form)
            if isinstance(entry, str):
                return entry
            if entry is not None:
                keys = (["None"] if before_pause else []) + [tag, _COARSE_TAGS.get(tag[:2], tag), "DEFAULT"]
                return entry[next(key for key in keys if key in entry)]
        return None

    def _is_initialism(self, word: str) -> bool:
        if len(word) == 1:
            return True
        unpronounceable = not set(word.lower()) & set("aeiouy")
        short = len(word) <= _LONGEST_INITIALISM and self._entry(word.lower(), "", False) is None
        return word.isupper() and (unpronounceable or short or self._entries.get(word) is not None)

    def _spelled(self, letters: str) -> str:
        """The names of the letters, said as one word with the stress on the last."""
        names = "".join(self._entry(letter.upper(), "NN", False) or "" for letter in _without_accents(letters))
        return "ˈ".join(names.replace("ˈ", "ˌ").rsplit("ˌ", 1))

    def _inflected(self, word: str, tag: str) -> str | None:
        for stem, ending in _stems(word):
            sound = self._entry(stem, tag, False)
            if sound:
                return self._with_ending(sound, ending)
        return None

    def _with_ending(self, stem: str, ending: str) -> str:
        """A stem's phonemes with the regular ending `s`, `ed` or `ing` (https://en.wiktionary.org/wiki/-s, /-ed)."""
        reduced = "ɪ" if self._accent == "en-GB" else "ᵻ"
        last = stem[-1]
        if ending == "s":
            return stem + (f"{reduced}z" if last in "szʃʒʧʤ" else "s" if last in "ptkfθ" else "z")
        if ending == "ed" and last not in "td":
            return stem + ("t" if last in "pkfθʃsʧ" else "d")
        if last == "t" and self._accent == "en-US" and stem[-2:-1] in VOWELS | {"ɹ"}:
            stem = stem[:-1] + "T"
        return stem + ("ɪŋ" if ending == "ing" else f"{reduced}d")

    def _american(self, word: str) -> str | None:
        found = self._gruut.known(word)
        if found is None and word.endswith("'s"):
            found = self._gruut.known(word.removesuffix("'s"))
            return None if found is None else self._with_ending(self._in_accent(found), "s")
        return None if found is None else self._in_accent(found)

    def _in_accent(self, american: str) -> str:
        return american if self._accent == "en-US" else as_british(american)


def _without_accents(word: str) -> str:
    """`word` in a–z, A–Z and apostrophes, or nothing where it has other letters than Latin ones."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", word.translate(_LATIN)) if not unicodedata.combining(c))
    return letters if re.fullmatch(r"[A-Za-z']*", letters) else ""


_OTHER_LETTERS = ("ß ss", "æ ae", "Æ Ae", "œ oe", "Œ Oe", "ø o", "Ø O", "ł l", "Ł L", "đ d", "ð d", "þ th", "ı i")
_LATIN = str.maketrans(dict(pair.split() for pair in _OTHER_LETTERS))


def _stems(word: str) -> Iterator[tuple[str, str]]:
    """What `word` may be a regular form of, with the ending: `cities` → (`city`, `s`)."""
    if word.endswith("'s"):
        yield word[:-2], "s"
    elif word.endswith(("s'", "s")) and not word.endswith("ss"):
        plural = word.removesuffix("'")
        yield plural[:-1], "s"
        if plural.endswith("ies"):
            yield f"{plural[:-3]}y", "s"
        if plural.endswith("es"):
            yield plural[:-2], "s"
    for ending in ("ed", "ing"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word.removesuffix(ending)
            yield stem, ending
            yield f"{stem}e", ending
            if stem[-1] == stem[-2]:
                yield stem[:-1], ending
            if ending == "ed" and stem[-1] == "i":
                yield f"{stem[:-1]}y", ending
