"""A fitted style as the studio stores it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from providers.contract import Artefact, Refused
from providers.local.kokoro import STYLE_SHAPE, Style

KIND: Final = "kokoro-style-f16"
"""A Kokoro style pack: little-endian float16, row by row, 261120 bytes."""


def to_artefact(pack: NDArray[np.float16]) -> Artefact:
    """What `style_of` reads again."""
    return Artefact(KIND, pack.astype("<f2").tobytes())


def style_of(artefact: Artefact) -> Style:
    """The style that the artefact holds.

    Raises:
        Refused: it is of another kind, or damaged.
    """
    if artefact.kind != KIND:
        raise Refused(f"The local provider cannot speak a voice of the kind {artefact.kind!r}. Clone the voice again.")
    expected = STYLE_SHAPE[0] * STYLE_SHAPE[1] * 2
    if len(artefact.data) != expected:
        raise Refused(f"This voice is damaged: {len(artefact.data)} bytes instead of {expected}. Clone it again.")
    style = np.frombuffer(artefact.data, dtype="<f2").astype(np.float32).reshape(STYLE_SHAPE)
    if not np.isfinite(style).all():
        raise Refused("This voice is damaged: it holds what is not a number. Clone it again.")
    return style
