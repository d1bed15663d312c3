"""The one value that sound is passed around as."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Pcm:
    """Mono sound: float32 samples of shape `(n,)`, nominally -1..1, and their sample rate in Hz.

    Raises:
        ValueError: for another shape, another type, or a rate that is not positive.
    """

    samples: NDArray[np.float32]
    rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != np.float32:
            raise ValueError(f"samples must be float32 of shape (n,), not {self.samples.dtype} {self.samples.shape}")
        if self.rate <= 0:
            raise ValueError(f"the sample rate must be positive, not {self.rate} Hz")

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @classmethod
    def from_int16(cls, data: bytes, rate: int) -> Pcm:
        """From signed 16-bit little-endian samples.

        Raises:
            ValueError: if `data` ends in the middle of a sample.
        """
        return cls(np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768.0, rate)

    def to_int16(self) -> bytes:
        """As signed 16-bit little-endian samples; what lies outside -1..1 is clipped. Undoes `from_int16` exactly."""
        scaled = np.clip(np.round(self.samples * 32768.0), -32768.0, 32767.0)
        return scaled.astype("<i2").tobytes()

    @classmethod
    def silence(cls, seconds: float, rate: int) -> Pcm:
        return cls(np.zeros(round(seconds * rate), dtype=np.float32), rate)

    @classmethod
    def join(cls, pieces: Iterable[Pcm]) -> Pcm:
        """One after the other.

        Raises:
            ValueError: if there are no pieces, or their rates differ.
        """
        found = list(pieces)
        if len({piece.rate for piece in found}) != 1:
            raise ValueError("pieces to join must exist and have one sample rate")
        return cls(np.concatenate([piece.samples for piece in found]), found[0].rate)

    def cut(self, start: float, end: float) -> Pcm:
        """The part between two times in seconds."""
        return Pcm(self.samples[max(0, round(start * self.rate)) : max(0, round(end * self.rate))], self.rate)
