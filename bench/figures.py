"""What a benchmark prints: figures by name, each beside its goal where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`good` says whether the goal is met; None where there is none."""

    name: str
    value: str
    goal: str = ""
    good: bool | None = None


def percentile(values: Sequence[float], percent: float) -> float:
    """By the nearest rank: the smallest value that `percent` of all do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def at_most(name: str, value: float, limit: float, unit: str) -> Figure:
    return Figure(name, f"{value:.3g} {unit}", f"≤ {limit:g} {unit}", value <= limit)
