"""Kokoro-82M (Apache-2.0, https://huggingface.co/hexgrad/Kokoro-82M): phonemes in, speech out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from audio.pcm import Pcm
from audio.weights import BadWeights, MissingWeights
from providers.local.weights import kokoro_model, kokoro_vocabulary, voice_hashes, voices_folder

if TYPE_CHECKING:
    import onnxruntime

RATE = 24_000
"""Hz of all speech that Kokoro makes."""

MAX_TOKENS = 510
"""The longest phoneme string in tokens, without the padding at both ends."""

STYLE_SHAPE = (510, 256)

Style: TypeAlias = NDArray[np.float32]
"""A voice: `STYLE_SHAPE`, one style vector for each possible number of tokens."""


class Kokoro:
    """The model, loaded when it is first needed. All methods may be called from any thread and block it."""

    def __init__(self, models_dir: Path, threads: int) -> None:
        self._models_dir = models_dir
        self._threads = threads
        self._lock = Lock()
        self._loaded: tuple[onnxruntime.InferenceSession, Mapping[str, int]] | None = None
        self._voices: dict[str, Style] = {}

    def load(self) -> None:
        """Read the weights, if that has not been done yet.

        Raises:
            BadWeights: a file is missing or damaged (see `audio.weights`).
        """
        self._model()

    def voice(self, name: str) -> Style:
        """One of the 54 stock voices, for instance `af_heart`.

        Raises:
            KeyError: there is no such voice.
            BadWeights: a file is missing or damaged (see `audio.weights`).
        """
        found = self._voices.get(name)
        if found is None:
            found = self._voices[name] = _read_voice(
                voices_folder(self._models_dir) / f"{name}.bin", voice_hashes()[name]
            )
        return found

    def speak(self, phonemes: str, style: Style, speed: float = 1.0) -> Pcm:
        """Say one piece of at most `MAX_TOKENS` phonemes (see `providers.local.phonemes`) at 24 kHz.

        About 0.3 s of silence come before it and 0.5 s after it, and loud voices exceed -1..1 a little: that is as
        the model says it. The same phonemes in the same style always give the same samples. Symbols that Kokoro does
        not know are left out.

        Raises:
            ValueError: nothing to say, too long, or a style of another shape.
            BadWeights: a file is missing or damaged (see `audio.weights`).
        """
        if style.shape != STYLE_SHAPE:
            raise ValueError(f"a style has the shape {STYLE_SHAPE}, not {style.shape}")
        session, vocabulary = self._model()
        tokens = [vocabulary[symbol] for symbol in phonemes if symbol in vocabulary]
        if not 0 < len(tokens) <= MAX_TOKENS:
            raise ValueError(f"a piece has 1 to {MAX_TOKENS} tokens, not {len(tokens)}")
        # The style vector is chosen by the length of the text, as in kokoro-js 1.2.1 (generate_from_ids).
        vector = style[min(len(tokens), len(style) - 1)]
        outputs = session.run(
            None,
            {
                "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
                "style": vector.reshape(1, -1).astype(np.float32),
                "speed": np.array([speed], dtype=np.float32),
            },
        )
        return Pcm(cast("NDArray[np.float32]", outputs[0]).reshape(-1), RATE)

    def _model(self) -> tuple[onnxruntime.InferenceSession, Mapping[str, int]]:
        with self._lock:
            if self._loaded is None:
                vocabulary = json.loads(kokoro_vocabulary().read_text(encoding="utf-8"))["vocab"]
                self._loaded = _open_session(kokoro_model(self._models_dir), self._threads), vocabulary
            return self._loaded


def _open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime  # of the extra `local`, which may not be installed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait for work by spinning take a third more of the processor, and hold up others who want it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _read_voice(path: Path, sha256: str) -> Style:
    if not path.is_file():
        raise MissingWeights(f"{path} is missing: run `python -m providers.local.fetch` (or `make setup`)")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BadWeights(f"{path} is damaged: delete it and run `python -m providers.local.fetch`")
    return np.frombuffer(content, dtype="<f4").reshape(STYLE_SHAPE)
