"""Fitting a Kokoro style to a recorded speaker.

A few styles are found in the table, each says the same sentences, and the one that sounds nearest to the recording
wins. What is compared has passed a telephone. docs/cloning.md says how well this works.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio.pcm import Pcm
from providers.local.cloning.candidates import Candidate, candidates
from providers.local.cloning.encoder import SpeakerEncoder, unit
from providers.local.cloning.likeness import Likeness
from providers.local.cloning.phone_band import through_phone
from providers.local.cloning.pitch import median_f0
from providers.local.cloning.speech import enough_speech
from providers.local.cloning.style_space import StyleSpace
from providers.local.cloning.table import Table, shipped
from providers.local.kokoro import Kokoro

_SAID = (0, 1)  # which of the table's sentences every candidate says
_ECCENTRICITY = 0.01  # what a unit of mean square coordinate costs
_PACE = 0.5  # what a log unit of unusual duration costs: broken speech is far too short or too long
_USUAL_PACE = 0.3  # in log units


@dataclass(frozen=True)
class FittedStyle:
    """Attributes:
    pack: the style, float16 `(510, 256)`.
    similarity: cosine, in the phone band, of what sets the recording apart from the mean of people and what sets the
        fitted voice apart from the mean of synthetic voices: 1 is the same, 0 has nothing in common.
    origin: how the style was found.
    f0: median pitch of the fitted voice in Hz, None if none was measurable.
    recording_f0: the same of the recording.
    """

    pack: NDArray[np.float16]
    similarity: float
    origin: str
    f0: float | None
    recording_f0: float | None


@dataclass(frozen=True)
class _Heard:
    candidate: Candidate
    score: float
    similarity: float
    f0: float | None


class StyleFitter:
    """What every fit needs. One may serve many fits, from any thread."""

    def __init__(self, kokoro: Kokoro, encoder: SpeakerEncoder, space: StyleSpace, table: Table) -> None:
        self.kokoro = kokoro
        self.encoder = encoder
        self.space = space
        self.table = table

    @classmethod
    def load(cls, kokoro: Kokoro, threads: int) -> StyleFitter:
        """With the shipped table, and all stock voices of `kokoro`.

        Raises:
            MissingWeights, BadWeights: see `audio.weights`.
        """
        return cls(kokoro, SpeakerEncoder(threads), StyleSpace.of_stock_voices(kokoro), shipped())

    def start(self, recording: Pcm) -> Fit:
        """A fit to be taken step by step.

        Raises:
            Refused: there is too little speech in the recording.
        """
        return Fit(self, recording)

    def fit(self, recording: Pcm, on_step: Callable[[float], None] = lambda done: None) -> FittedStyle:
        """The style nearest to the recording. `on_step` hears after each candidate what share of the work is done; what
        it raises stops the work.

        Raises:
            Refused: there is too little speech in the recording.
        """
        fit = self.start(recording)
        while not fit.finished:
            fit.step()
            on_step(fit.done)
        return fit.result()


class Fit:
    """One speaker's fit. Made of steps of about two seconds each, so that other work may go between them."""

    def __init__(self, fitter: StyleFitter, recording: Pcm) -> None:
        phone_speech = through_phone(enough_speech(recording))
        self._fitter = fitter
        self.likeness = Likeness(fitter.encoder.embed(phone_speech), median_f0(phone_speech), fitter.table)
        self._candidates: Sequence[Candidate] = candidates(fitter.table, self.likeness)
        self._heard: list[_Heard] = []

    @property
    def done(self) -> float:
        """The share of the work that is done, 0..1."""
        return len(self._heard) / len(self._candidates)

    @property
    def finished(self) -> bool:
        return len(self._heard) == len(self._candidates)

    def step(self) -> None:
        """Let the next candidate speak, and listen."""
        self._heard.append(self._listen_to(self._candidates[len(self._heard)]))

    def result(self) -> FittedStyle:
        """The best of the candidates heard so far.

        Raises:
            ValueError: before the first step.
        """
        best = max(self._heard, key=lambda heard: heard.score)
        return FittedStyle(
            pack=self._fitter.space.pack(best.candidate.style).astype(np.float16),
            similarity=best.similarity,
            origin=best.candidate.origin,
            f0=best.f0,
            recording_f0=self.likeness.f0,
        )

    def _listen_to(self, candidate: Candidate) -> _Heard:
        table = self._fitter.table
        pack = self._fitter.space.pack(candidate.style)
        spoken = [self._fitter.kokoro.speak(str(table.phonemes[sentence]), pack) for sentence in _SAID]
        phoned = [through_phone(speech) for speech in spoken]
        embedding = unit(np.mean([self._fitter.encoder.embed(speech) for speech in phoned], axis=0))
        f0 = _geometric_mean([pitch for speech in phoned if (pitch := median_f0(speech)) is not None])
        pace = np.log([speech.seconds for speech in spoken] / table.usual_seconds[list(_SAID)])
        oddity = np.maximum(np.abs(pace) - _USUAL_PACE, 0.0).mean()
        score = (
            self.likeness.score(embedding, np.array(np.nan if f0 is None else f0))
            - _ECCENTRICITY * np.square(candidate.style).mean()
            - _PACE * oddity
        )
        return _Heard(candidate, float(score), float(self.likeness.similarity(embedding)), f0)


def _geometric_mean(values: Sequence[float]) -> float | None:
    return float(np.exp(np.mean(np.log(values)))) if values else None
