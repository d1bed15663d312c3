"""Cloning as the provider offers it: beside speech, on the same few threads, without keeping speech waiting."""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol, TypeVar

from providers.contract import ClonedVoice, CloneRequest
from providers.local.cloning.artefact import to_artefact
from providers.local.cloning.fit import FittedStyle, StyleFitter
from providers.local.cloning.pitch import semitones
from providers.local.kokoro import Kokoro

_Result = TypeVar("_Result")

IMITATION = (
    "This voice imitates the recording: it takes on the pitch and the colour of the voice, and is not a replica of it."
)
_FAR_PITCH = 3.0  # semitones


class RunInThread(Protocol):
    """Runs blocking work on one of the provider's threads, after what waits there already."""

    def __call__(self, work: Callable[[], _Result]) -> Awaitable[_Result]: ...


class StyleCloner:
    """Clones one recording at a time, in steps of about a second: speech asked for meanwhile goes between two steps."""

    def __init__(self, kokoro: Kokoro, threads: int, run: RunInThread) -> None:
        self._kokoro = kokoro
        self._threads = threads
        self._run = run
        self._one_at_a_time = Lock()
        self._fitter: StyleFitter | None = None

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        """Fit a style. Cancelled, it ends after the present step.

        Raises:
            Refused: there is too little speech in the recording.
            MissingWeights, BadWeights: see `audio.weights`.
        """
        async with self._one_at_a_time:
            if self._fitter is None:
                self._fitter = await self._run(self._load)
            fit = await self._run(partial(self._fitter.start, request.recording))
            while not fit.finished:
                await self._run(fit.step)
            fitted = await self._run(fit.result)
        return ClonedVoice(to_artefact(fitted.pack), max(0.0, fitted.similarity), tuple(_notes(fitted)))

    def _load(self) -> StyleFitter:
        return StyleFitter.load(self._kokoro, self._threads)


def _notes(fitted: FittedStyle) -> Iterator[str]:
    yield IMITATION
    if fitted.f0 is None or fitted.recording_f0 is None:
        return
    above = semitones(fitted.f0, fitted.recording_f0)
    if abs(above) > _FAR_PITCH:
        yield f"It speaks {abs(above):.0f} semitones {'higher' if above > 0 else 'lower'} than the recording."
