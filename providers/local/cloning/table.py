"""What was measured beforehand: how points of the style space sound to the speaker encoder.

The table saves each clone hundreds of syntheses. It was made by `python -m providers.local.cloning.make_table`; it
holds numbers only, no one's speech.
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
from providers.local.cloning.style_space import DIMENSIONS
from providers.local.weights import KOKORO_SHA256, voice_hashes

# What the styles were heard to say: many sounds in little time.
SENTENCES = (
    "Please leave a message after the tone, and we will call you back.",
    "She had your dark suit in greasy wash water all year.",
    "The quick brown fox jumps over the lazy dog by the river.",
)

SHA256 = "b87c09f13e4e99bdf72e21465c4b14ffee36c20cc0314215c760a47df033c227"
_FILE = "table.npz"


class UnusableTable(Exception):
    """The table's arrays do not fit each other or this code; the message says which."""


@dataclass(frozen=True)
class Table:
    """One row per style and sentence, everything in the phone band.

    Attributes:
        voice: name of the stock voice whose style it is, "" for a random style; `(rows,)`
        style: its coordinates in the style space; `(rows, 24)`
        sentence: which of `SENTENCES` it says; `(rows,)`
        embedding: unit vectors of the speaker encoder; `(rows, 256)`
        f0: median fundamental frequency, Hz; `(rows,)`
        seconds: how long it took to say; `(rows,)`
        people: mean embedding of real people; `(256,)`
        phonemes: the sentences as Kokoro was given them, so that candidates say the very same; `(sentences,)`
        made_with: JSON of the SHA-256 of the weights that the table holds for, see `weights_used`; `()`
    """

    voice: NDArray[np.str_]
    style: NDArray[np.float32]
    sentence: NDArray[np.int8]
    embedding: NDArray[np.float32]
    f0: NDArray[np.float32]
    seconds: NDArray[np.float32]
    people: NDArray[np.float32]
    phonemes: NDArray[np.str_]
    made_with: NDArray[np.str_]

    def __post_init__(self) -> None:
        rows = len(self.voice)
        shapes = {
            "voice": (rows,),
            "style": (rows, DIMENSIONS),
            "sentence": (rows,),
            "embedding": (rows, encoder.SIZE),
            "f0": (rows,),
            "seconds": (rows,),
            "people": (encoder.SIZE,),
            "phonemes": (len(SENTENCES),),
            "made_with": (),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise UnusableTable(f"the cloning table's {name} has shape {array.shape}, not {shape}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise UnusableTable(f"the cloning table's {name} holds what is not a number")

    @cached_property
    def stock_names(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.voice.tolist()) - {""}))

    @cached_property
    def of_sentence(self) -> NDArray[np.float32]:
        """Mean embedding of the stock voices saying each sentence, `(sentences, 256)`."""
        stock = self.voice != ""
        return np.stack([self.embedding[stock & (self.sentence == s)].mean(axis=0) for s in range(len(SENTENCES))])

    @cached_property
    def synthetic(self) -> NDArray[np.float32]:
        """Mean embedding of the stock voices, `(256,)`."""
        mean: NDArray[np.float32] = self.of_sentence.mean(axis=0)
        return mean

    @cached_property
    def due_to_sentence(self) -> NDArray[np.float32]:
        """What each sentence adds to the embedding of whoever says it, `(sentences, 256)`."""
        return self.of_sentence - self.synthetic

    @cached_property
    def sentence_free(self) -> NDArray[np.float32]:
        """The rows' embeddings without what is due to the sentence, `(rows, 256)`."""
        without: NDArray[np.float32] = self.embedding - self.due_to_sentence[self.sentence]
        return without

    @cached_property
    def usual_seconds(self) -> NDArray[np.float32]:
        """How long the stock voices take for each sentence, `(sentences,)`."""
        stock = self.voice != ""
        return np.array(
            [np.median(self.seconds[stock & (self.sentence == s)]) for s in range(len(SENTENCES))], dtype=np.float32
        )

    def save(self, path: Path) -> None:
        """Write an npz file of plain arrays."""
        half = {"style", "embedding"}
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(path, **{n: a.astype(np.float16) if n in half else a for n, a in arrays.items()})


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
    return Table(
        **{name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    )


def weights_used() -> str:
    """JSON of the SHA-256 of everything that shapes what the table's styles sound like to the encoder."""
    used = {"kokoro": KOKORO_SHA256, "encoder": encoder.WEIGHTS_SHA256, "voices": voice_hashes()}
    return json.dumps(used, sort_keys=True)


def shipped() -> Table:
    """The project's own table.

    Raises:
        BadWeights: the file is not the one this code was written for.
    """
    return read(packaged_file(__package__, _FILE, SHA256))
