"""Whisper base (MIT, https://github.com/openai/whisper) by faster-whisper: speech in, text out."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from audio.pcm import Pcm
from audio.resample import resample
from providers.contract import Transcript
from providers.local.weights import whisper_folder

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

_RATE = 16_000


class Whisper:
    """The model, loaded when it is first needed. All methods may be called from any thread and block it."""

    def __init__(self, models_dir: Path, threads: int) -> None:
        self._models_dir = models_dir
        self._threads = threads
        self._lock = Lock()
        self._model: WhisperModel | None = None

    def load(self) -> None:
        """Read the weights, if that has not been done yet.

        Raises:
            BadWeights: a file is missing or damaged (see `audio.weights`).
        """
        self._loaded()

    def transcribe(self, speech: Pcm, language: str | None = None) -> Transcript:
        """What is said, and in which language (ISO 639-1; recognised where it is not given). Silence has no text.

        Raises:
            ValueError: Whisper does not know the language.
            BadWeights: a file is missing or damaged (see `audio.weights`).
        """
        samples = resample(speech, _RATE).samples
        segments, info = self._loaded().transcribe(
            samples,
            language=language,
            beam_size=1,  # as good as 5 on clean and telephone speech, and a fifth quicker
            temperature=0.0,
            condition_on_previous_text=False,  # a mistake must not be repeated to the end
            vad_filter=True,  # in silence, Whisper hears what is not there
        )
        return Transcript(text=" ".join(segment.text.strip() for segment in segments), language=info.language)

    def _loaded(self) -> WhisperModel:
        with self._lock:
            if self._model is None:
                from faster_whisper import WhisperModel  # slow to import: not before it is wanted

                self._model = WhisperModel(
                    str(whisper_folder(self._models_dir)), device="cpu", compute_type="int8", cpu_threads=self._threads
                )
            return self._model
