"""The provider: what Kokoro, Whisper and the fitting of styles can do, as the studio asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from audio.pcm import Pcm
from audio.weights import BadWeights
from providers.contract import (
    Artefact,
    ClonedVoice,
    CloneRequest,
    Health,
    NotConfigured,
    Quota,
    Refused,
    SpeechRequest,
    Transcript,
    VoiceInfo,
)
from providers.local.accents import Accent
from providers.local.cloning.artefact import style_of
from providers.local.cloning.speech import MINIMUM_SPEECH
from providers.local.kokoro import Kokoro, Style
from providers.local.settings import LocalSettings
from providers.local.transcription import Whisper
from providers.local.voices import ENGLISH_VOICES, accent_of
from providers.local.weights import missing
from providers.local.worker import Worker

# The extra `local` may not be installed: what is needed of it is imported when it is used, and `health` tells.
if TYPE_CHECKING:
    from providers.local.cloning.cloner import StyleCloner

SPEEDS = (0.5, 2.0)
"""The slowest and the fastest speed. Beyond them Kokoro swallows words."""

_SYNTHESES = 32
_TRANSCRIPTIONS = 8


class LocalProvider:
    """Clones, speaks and transcribes on this machine's processor, without an account or a network.

    Speech and cloning share one thread, which does one piece after the other for all who wait; transcription has
    another. The models are loaded when they are first needed.
    """

    name = "local"
    title = "This machine (Kokoro and Whisper)"
    version = "kokoro-v1.0 whisper-base"
    speech_options = frozenset({"speed"})
    minimum_speech = MINIMUM_SPEECH
    recipient = None

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._kokoro = Kokoro(settings.models_dir, settings.threads)
        self._whisper = Whisper(settings.models_dir, settings.threads)
        self._speaking = Worker("speech", _SYNTHESES)
        self._listening = Worker("transcription", _TRANSCRIPTIONS)
        self._warm = False

    async def health(self) -> Health:
        reason = await asyncio.to_thread(missing, self._settings.models_dir)
        return Health(available=reason is None, reason=reason)

    async def warm_up(self) -> None:
        """Load both models and say a word, for the first run is slower than the next.

        Raises:
            NotConfigured: a model is missing or damaged.
        """
        if not self._warm:
            default = next(iter(ENGLISH_VOICES))
            with _weights_explained():
                await asyncio.gather(
                    self._speaking.run(lambda: list(self._speech("Hello.", self._kokoro.voice(default), "en-US", 1.0))),
                    self._listening.run(self._whisper.load),
                )
            self._warm = True

    async def aclose(self) -> None:
        await asyncio.gather(self._speaking.aclose(), self._listening.aclose())

    async def voices(self) -> Sequence[VoiceInfo]:
        return tuple(ENGLISH_VOICES.values())

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[Pcm, None]:
        """Speech at 24 kHz, a few seconds in each piece. While one is being listened to, the next one is made.

        Raises:
            Refused: the voice, language, speed or text cannot be spoken.
            NotConfigured: a model is missing or damaged.
            AtCapacity: too many are speaking already.
        """
        accent, speed = _accent_of(request), _speed_of(request)
        with self._speaking.place(), _weights_explained():
            style = await self._speaking.run(lambda: self._style(request.voice))
            speech = self._speech(request.text, style, accent, speed)
            upcoming = self._speaking.start(lambda: next(speech, None))
            try:
                piece = await upcoming
                if piece is None:
                    raise Refused("There is nothing in the text that can be said in English.")
                while piece is not None:
                    upcoming = self._speaking.start(lambda: next(speech, None))
                    yield piece
                    piece = await upcoming
            finally:
                upcoming.cancel()

    async def transcribe(self, speech: Pcm, language: str | None = None) -> Transcript:
        """Text of speech in any of Whisper's languages; English works best.

        Raises:
            Refused: Whisper does not know the language.
            NotConfigured: the model is missing or damaged.
            AtCapacity: too many transcriptions are waiting already.
        """
        code = language.replace("_", "-").split("-")[0].lower() if language else None
        with self._listening.place(), _weights_explained():
            try:
                return await self._listening.run(lambda: self._whisper.transcribe(speech, code))
            except ValueError as problem:
                raise Refused(f"Speech in the language {language!r} cannot be transcribed.") from problem

    async def clone_quota(self) -> Quota | None:
        return None

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        """Fit a Kokoro style to the recording, see `providers.local.cloning`.

        Raises:
            Refused: there is too little speech in the recording.
            NotConfigured: a model is missing or damaged.
        """
        with _weights_explained():
            return await self._cloner.clone(request)

    async def delete_voice(self, artefact: Artefact) -> None:
        """Nothing is kept here of a voice: the artefact is all there is of it."""

    async def discard(self, label: str) -> None:
        """Nothing is kept here of a clone."""

    @cached_property
    def _cloner(self) -> StyleCloner:
        from providers.local.cloning.cloner import StyleCloner

        return StyleCloner(self._kokoro, self._settings.threads, self._speaking.run)

    def _style(self, voice: str | Artefact) -> Style:
        return style_of(voice) if isinstance(voice, Artefact) else self._kokoro.voice(voice)

    def _speech(self, text: str, style: Style, accent: Accent, speed: float) -> Iterator[Pcm]:
        from providers.local.speech import (
            speak,
        )  # its dictionaries take 2 seconds to import: not when the service starts

        return speak(self._kokoro, text, style, accent, speed)


def _accent_of(request: SpeechRequest) -> Accent:
    if isinstance(request.voice, str) and request.voice not in ENGLISH_VOICES:
        raise Refused(f"There is no voice {request.voice!r}. There are: {', '.join(ENGLISH_VOICES)}.")
    language = (request.language or "en").replace("_", "-").lower()
    if language.split("-")[0] != "en":
        raise Refused(f"The local voices speak English only, not {request.language!r}.")
    if language in ("en-us", "en-gb"):
        return "en-US" if language == "en-us" else "en-GB"
    return accent_of(request.voice) if isinstance(request.voice, str) else "en-US"


def _speed_of(request: SpeechRequest) -> float:
    others = request.options.given() - LocalProvider.speech_options
    if others:
        raise Refused(f"The local voices have no {', '.join(sorted(others))}; only speed can be set.")
    speed = 1.0 if request.options.speed is None else request.options.speed
    slowest, fastest = SPEEDS
    if not slowest <= speed <= fastest:
        raise Refused(f"The speed must be from {slowest} to {fastest}, not {speed}.")
    return speed


@contextmanager
def _weights_explained() -> Iterator[None]:
    try:
        yield
    except BadWeights as problem:
        raise NotConfigured(str(problem)) from problem
