"""How near a synthetic voice is to a recorded one, by what a phone lets through."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from providers.local.cloning.encoder import unit
from providers.local.cloning.table import Table

# Both clouds, real and synthetic, lie off the origin and apart from each other. Most of that offset is taken out of
# each; all of it would let voices near a mean point anywhere.
_CENTRED = np.float32(0.8)
_PITCH_WEIGHT = 0.2
_UNHEARD_SEMITONES = 0.5
_OCTAVE = 12.0


class Likeness:
    """Similarity to one recorded speaker."""

    def __init__(self, embedding: NDArray[np.float32], f0: float | None, table: Table) -> None:
        """`embedding` `(256,)` and `f0` (Hz, None if unvoiced) of the recording in the phone band."""
        self.f0 = f0
        self._synthetic = table.synthetic
        self.direction = unit(embedding - _CENTRED * table.people)

    def similarity(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of the recording's and each embedding's (last axis) deviation from its kind's mean, -1..1."""
        return unit(embeddings - _CENTRED * self._synthetic) @ self.direction

    def mispitch(self, f0: NDArray[np.floating]) -> NDArray[np.float64]:
        """0 for pitches (Hz) within half a semitone of the recording's, rising to 1 an octave further; 1 for NaN."""
        if self.f0 is None:
            return np.zeros(np.shape(f0))
        semitones = np.abs(_OCTAVE * np.log2(np.asarray(f0, dtype=np.float64) / self.f0))
        return np.nan_to_num(np.clip((semitones - _UNHEARD_SEMITONES) / _OCTAVE, 0.0, 1.0), nan=1.0)

    def score(self, embeddings: NDArray[np.float32], f0: NDArray[np.floating]) -> NDArray[np.float64]:
        """Similarity less the penalty for the wrong pitch: what a fit maximises."""
        return self.similarity(embeddings) - _PITCH_WEIGHT * self.mispitch(f0)
