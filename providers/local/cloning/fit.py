"""Fitting a Kokoro style to a recorded speaker.

A few styles are found in the table, each says the same sentences, and the one that sounds nearest to the recording
wins. What is compared has passed a telephone. docs/cloning.md says how well this works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from audio.pcm import Pcm
from providers.local.cloning.candidates import Candidate, candidates
from providers.local.cloning.encoder import SpeakerEncoder
from providers.local.cloning.likeness import Likeness
from providers.local.cloning.phone_band import through_phone
from providers.local.cloning.pitch import median_f0
from providers.local.cloning.speech import enough_speech
from providers.local.cloning.style_space import StyleSpace
from providers.local.cloning.table import Table, shipped
from providers.local.kokoro import Kokoro

# Which of the table's sentences every candidate says, and which the finalists say as well.
_FIRST = 0
_LATER = (1,)
_FINALISTS = 4
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
class StyleFitter:
    """What every fit needs. One may serve many fits, from any thread."""

    kokoro: Kokoro
    encoder: SpeakerEncoder
    space: StyleSpace
    table: Table

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
        """The style nearest to the recording. `on_step` hears after each step what share of the work is done; what it
        raises stops the work.

        Raises:
            Refused: there is too little speech in the recording.
        """
        fit = self.start(recording)
        while not fit.finished:
            fit.step()
            on_step(fit.done)
        return fit.result()


class Fit:
    """One speaker's fit, made of steps of about a second each, so that other work may go between them."""

    def __init__(self, fitter: StyleFitter, recording: Pcm) -> None:
        phone_speech = through_phone(enough_speech(recording))
        self._fitter = fitter
        self.likeness = Likeness(fitter.encoder.embed(phone_speech), median_f0(phone_speech), fitter.table)
        self._auditions = [_Audition(candidate) for candidate in candidates(fitter.table, self.likeness)]
        self._steps = len(self._auditions) + _FINALISTS * len(_LATER)
        self._taken = 0
        self._work = self._audition()

    @property
    def done(self) -> float:
        """The share of the work that is done, 0..1."""
        return self._taken / self._steps

    @property
    def finished(self) -> bool:
        return self._taken == self._steps

    def step(self) -> None:
        """Let one candidate say one sentence, and listen."""
        next(self._work)
        self._taken += 1

    def result(self) -> FittedStyle:
        """The best of the candidates that said most.

        Raises:
            ValueError: before the first step.
        """
        most = max(len(audition.heard) for audition in self._auditions)
        if not most:
            raise ValueError("no candidate has spoken yet")
        best = max((audition for audition in self._auditions if len(audition.heard) == most), key=self._score)
        return FittedStyle(
            pack=self._fitter.space.pack(best.candidate.style).astype(np.float16),
            similarity=float(self.likeness.similarity(best.embedding)),
            origin=best.candidate.origin,
            f0=best.f0,
            recording_f0=self.likeness.f0,
        )

    def _audition(self) -> Iterator[None]:
        for audition in self._auditions:
            self._listen(audition, _FIRST)
            yield
        finalists = sorted(self._auditions, key=self._score, reverse=True)[:_FINALISTS]
        for sentence in _LATER:
            for audition in finalists:
                self._listen(audition, sentence)
                yield

    def _listen(self, audition: _Audition, sentence: int) -> None:
        table = self._fitter.table
        spoken = self._fitter.kokoro.speak(
            str(table.phonemes[sentence]), self._fitter.space.pack(audition.candidate.style)
        )
        phoned = through_phone(spoken)
        audition.heard.append(
            _Heard(
                embedding=self._fitter.encoder.embed(phoned) - table.due_to_sentence[sentence],
                f0=median_f0(phoned),
                pace=float(np.log(spoken.seconds / table.usual_seconds[sentence])),
            )
        )

    def _score(self, audition: _Audition) -> float:
        f0 = np.array(np.nan if audition.f0 is None else audition.f0)
        oddity = np.mean([max(abs(heard.pace) - _USUAL_PACE, 0.0) for heard in audition.heard])
        return float(
            self.likeness.score(audition.embedding, f0)
            - _ECCENTRICITY * np.square(audition.candidate.style).mean()
            - _PACE * oddity
        )


@dataclass(frozen=True)
class _Heard:
    """One sentence of one candidate."""

    embedding: NDArray[np.float32]  # without what is due to the sentence
    f0: float | None
    pace: float  # log of the duration relative to the stock voices'


@dataclass(frozen=True)
class _Audition:
    candidate: Candidate
    heard: list[_Heard] = field(default_factory=list)

    @property
    def embedding(self) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = np.mean([heard.embedding for heard in self.heard], axis=0)
        return mean

    @property
    def f0(self) -> float | None:
        pitches = [heard.f0 for heard in self.heard if heard.f0 is not None]
        return float(np.exp(np.mean(np.log(pitches)))) if pitches else None
