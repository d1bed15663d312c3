"""Sample-rate conversion: of a whole recording, and of a live path piece by piece."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from typing import Final, cast

import numpy as np
import soxr
from numpy.typing import NDArray

from audio.pcm import Pcm

# The live filter, as parts of the lower of the two rates: with 8 kHz, what a telephone carries (up to 3400 Hz) passes,
# and nothing that is folded back lands there (4600 Hz would become 3400 Hz).
_PASS_TO: Final = 0.425
_STOP_FROM: Final = 0.575
_STOP_DB: Final = 60.0  # μ-law's own noise is 38 dB below the speech

_MAX_RATIO_TERM: Final = 640  # 44100 : 48000 is 147 : 160, 11025 : 48000 is 147 : 640


def resample(pcm: Pcm, rate: int) -> Pcm:
    """The whole recording at `rate` Hz by soxr's high-quality linear-phase filter; same length in seconds."""
    if pcm.rate == rate:
        return pcm
    return Pcm(cast(NDArray[np.float32], soxr.resample(pcm.samples, pcm.rate, rate, quality="HQ")), rate)


class StreamResampler:
    """Conversion of a stream that comes in pieces of any length, with little delay.

    soxr does not serve here: its LQ and better hold back 78 to 290 ms, and its QQ, which holds back nothing, has no
    filter: everything above half the lower rate is folded back into the speech. This is a short windowed-sinc filter
    (Kaiser, 60 dB), in polyphase form, by one matrix product a piece. It holds back half the filter (1.7 ms next to
    8 kHz) and what is left of the ratio's period (1/8000 s between multiples of 8 kHz; 10 ms from 44.1 to 8 kHz).

    The output lies in time where the input lay. One stream at a time: not thread-safe.

    Raises:
        ValueError: a rate that is not positive, or rates without a small common ratio (44101 and 8000 Hz).
    """

    def __init__(self, in_rate: int, out_rate: int) -> None:
        self.in_rate = in_rate
        self.out_rate = out_rate
        if in_rate <= 0 or out_rate <= 0:
            raise ValueError(f"sample rates must be positive, not {in_rate} and {out_rate} Hz")
        divisor = gcd(in_rate, out_rate)
        self._consumed, self._produced = in_rate // divisor, out_rate // divisor  # samples per period of the ratio
        if max(self._consumed, self._produced) > _MAX_RATIO_TERM:
            raise ValueError(f"a live path cannot go from {in_rate} to {out_rate} Hz; use a standard sample rate")
        self._phases = _polyphase(self._consumed, self._produced)
        self._reset()

    def _reset(self) -> None:
        self._received = 0
        self._sent = 0
        self._waiting = np.zeros(_half_width(self._consumed, self._produced), dtype=np.float32)

    def process(self, pcm: Pcm) -> Pcm:
        """What can be sent now that this piece has come.

        Raises:
            ValueError: the piece is not at the stream's input rate.
        """
        if pcm.rate != self.in_rate:
            raise ValueError(f"a piece at {pcm.rate} Hz came into a stream of {self.in_rate} Hz")
        if self.in_rate == self.out_rate:
            return pcm
        self._received += len(pcm)
        converted = self._convert(pcm.samples)
        self._sent += len(converted)
        return Pcm(converted, self.out_rate)

    def flush(self) -> Pcm:
        """The rest, so that the whole is as long as it was, to a sample; what comes next begins a new stream."""
        rest = round(self._received * self._produced / self._consumed) - self._sent
        padding = np.zeros(self._consumed + _half_width(self._consumed, self._produced), dtype=np.float32)
        converted = self._convert(padding)[:rest]
        self._reset()
        return Pcm(converted, self.out_rate)

    def _convert(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        waiting = np.concatenate((self._waiting, samples))
        width = len(self._phases)
        periods = max(0, (len(waiting) - width) // self._consumed + 1)
        self._waiting = waiting[periods * self._consumed :]
        # Overlapping rows, one a period, without a copy; numpy checks that they lie within the buffer.
        strides = (self._consumed * waiting.itemsize, waiting.itemsize)
        rows = np.ndarray((periods, width), dtype=np.float32, buffer=waiting, strides=strides)
        return (rows @ self._phases).reshape(-1)


def _half_width(consumed: int, produced: int) -> int:
    """Half the filter's length in input samples.

    Source: J. F. Kaiser's estimate, length = (attenuation - 7.95) / (14.36 × transition width / sample rate).
    """
    transition = (_STOP_FROM - _PASS_TO) * min(1.0, produced / consumed)
    return ceil((_STOP_DB - 7.95) / (14.36 * transition) / 2)


@lru_cache(maxsize=32)
def _polyphase(consumed: int, produced: int) -> NDArray[np.float32]:
    """Shape (input samples of a period and its surroundings, output samples of a period)."""
    half = _half_width(consumed, produced)
    cutoff = (_STOP_FROM + _PASS_TO) / 2 * min(1.0, produced / consumed)  # in cycles per input sample
    inputs = np.arange(-half, consumed + half)
    outputs = np.arange(produced) * consumed / produced
    distance = outputs[None, :] - inputs[:, None]
    beta = 0.1102 * (_STOP_DB - 8.7)  # Kaiser's rule for more than 50 dB
    window = np.i0(beta * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None))) * (np.abs(distance) <= half)
    phases = np.sinc(2 * cutoff * distance) * window
    phases /= phases.sum(axis=0)  # a constant stays what it is
    phases.flags.writeable = False
    return np.asarray(phases, dtype=np.float32)
