"""ONNX models out of packages."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from audio.weights import packaged_file

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@lru_cache(maxsize=8)
def load_model(package: str, path: str, sha256: str, threads: int = 1) -> InferenceSession:
    """A `session` for the model in a file of a package, one per process; any number of threads may run it at once.

    Raises:
        BadWeights: the model is not installed, or is not the expected one.
    """
    return session(packaged_file(package, path, sha256), threads)


def session(model: Path | bytes, threads: int = 1, *, keep_memory: bool = True) -> InferenceSession:
    """Each run keeps to its own thread, unless the model is so large that it is worth more `threads`. Those have the
    priority of the thread that came first. What a run took is kept for the next, unless that is a lot and it is rare.
    """
    from onnxruntime import InferenceSession, SessionOptions  # here, since the rest of the room does without

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = keep_memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # who waits for work leaves the processor
    return InferenceSession(model, options, providers=["CPUExecutionProvider"])
