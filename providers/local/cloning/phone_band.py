"""Speech as a telephone passes it on: the one band in which a recording and a synthesis may be compared.

A speaker encoder hears the channel as well as the speaker: phone recordings compared with full-band speech are told
apart by the band first. So everything that is compared has been through here.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from audio.g711 import decode_mulaw, encode_mulaw
from audio.pcm import Pcm
from audio.resample import resample

RATE = 8000
_PASS_BAND_HZ = (300.0, 3400.0)  # the voice band of ITU-T G.712
_HALF_LENGTH = 128  # taps on either side: transitions of about 100 Hz
_PEAK = 0.6


def through_phone(speech: Pcm) -> Pcm:
    """8 kHz, 300–3400 Hz, one G.711 μ-law round trip, peak at -4.4 dBFS. The filter adds no delay."""
    narrow = resample(speech, RATE).samples
    size = 1 << (len(narrow) + 2 * _HALF_LENGTH - 1).bit_length()
    filtered = np.fft.irfft(np.fft.rfft(narrow, size) * np.fft.rfft(_band_pass(), size), size)
    filtered = filtered[_HALF_LENGTH : _HALF_LENGTH + len(narrow)]
    peak = float(np.abs(filtered).max(initial=1e-6))
    return decode_mulaw(encode_mulaw(Pcm((filtered * (_PEAK / peak)).astype(np.float32), RATE)), RATE)


@cache
def _band_pass() -> NDArray[np.float64]:
    """A linear-phase FIR: the difference of two ideal low-passes under a Hamming window."""
    n = np.arange(-_HALF_LENGTH, _HALF_LENGTH + 1)
    low, high = (2.0 * edge / RATE * np.sinc(2.0 * edge / RATE * n) for edge in _PASS_BAND_HZ)
    taps: NDArray[np.float64] = (high - low) * np.hamming(len(n))
    return taps
