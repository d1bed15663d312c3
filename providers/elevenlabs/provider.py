"""The provider: what the parts of this folder can do, as the studio asks for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from audio.pcm import Pcm
from providers.contract import (
    Artefact,
    Check,
    ClonedVoice,
    CloneRequest,
    Health,
    Quota,
    SpeechRequest,
    VoiceInfo,
)
from providers.elevenlabs.account import Account
from providers.elevenlabs.clones import Clones, Patience, voice_of
from providers.elevenlabs.connection import Connection
from providers.elevenlabs.examination import examined
from providers.elevenlabs.models import QUALITY, QUICK
from providers.elevenlabs.recording import MINIMUM_SPEECH
from providers.elevenlabs.settings import MISSING_KEY, ElevenLabsSettings
from providers.elevenlabs.speech import OPTIONS, Speech
from providers.elevenlabs.voices import BuiltInVoices


class ElevenLabsProvider:
    """Clones and speaks with an account at ElevenLabs. Every method but `health` may raise any `ProviderError`."""

    name = "elevenlabs"
    title = "ElevenLabs"
    version = f"{QUALITY.id} {QUICK.id}"
    minimum_speech = MINIMUM_SPEECH
    recipient = "ElevenLabs"
    speech_options = OPTIONS

    def __init__(self, settings: ElevenLabsSettings, patience: Patience | None = None) -> None:
        self._connection = Connection(settings)
        self._account = Account(self._connection)
        self._clones = Clones(self._connection, self._account, patience or Patience())
        self._built_in = BuiltInVoices(self._connection)
        self._speech = Speech(self._connection, self._built_in)

    async def health(self) -> Health:
        """Whether there is a key; `examine` asks whether it is a good one."""
        return Health(True) if self._connection.configured else Health(False, MISSING_KEY)

    async def warm_up(self) -> None:
        """Import the SDK."""
        await self._connection.sdk()

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def clone_quota(self) -> Quota | None:
        return await self._account.clone_quota()

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        return await self._clones.clone(request)

    async def delete_voice(self, artefact: Artefact) -> None:
        await self._clones.delete(voice_of(artefact))

    async def discard(self, label: str) -> None:
        await self._clones.discard(label)

    async def voices(self) -> Sequence[VoiceInfo]:
        """None as long as there is no key."""
        return tuple((await self._built_in.all()).values()) if self._connection.configured else ()

    def synthesize(self, request: SpeechRequest) -> AsyncGenerator[Pcm, None]:
        return self._speech.speak(request)

    def examine(self) -> AsyncIterator[Check]:
        return examined(self._connection, self._account)
