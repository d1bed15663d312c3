"""What gruut 2.4.0 (MIT) knows of English words: how they sound in America, and which part of speech they are.

Only its models are used: its own reading of text splits sentences at abbreviations and drops what it cannot name.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing

from gruut.g2p import GraphemesToPhonemes
from gruut.pos import PartOfSpeechTagger

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

_VOWEL = "AIOWYiuæɑɔəɛɜɪʊʌ"
# Kokoro was trained on American speech as it is spoken: a syllabic l or n has a mark of its own, and a t between a
# vowel and an unstressed vowel is a flap, written T.
_SYLLABIC = re.compile(rf"(?<=[bdfɡkpstvzʃʒʤʧθ])ə(?=[ln](?![{_VOWEL}]))")
_FLAP = re.compile(rf"(?<=[{_VOWEL}ɹ])t(?=[əɪiᵊ])")


class GruutWords:
    """gruut's dictionary, guesser and tagger. Not thread-safe: crfsuite keeps the sentence that it works on.

    Raises:
        BadWeights: a model is missing or not what it should be (see `audio.weights`).
    """

    def __init__(self) -> None:
        lexicon = packaged_file(_PACKAGE, "lexicon.db", _LEXICON_SHA256)
        with closing(sqlite3.connect(f"{lexicon.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            # Read as a whole: the table has no index, and finding one word takes 20 ms.
            rows = database.execute("SELECT word, phonemes FROM word_phonemes WHERE pron_order = 0")
            self._lexicon: dict[str, str] = dict(rows)
        self._guess = GraphemesToPhonemes(packaged_file(_PACKAGE, "g2p/model.crf", _GUESSER_SHA256))
        self._tag = PartOfSpeechTagger(packaged_file(_PACKAGE, "pos/model.crf", _TAGGER_SHA256))

    def tags(self, words: Sequence[str]) -> Sequence[str]:
        """The Penn Treebank tag of each word and punctuation mark of a sentence."""
        return self._tag(words)

    def known(self, word: str) -> str | None:
        """How a word of the dictionary sounds; `word` is lower-case."""
        found = self._lexicon.get(word)
        return None if found is None else _kokoro_symbols(found.split())

    def guessed(self, word: str) -> str:
        """How a word sounds, by its spelling; `word` is made of a–z and apostrophes."""
        return _kokoro_symbols(self._guess(word))


def _kokoro_symbols(ipa: Sequence[str]) -> str:
    phonemes = "".join(ipa)
    for written, symbol in _SYMBOLS.items():
        phonemes = phonemes.replace(written, symbol)
    return _FLAP.sub("T", _SYLLABIC.sub("ᵊ", phonemes))
