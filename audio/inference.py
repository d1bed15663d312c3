"""ONNX models out of packages."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from audio.weights import packaged_file

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@lru_cache(maxsize=8)
def load_model(package: str, path: str, sha256: str) -> InferenceSession:
    """A session for the model, one per process; any number of threads may run it at once.

    Each run keeps to its own thread: callers that work on several recordings at once bring theirs.

    Raises:
        BadWeights: the model is not installed, or is not the expected one.
    """
    model = packaged_file(package, path, sha256)
    from onnxruntime import InferenceSession, SessionOptions  # here, since the rest of the room does without

    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return InferenceSession(model, options, providers=["CPUExecutionProvider"])
