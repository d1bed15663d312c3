"""What was measured beforehand: how Kokoro's stock voices sound to the speaker encoder through a telephone.

The table was made by `python -m providers.local.cloning.make_table`; it holds numbers only, no one's speech.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.weights import packaged_file
from providers.local.cloning import encoder
from providers.local.cloning.encoder import unit
from providers.local.weights import KOKORO_SHA256, voice_hashes

# What the voices were heard to say: many sounds in little time.
SENTENCES = (
    "Please leave a message after the tone, and we will call you back.",
    "She had your dark suit in greasy wash water all year.",
    "The quick brown fox jumps over the lazy dog by the river.",
)

SHA256 = "498b46aed08fe25ae76b8c51fcae5667953e1ec8ce44d0fb66a56fd7b2f4856b"
_FILE = "table.npz"


class UnusableTable(Exception):
    """The table's arrays do not fit each other or this code; the message says which."""


@dataclass(frozen=True)
class Table:
    """Everything in the phone band.

    Attributes:
        voices: names of the stock voices, `(voices,)`
        embedding: unit vectors of the speaker encoder, `(voices, sentences, 256)`
        f0: median fundamental frequency in Hz, `(voices, sentences)`
        people: mean embedding of real people, `(256,)`
        phonemes: the sentences as Kokoro was given them, so that fitted voices say the very same; `(sentences,)`
        made_with: `weights_used` when it was made, `()`
    """

    voices: NDArray[np.str_]
    embedding: NDArray[np.float32]
    f0: NDArray[np.float32]
    people: NDArray[np.float32]
    phonemes: NDArray[np.str_]
    made_with: NDArray[np.str_]

    def __post_init__(self) -> None:
        voices, sentences = len(self.voices), len(SENTENCES)
        shapes = {
            "voices": (voices,),
            "embedding": (voices, sentences, encoder.SIZE),
            "f0": (voices, sentences),
            "people": (encoder.SIZE,),
            "phonemes": (sentences,),
            "made_with": (),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise UnusableTable(f"the cloning table's {name} has shape {array.shape}, not {shape}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise UnusableTable(f"the cloning table's {name} holds what is not a number")

    @cached_property
    def synthetic(self) -> NDArray[np.float32]:
        """Mean embedding of the stock voices, `(256,)`."""
        mean: NDArray[np.float32] = self.embedding.mean(axis=(0, 1))
        return mean

    @cached_property
    def due_to_sentence(self) -> NDArray[np.float32]:
        """What each sentence adds to the embedding of whoever says it, `(sentences, 256)`."""
        added: NDArray[np.float32] = self.embedding.mean(axis=0) - self.synthetic
        return added

    @cached_property
    def of_voice(self) -> NDArray[np.float32]:
        """Embedding of each voice over all sentences, `(voices, 256)`."""
        return unit(self.embedding.mean(axis=1))

    @cached_property
    def log_f0(self) -> NDArray[np.float64]:
        """Mean log pitch of each voice, `(voices,)`."""
        mean: NDArray[np.float64] = np.log(self.f0.astype(np.float64)).mean(axis=1)
        return mean

    def save(self, path: Path) -> None:
        """Write an npz file of plain arrays, the embeddings in half precision."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(path, **(arrays | {"embedding": self.embedding.astype(np.float16)}))


def read(path: Path) -> Table:
    """A table that `save` wrote.

    Raises:
        UnusableTable: an array is missing, of the wrong shape, or not finite.
    """
    with np.load(path, allow_pickle=False) as stored:
        missing = [field.name for field in fields(Table) if field.name not in stored]
        if missing:
            raise UnusableTable(f"the cloning table lacks {', '.join(missing)}")
        arrays = {field.name: stored[field.name] for field in fields(Table)}
    return Table(**{name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in arrays.items()})


def weights_used() -> str:
    """JSON of the SHA-256 of everything that shapes what the stock voices sound like to the encoder."""
    used = {"kokoro": KOKORO_SHA256, "encoder": encoder.WEIGHTS_SHA256, "voices": voice_hashes()}
    return json.dumps(used, sort_keys=True)


def shipped() -> Table:
    """The project's own table.

    Raises:
        BadWeights: the file is not the one this code was written for.
    """
    return read(packaged_file(__package__, _FILE, SHA256))
