"""Mixtures of stock voices that promise to sound like a recorded speaker, found in the table without a word spoken.

What lies between Kokoro's voices speaks cleanly; what lies off them does not. And a blend of several voices is a better
likeness than the single nearest one: the encoder errs about each of them, less about their mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from providers.local.cloning.likeness import Likeness
from providers.local.cloning.table import Table

_ROUNDS = 150
_TRIES = 64
_FIRST_STEP = 0.15
_SHRINKING = 0.98


@dataclass(frozen=True)
class Blend:
    """Stock voices by name, and the share of each; the shares add up to 1."""

    voices: tuple[str, ...]
    shares: NDArray[np.float64]


def nearest_voices(table: Table, likeness: Likeness) -> NDArray[np.intp]:
    """Indices of the stock voices, the most similar first."""
    return np.argsort(-likeness.score(table.of_voice, np.exp(table.log_f0)), kind="stable")


def blend(table: Table, likeness: Likeness, size: int) -> Blend:
    """The mixture of the `size` nearest voices whose mean embedding and mean log pitch score highest.

    A seeded random search: every round tries some points around the best, ever nearer to it.
    """
    chosen = nearest_voices(table, likeness)[:size]
    embeddings, log_f0 = table.of_voice[chosen], table.log_f0[chosen]
    random = np.random.default_rng(0)
    best = np.full(size, 1.0 / size)
    best_score = -np.inf
    for round_ in range(_ROUNDS):
        moved = random.random((_TRIES, size)) < 0.5
        step = _FIRST_STEP * _SHRINKING**round_
        shares = np.abs(best + step * moved * random.standard_normal((_TRIES, size)))
        shares /= shares.sum(axis=1, keepdims=True)
        scores = likeness.score((shares @ embeddings).astype(np.float32), np.exp(shares @ log_f0))
        leader = int(np.argmax(scores))
        if scores[leader] > best_score:
            best, best_score = shares[leader], float(scores[leader])
    return Blend(tuple(table.voices[chosen].tolist()), best)
