"""English text to the symbols that Kokoro was trained on."""

from __future__ import annotations

from threading import Lock

import gruut

_KOKORO_SYMBOLS = {
    "d͡ʒ": "ʤ",
    "t͡ʃ": "ʧ",
    "aɪ": "I",
    "aʊ": "W",
    "eɪ": "A",
    "oʊ": "O",
    "ɔɪ": "Y",
    "ɚ": "əɹ",
}

_lock = Lock()


def phonemize(sentence: str, language: str = "en-US") -> str:
    """The sentence in Kokoro's symbols, with its punctuation; empty where there is nothing to say.

    `language` is `en-US` or `en-GB`. May be called from any thread.
    """
    with _lock:
        words = [word for found in gruut.sentences(sentence, lang="en-us") for word in found]
    spoken = ""
    for word in words:
        if word.is_break or not word.phonemes:
            spoken += word.text if word.text in {",", ".", "!", "?", ";", ":"} else ""
            continue
        phonemes = "".join(word.phonemes)
        for ipa, symbol in _KOKORO_SYMBOLS.items():
            phonemes = phonemes.replace(ipa, symbol)
        spoken += (" " if spoken else "") + phonemes
    return spoken
