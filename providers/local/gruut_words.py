"""What gruut (MIT, https://github.com/rhasspy/gruut) knows of English words: how they sound in America, and which part
of speech they are.

Only the models of gruut_lang_en 2.0.1 are used, with the features that they were trained on (gruut 2.4.0, `pos.py` and
`g2p.py`). Gruut's program takes 2 seconds to import, splits sentences at abbreviations, and drops what it cannot name.
"""

from __future__ import annotations

import base64
import re
import sqlite3
import string
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TypeAlias

import pycrfsuite

from audio.weights import packaged_file

_PACKAGE = "gruut_lang_en"
_LEXICON_SHA256 = "f736287913499c93b493b42963b66f74d59e0c083d9bc6d914c1096bc27658fc"
_GUESSER_SHA256 = "7942e8f8968b1bd5b322fd58d78b947f5fd305c9d4aeb6a8be1d0ea96227bbad"
_TAGGER_SHA256 = "b1346e25531e289aa3dcd48228cbdfe6250b812b83d3a2e136d81dbbf92b5108"

_SYMBOLS: Mapping[str, str] = {
    "d͡ʒ": "ʤ",
    "t͡ʃ": "ʧ",
    "aɪ": "I",
    "aʊ": "W",
    "eɪ": "A",
    "oʊ": "O",
    "ɔɪ": "Y",
    "ˈɚ": "ˈɜɹ",
    "ˌɚ": "ˌɜɹ",
    "ɚ": "əɹ",
}
"""IPA as gruut writes it → Kokoro's symbols, in this order."""

_JOIN, _SILENT = "|", "_"  # how the guesser's labels write several phonemes for a letter, and none

_VOWEL = "AIOWYiuæɑɔəɛɜɪʊʌ"
# Kokoro was trained on American speech as it is spoken: a syllabic l or n has a mark of its own, and a t between a
# vowel and an unstressed vowel is a flap, written T.
_SYLLABIC = re.compile(rf"(?<=[bdfɡkpstvzʃʒʤʧθ])ə(?=[ln](?![{_VOWEL}]))")
_FLAP = re.compile(rf"(?<=[{_VOWEL}ɹ])t(?=[əɪiᵊ])")


class GruutWords:
    """Dictionary, guesser and tagger. Not thread-safe: crfsuite keeps the sentence that it works on.

    Raises:
        BadWeights: a model is missing or not what it should be (see `audio.weights`).
    """

    def __init__(self) -> None:
        lexicon = packaged_file(_PACKAGE, "lexicon.db", _LEXICON_SHA256)
        with closing(sqlite3.connect(f"{lexicon.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            # Read as a whole: the table has no index, and finding one word takes 20 ms.
            rows = database.execute("SELECT word, phonemes FROM word_phonemes WHERE pron_order = 0")
            self._lexicon: dict[str, str] = dict(rows)
        self._guesser = pycrfsuite.Tagger()
        self._guesser.open(str(packaged_file(_PACKAGE, "g2p/model.crf", _GUESSER_SHA256)))
        self._tagger = pycrfsuite.Tagger()
        self._tagger.open(str(packaged_file(_PACKAGE, "pos/model.crf", _TAGGER_SHA256)))

    def tags(self, words: Sequence[str]) -> Sequence[str]:
        """The Penn Treebank tag of each word and punctuation mark of a sentence."""
        return list(self._tagger.tag([_word_features(words, i) for i in range(len(words))]))

    def known(self, word: str) -> str | None:
        """How a word of the dictionary sounds; `word` is lower-case."""
        found = self._lexicon.get(word)
        return None if found is None else _kokoro_symbols(found.split())

    def guessed(self, word: str) -> str:
        """How a word sounds, by its spelling; `word` is made of a–z and apostrophes."""
        labels = self._guesser.tag([_letter_features(word, i) for i in range(len(word))])
        sounds = (sound for label in labels for sound in base64.b64decode(label).decode().split(_JOIN))
        return _kokoro_symbols([sound for sound in sounds if sound != _SILENT])


_Features: TypeAlias = dict[str, str | bool | float]


def _word_features(words: Sequence[str], i: int) -> _Features:
    """A word of a sentence, and the two words on either side of it, as the tagger knows them."""
    features: _Features = {}
    for offset in (0, -1, -2, 1, 2):
        if not 0 <= i + offset < len(words):
            continue
        word, prefix = words[i + offset], f"{offset:+d}:" if offset else ""
        features |= {
            f"{prefix}bias": 1.0,
            f"{prefix}word": _ascii(word),
            f"{prefix}len(word)": len(word),
            f"{prefix}word.ispunctuation": word in string.punctuation,
            f"{prefix}word.isdigit()": word.isdigit(),
            f"{prefix}word[:2]": word[:2],
            f"{prefix}word[:3]": word[:3],
            f"{prefix}word[-2:]": word[-2:],
            f"{prefix}word[-3:]": word[-3:],
        }
    if i == 0:
        features["BOS"] = True
    if i == len(words) - 1:
        features["EOS"] = True
    return features


def _letter_features(word: str, i: int) -> _Features:
    """A letter of a word, and the three letters on either side of it, as the guesser knows them."""
    features: _Features = {"bias": 1.0, "grapheme": _ascii(word[i])}
    for offset in (-3, -2, -1, 1, 2, 3):
        if 0 <= i + offset < len(word):
            features[f"grapheme{offset:+d}"] = _ascii(word[i + offset])
    if i == 0:
        features["begin"] = True
    if i == len(word) - 1:
        features["end"] = True
    return features


def _ascii(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _kokoro_symbols(ipa: Sequence[str]) -> str:
    phonemes = "".join(ipa)
    for written, symbol in _SYMBOLS.items():
        phonemes = phonemes.replace(written, symbol)
    return _FLAP.sub("T", _SYLLABIC.sub("ᵊ", phonemes))
