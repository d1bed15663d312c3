"""The styles that Kokoro can be given, as a space of few dimensions.

Kokoro takes a voice as a style pack of shape `(510, 256)`: one style for each length of the text in tokens. The stock
voices span a small part of that space; what lies between and around them still speaks cleanly, and what lies off it
does not. So styles are sought among the principal components of the stock voices.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from providers.local.kokoro import STYLE_SHAPE, Kokoro
from providers.local.weights import voice_hashes

DIMENSIONS = 24


class StyleSpace:
    """Principal components of style packs. Coordinates are scaled so that the stock voices have unit variance."""

    def __init__(self, packs: Mapping[str, NDArray[np.float32]]) -> None:
        """Raises ValueError for packs of another shape, or too few of them to span the space."""
        if len(packs) <= DIMENSIONS:
            raise ValueError(f"{DIMENSIONS} dimensions need more than {len(packs)} stock voices")
        if any(pack.shape != STYLE_SHAPE for pack in packs.values()):
            raise ValueError(f"a style pack has the shape {STYLE_SHAPE}")
        self.names = tuple(sorted(packs))
        stacked = np.stack([packs[name].astype(np.float32).reshape(-1) for name in self.names])
        self._mean = stacked.mean(axis=0)
        self._deviations = stacked - self._mean
        # The eigenvectors of the small Gram matrix are the voices' scores on the components.
        _, vectors = np.linalg.eigh(self._deviations.astype(np.float64) @ self._deviations.T.astype(np.float64))
        scores = vectors[:, ::-1][:, :DIMENSIONS]
        strongest = np.abs(scores).argmax(axis=0)
        scores = scores * np.sign(scores[strongest, np.arange(DIMENSIONS)])  # eigh leaves the signs to chance
        self._scores = scores
        self.coordinates: NDArray[np.float64] = scores * np.sqrt(len(self.names))  # of the stock voices, (voices, 24)

    @classmethod
    def of_stock_voices(cls, kokoro: Kokoro) -> StyleSpace:
        """Of all 54 voices.

        Raises:
            MissingWeights, BadWeights: see `audio.weights`.
        """
        return cls({name: kokoro.voice(name) for name in voice_hashes()})

    def pack(self, coordinates: NDArray[np.float64]) -> NDArray[np.float32]:
        """The style pack at a point `(24,)` of the space: a weighted sum of the stock voices' deviations."""
        weights = (self._scores @ coordinates / np.sqrt(len(self.names))).astype(np.float32)
        pack: NDArray[np.float32] = self._mean + weights @ self._deviations
        return pack.reshape(STYLE_SHAPE)
