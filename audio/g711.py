"""G.711 μ-law: one byte a sample, the sound of the telephone network.

Source: ITU-T Recommendation G.711 (11/88), table 2, as tables over all 16-bit samples. The Recommendation speaks of
14-bit magnitudes; 16-bit samples carry two bits more, which fall away towards zero, alike for both signs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audio.pcm import Pcm

_BIAS = 33  # makes every segment begin at a power of two
_LARGEST = 8191  # the end of the last segment, bias included


def _expansion() -> NDArray[np.float32]:
    """Code 0..255 -> sample -1..1."""
    inverted = ~np.arange(256, dtype=np.uint8)  # the line carries every bit inverted
    segment = (inverted >> 4 & 7).astype(np.int32)
    step = (inverted & 15).astype(np.int32)
    magnitude = ((2 * step + _BIAS) << segment) - _BIAS
    return np.asarray(np.where(inverted & 0x80, -magnitude, magnitude) / 8192, dtype=np.float32)


def _compression() -> NDArray[np.uint8]:
    """Sample as an unsigned 16-bit index (two's complement) -> code 0..255."""
    sample = np.arange(65536, dtype=np.uint16).astype(np.int16).astype(np.int32)
    biased = np.minimum((np.abs(sample) >> 2) + _BIAS, _LARGEST)
    segment = np.log2(biased).astype(np.int32) - 5
    step = (biased >> (segment + 1)) & 15
    sign = np.where(sample < 0, 0x80, 0)
    return np.asarray(~(sign | segment << 4 | step) & 0xFF, dtype=np.uint8)


_EXPANDED = _expansion()
_COMPRESSED = _compression()


def encode_mulaw(pcm: Pcm) -> bytes:
    """One byte a sample, at the rate that `pcm` has (resample to 8000 Hz first); what lies outside -1..1 is clipped."""
    sample = np.round(np.clip(pcm.samples * 32768.0, -32768.0, 32767.0)).astype(np.int16)
    codes: NDArray[np.uint8] = _COMPRESSED[sample.view(np.uint16)]
    return codes.tobytes()


def decode_mulaw(data: bytes, rate: int = 8000) -> Pcm:
    """Every byte is a sample; `rate` in Hz."""
    return Pcm(_EXPANDED[np.frombuffer(data, dtype=np.uint8)], rate)
