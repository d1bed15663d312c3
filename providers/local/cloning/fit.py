"""Fitting a Kokoro style to a recorded speaker.

Two blends of stock voices are found in the table, each says the same sentences, and the one that sounds nearer to the
recording wins. What is compared has passed a telephone. docs/cloning.md says how well this works, and why it is not
searched longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from audio.pcm import Pcm
from providers.local.cloning.blends import Blend, blend
from providers.local.cloning.encoder import SpeakerEncoder
from providers.local.cloning.likeness import Likeness
from providers.local.cloning.phone_band import through_phone
from providers.local.cloning.pitch import median_f0
from providers.local.cloning.speech import enough_speech
from providers.local.cloning.table import Table, shipped
from providers.local.kokoro import Kokoro, Style

_BLEND_SIZES = (5, 8)
_SENTENCES = (0, 1)  # of the table


@dataclass(frozen=True)
class FittedStyle:
    """Attributes:
    pack: the style, float16 `(510, 256)`.
    similarity: cosine, in the phone band, of what sets the recording apart from the mean of people and what sets the
        fitted voice apart from the mean of synthetic voices: 1 is the same, 0 has nothing in common.
    f0: median pitch of the fitted voice in Hz, None if none was measurable.
    recording_f0: the same of the recording.
    """

    pack: NDArray[np.float16]
    similarity: float
    f0: float | None
    recording_f0: float | None


@dataclass(frozen=True)
class StyleFitter:
    """What every fit needs. One may serve many fits, from any thread."""

    kokoro: Kokoro
    encoder: SpeakerEncoder
    table: Table

    @classmethod
    def load(cls, kokoro: Kokoro, threads: int) -> StyleFitter:
        """With the shipped table.

        Raises:
            MissingWeights, BadWeights: see `audio.weights`.
        """
        return cls(kokoro, SpeakerEncoder(threads), shipped())

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

    def mix(self, blended: Blend) -> Style:
        """The blend as a style."""
        voices = np.stack([self.kokoro.voice(voice) for voice in blended.voices])
        style: Style = np.tensordot(blended.shares, voices, axes=1).astype(np.float32)
        return style


class Fit:
    """One speaker's fit, made of steps of about a second each, so that other work may go between them."""

    def __init__(self, fitter: StyleFitter, recording: Pcm) -> None:
        phone_speech = through_phone(enough_speech(recording))
        self._fitter = fitter
        self.likeness = Likeness(fitter.encoder.embed(phone_speech), median_f0(phone_speech), fitter.table)
        styles = [fitter.mix(blend(fitter.table, self.likeness, size)) for size in _BLEND_SIZES]
        self._candidates = [_Candidate(style) for style in styles]
        self._steps = list(product(self._candidates, _SENTENCES))
        self._taken = 0

    @property
    def done(self) -> float:
        """The share of the work that is done, 0..1."""
        return self._taken / len(self._steps)

    @property
    def finished(self) -> bool:
        return self._taken == len(self._steps)

    def step(self) -> None:
        """Let one candidate say one sentence, and listen."""
        candidate, sentence = self._steps[self._taken]
        table = self._fitter.table
        phoned = through_phone(self._fitter.kokoro.speak(str(table.phonemes[sentence]), candidate.style))
        candidate.embeddings.append(self._fitter.encoder.embed(phoned) - table.due_to_sentence[sentence])
        candidate.pitches.append(median_f0(phoned) or np.nan)
        self._taken += 1

    def result(self) -> FittedStyle:
        """The better of the candidates that have spoken.

        Raises:
            ValueError: before the first step.
        """
        heard = [candidate for candidate in self._candidates if candidate.embeddings]
        if not heard:
            raise ValueError("no candidate has spoken yet")
        best = max(heard, key=lambda candidate: float(self.likeness.score(candidate.embedding, candidate.f0)))
        return FittedStyle(
            pack=best.style.astype(np.float16),
            similarity=float(self.likeness.similarity(best.embedding)),
            f0=float(best.f0) if np.isfinite(best.f0) else None,
            recording_f0=self.likeness.f0,
        )


@dataclass(frozen=True)
class _Candidate:
    """A style and what was heard of it: embeddings without what is due to the sentence, pitches in Hz or NaN."""

    style: Style
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)
    pitches: list[float] = field(default_factory=list)

    @property
    def embedding(self) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = np.mean(self.embeddings, axis=0)
        return mean

    @property
    def f0(self) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.exp(np.mean(np.log(self.pitches)))
        return mean
