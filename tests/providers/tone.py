"""A real provider that needs no models: a voice is a pitch, and speech is a tone per word.

Quick and exact, so tests of the rooms above can hear whether the right voice spoke, hold the work at any point
(`Gate`), and make it fail.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeAlias

import numpy as np

from audio.pcm import Pcm
from providers.contract import (
    Artefact,
    ClonedVoice,
    CloneRequest,
    Health,
    ProviderError,
    Quota,
    Refused,
    SpeechRequest,
    VoiceInfo,
)
from providers.hookspecs import Register, hookimpl

RATE: Final = 24_000
WORD_SECONDS: Final = 0.1
ARTEFACT_KIND: Final = "tone-pitch"
PITCHES: Final = {"low": 110.0, "high": 440.0}

_Place: TypeAlias = tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]


class Gate:
    """Where work waits until a test lets it pass. Open from the start; may be used from several event loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passes: int | None = None  # None: open
        self._waiting: list[_Place] = []
        self._watching: list[_Place] = []

    def hold(self) -> None:
        """Whoever comes from now on waits."""
        with self._lock:
            self._passes = 0

    def let(self, count: int = 1) -> None:
        """Let `count` pass, those who wait first."""
        with self._lock:
            if self._passes is not None:
                self._passes += count
            _wake(self._waiting)

    def open(self) -> None:
        """Let everybody pass from now on."""
        with self._lock:
            self._passes = None
            _wake(self._waiting)

    async def reached(self) -> None:
        """Wait until somebody waits at the gate."""
        with self._lock:
            if self._waiting:
                return
            place = _new_place()
            self._watching.append(place)
        await self._wait(place, self._watching)

    async def passage(self) -> None:
        """Pass, or wait for it."""
        while not self._try_to_pass():
            with self._lock:
                if self._passes != 0:
                    continue
                place = _new_place()
                self._waiting.append(place)
                _wake(self._watching)
            await self._wait(place, self._waiting)

    async def _wait(self, place: _Place, among: list[_Place]) -> None:
        try:
            await place[1]
        finally:
            with self._lock:
                if place in among:
                    among.remove(place)

    def _try_to_pass(self) -> bool:
        with self._lock:
            if self._passes is None:
                return True
            if self._passes == 0:
                return False
            self._passes -= 1
            return True


def _new_place() -> _Place:
    loop = asyncio.get_running_loop()
    return loop, loop.create_future()


def _wake(places: list[_Place]) -> None:
    for loop, future in places:
        loop.call_soon_threadsafe(_settle, future)
    places.clear()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class ToneProvider:
    """Clones the pitch of a recording; speaks one tone of 0.1 s per word, a word at a time.

    Attributes:
        cloning, speaking, deleting: gates before a clone is made, before each word, and after a voice was deleted.
        failing: raised by the next clone and before the next word, while it is set.
        unavailable: the reason given by `health`, or None.
        quota: what `clone_quota` answers.
        cloned, spoken, deleted, discarded: what was asked for, in order.
    """

    minimum_speech = 1.0
    recipient: str | None = None
    speech_options = frozenset({"speed"})

    def __init__(self, name: str = "tone") -> None:
        self.name = name
        self.title = "Test tones"
        self.version = "1.0"
        self.cloning = Gate()
        self.speaking = Gate()
        self.deleting = Gate()
        self.failing: ProviderError | None = None
        self.unavailable: str | None = None
        self.quota: Quota | None = None
        self.cloned: list[CloneRequest] = []
        self.spoken: list[SpeechRequest] = []
        self.deleted: list[Artefact] = []
        self.discarded: list[str] = []

    @hookimpl
    def register_providers(self, register: Register) -> None:
        register(self)

    async def health(self) -> Health:
        return Health(self.unavailable is None, self.unavailable)

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None:
        self.cloning.open()
        self.speaking.open()
        self.deleting.open()

    async def clone_quota(self) -> Quota | None:
        return self.quota

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        self.cloned.append(request)
        await self.cloning.passage()
        await request.permit()
        self._fail_if_told()
        pitch = pitch_of(request.recording)
        return ClonedVoice(Artefact(ARTEFACT_KIND, str(pitch).encode()), similarity=0.75, notes=(f"{pitch:.0f} Hz",))

    async def delete_voice(self, artefact: Artefact) -> None:
        self.deleted.append(artefact)
        await self.deleting.passage()

    async def discard(self, label: str) -> None:
        self.discarded.append(label)

    async def voices(self) -> Sequence[VoiceInfo]:
        return [VoiceInfo(key, f"A {key} tone", "en-US", ("<beep>",)) for key in PITCHES]

    async def synthesize(self, request: SpeechRequest) -> AsyncIterator[Pcm]:
        self.spoken.append(request)
        pitch = _pitch_of_voice(request.voice)
        seconds = WORD_SECONDS / (request.options.speed or 1.0)
        for _ in request.text.split():
            await self.speaking.passage()
            self._fail_if_told()
            yield tone(pitch, seconds)

    def _fail_if_told(self) -> None:
        if self.failing is not None:
            raise self.failing


def tone(pitch: float, seconds: float, rate: int = RATE) -> Pcm:
    """A sine of `pitch` Hz at a quarter of full scale (-15 dBFS)."""
    time = np.arange(round(seconds * rate)) / rate
    return Pcm((0.25 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), rate)


def pitch_of(sound: Pcm) -> float:
    """The strongest frequency in Hz, of the first ten seconds."""
    samples = sound.samples[: 10 * sound.rate]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / sound.rate)[int(np.argmax(spectrum))])


def _pitch_of_voice(voice: str | Artefact) -> float:
    if isinstance(voice, Artefact):
        if voice.kind != ARTEFACT_KIND:
            raise Refused(f"a voice of the kind {voice.kind!r} is not one of these tones")
        return float(voice.data)
    if voice not in PITCHES:
        raise Refused(f"there is no voice {voice!r}; there are {', '.join(PITCHES)}")
    return PITCHES[voice]
