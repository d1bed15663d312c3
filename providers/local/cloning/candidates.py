"""Styles that may sound like a recorded speaker, found in the table without speaking a word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from providers.local.cloning.encoder import unit
from providers.local.cloning.likeness import Likeness
from providers.local.cloning.style_space import DIMENSIONS
from providers.local.cloning.table import Table

_BLEND_SIZES = (3, 5, 8)
_RIDGE = 3.0
_PLAINNESS = 0.03  # what a unit of mean square coordinate costs a predicted style: predictions far out are wrong

_Points = NDArray[np.float64]  # (points, dimensions)


@dataclass(frozen=True)
class Candidate:
    """`origin` says in a word how it was found; `style` are its coordinates in the style space, `(24,)`."""

    origin: str
    style: NDArray[np.float64]


def candidates(table: Table, likeness: Likeness) -> list[Candidate]:
    """The nearest stock voice, blends of the nearest ones, the nearest row of the table, the style that a linear model
    of the table predicts for the recording, and two mixtures of that with blends."""
    stock = _StockVoices.of(table)
    nearest_first = _nearest_first(stock, likeness)
    nearest = nearest_first[0]
    blends = [_blend(stock.pick(nearest_first[:size]), likeness) for size in _BLEND_SIZES]
    row = int(np.argmax(likeness.score(table.sentence_free, table.f0)))
    predicted = _predict(table, likeness, start=stock.style[nearest])
    return [
        Candidate(f"stock voice {stock.name[nearest]}", stock.style[nearest]),
        *(Candidate(f"blend of {size}", blend) for size, blend in zip(_BLEND_SIZES, blends, strict=True)),
        Candidate("table", table.style[row].astype(np.float64)),
        Candidate("predicted", predicted),
        Candidate("predicted and blend of 5", 0.5 * predicted + 0.5 * blends[1]),
        Candidate("predicted and blend of 3", 0.75 * predicted + 0.25 * blends[0]),
    ]


def nearest_stock_voice(table: Table, likeness: Likeness) -> str:
    """The name of the stock voice that sounds most like the recording."""
    stock = _StockVoices.of(table)
    return stock.name[int(_nearest_first(stock, likeness)[0])]


@dataclass(frozen=True)
class _StockVoices:
    name: tuple[str, ...]
    style: NDArray[np.float64]  # (voices, 24)
    embedding: NDArray[np.float32]  # (voices, 256), over all sentences
    f0: NDArray[np.float64]  # (voices,)

    @classmethod
    def of(cls, table: Table) -> _StockVoices:
        rows = [table.voice == name for name in table.stock_names]
        return cls(
            name=table.stock_names,
            style=np.stack([table.style[of][0] for of in rows]).astype(np.float64),
            embedding=unit(np.stack([table.embedding[of].mean(axis=0) for of in rows])),
            f0=np.array([np.exp(np.log(table.f0[of]).mean()) for of in rows], dtype=np.float64),
        )

    def pick(self, indices: NDArray[np.intp]) -> _StockVoices:
        names = tuple(self.name[index] for index in indices)
        return _StockVoices(names, self.style[indices], self.embedding[indices], self.f0[indices])


def _nearest_first(stock: _StockVoices, likeness: Likeness) -> NDArray[np.intp]:
    return np.argsort(-likeness.score(stock.embedding, stock.f0), kind="stable")


def _blend(voices: _StockVoices, likeness: Likeness) -> NDArray[np.float64]:
    """The weighted mean of some stock voices whose mean embedding and mean log pitch are nearest to the speaker."""

    def score(weights: _Points) -> NDArray[np.float64]:
        shares = _shares(weights)
        return likeness.score((shares @ voices.embedding).astype(np.float32), np.exp(shares @ np.log(voices.f0)))

    best = _climb(np.full(len(voices.name), 1.0 / len(voices.name)), score, step=0.15)
    blended: NDArray[np.float64] = _shares(best) @ voices.style
    return blended


def _shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    positive = np.abs(weights)
    shares: NDArray[np.float64] = positive / np.maximum(positive.sum(axis=-1, keepdims=True), 1e-9)
    return shares


def _predict(table: Table, likeness: Likeness, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """The style for which ridge regressions over the table's rows (style -> embedding, style -> log pitch) promise the
    highest score."""
    inputs = _with_bias(table.style.astype(np.float64))
    to_embedding = _ridge(inputs, table.sentence_free.astype(np.float64))
    to_log_f0 = _ridge(inputs, np.log(table.f0.astype(np.float64)))

    def score(styles: _Points) -> NDArray[np.float64]:
        given = _with_bias(styles)
        embeddings = unit((given @ to_embedding).astype(np.float32))
        eccentricity: NDArray[np.float64] = np.square(styles).mean(axis=1)
        return likeness.score(embeddings, np.exp(given @ to_log_f0)) - _PLAINNESS * eccentricity

    return _climb(start, score, step=0.3)


def _with_bias(styles: _Points) -> _Points:
    return np.column_stack([np.ones(len(styles)), styles])


def _ridge(inputs: _Points, targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares with a quadratic penalty on all coefficients but the bias, which is the first input."""
    penalty = _RIDGE * np.diag([0.0] + [1.0] * DIMENSIONS)
    return np.asarray(np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ targets), dtype=np.float64)


def _climb(
    start: NDArray[np.float64], score: Callable[[_Points], NDArray[np.float64]], step: float
) -> NDArray[np.float64]:
    """The best point a seeded random search finds: every round tries 64 points around the best, ever nearer to it."""
    random = np.random.default_rng(0)
    best, best_score = start, float(score(start[None])[0])
    for round_ in range(150):
        size = step * 0.98**round_
        moved = random.random((64, len(start))) < 0.5
        points = best + size * moved * random.standard_normal((64, len(start)))
        scores = score(points)
        leader = int(np.argmax(scores))
        if scores[leader] > best_score:
            best, best_score = points[leader], float(scores[leader])
    return best
