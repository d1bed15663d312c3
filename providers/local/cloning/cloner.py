"""Cloning as the provider offers it: beside speech, on the same few threads, without keeping speech waiting."""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol, TypeVar

from audio.pcm import Pcm
from providers.contract import AtCapacity, ClonedVoice, CloneRequest
from providers.local.cloning.artefact import to_artefact
from providers.local.cloning.fit import FittedStyle, StyleFitter
from providers.local.cloning.pitch import semitones
from providers.local.kokoro import Kokoro

_Result = TypeVar("_Result")

IMITATION = (
    "This voice imitates the recording: it takes on the pitch and the colour of the voice, and is not a replica of it."
)
PLACES = 8
"""How many clones may be asked for at the same time; they are made one after the other."""

_RETRY_AFTER = 30.0  # s
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
        self._asked_for = 0
        self._fitter: StyleFitter | None = None

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        """Fit a style. Cancelled, it ends after the present step.

        Raises:
            Refused: there is too little speech in the recording.
            AtCapacity: too many clones are waiting already.
            MissingWeights, BadWeights: see `audio.weights`.
        """
        if self._asked_for == PLACES:
            raise AtCapacity("Several voices are being cloned on this machine. Try again in a minute.", _RETRY_AFTER)
        self._asked_for += 1
        try:
            fitted = await self._fit(request.recording)
        finally:
            self._asked_for -= 1
        return ClonedVoice(to_artefact(fitted.pack), max(0.0, fitted.similarity), tuple(_notes(fitted)))

    async def _fit(self, recording: Pcm) -> FittedStyle:
        async with self._one_at_a_time:
            if self._fitter is None:
                self._fitter = await self._run(self._load)
            fit = await self._run(partial(self._fitter.start, recording))
            while not fit.finished:
                await self._run(fit.step)
            return await self._run(fit.result)

    def _load(self) -> StyleFitter:
        return StyleFitter.load(self._kokoro, self._threads)


def _notes(fitted: FittedStyle) -> Iterator[str]:
    yield IMITATION
    if fitted.f0 is None or fitted.recording_f0 is None:
        return
    above = semitones(fitted.f0, fitted.recording_f0)
    if abs(above) > _FAR_PITCH:
        yield f"It speaks {abs(above):.0f} semitones {'higher' if above > 0 else 'lower'} than the recording."
