"""What a model provider is: five capabilities as typed async protocols, and the values that pass through them.

A provider is small and stateless: what a voice needs later travels as an `Artefact` that the studio stores, so any
process can speak it. Capabilities are not declared; a provider has those whose protocol it fulfils
(`capabilities_of`). Blocking work belongs in threads or processes, never on the event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from audio.pcm import Pcm


class Capability(StrEnum):
    CLONE = "CLONE"
    SYNTHESIZE = "SYNTHESIZE"
    CONVERSE = "CONVERSE"
    TRANSCRIBE = "TRANSCRIBE"
    RESPOND = "RESPOND"


# ── errors ───────────────────────────────────────────────────────────────────


class ProviderError(Exception):
    """What every provider may raise. The message is shown to the user: say what they can do about it."""


class NotConfigured(ProviderError):
    """Something has to be set or installed first; the message names it."""


class Refused(ProviderError):
    """The provider will not do this, now or later (too little speech, verification wanted, text not allowed)."""


class QuotaExceeded(ProviderError):
    """An allowance is used up (voice slots, characters)."""


class AtCapacity(ProviderError):
    """Busy: come again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Transient(ProviderError):
    """Failed in a way that may pass: the same request may be sent again."""


class Gone(ProviderError):
    """What was asked for no longer exists at the provider."""


# ── values ───────────────────────────────────────────────────────────────────

Permit = Callable[[], Awaitable[None]]
"""Leave for an effect outside. It returns while the work is ours, and raises `asyncio.CancelledError` (let
it through) when another process has taken it over."""


async def granted() -> None:
    """For who works alone."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the provider can work now; if not, what to set or start."""

    available: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    used: int
    limit: int
    what: str


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A built-in voice. `key` is the provider's own name for it; `tags` are expressive tags its text may contain."""

    key: str
    name: str
    language: str | None = None
    tags: tuple[str, ...] = ()
    sample_url: str | None = None


@dataclass(frozen=True, slots=True)
class Artefact:
    """What it takes to speak in a cloned voice: a provider's voice id, a fitted style, an adapter.

    `kind` is the provider's own word for the format of `data`; a provider refuses kinds that it does not know.
    """

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class CloneRequest:
    """A recording to make a voice from.

    `label` is unique to this clone and the same on every try: a provider that keeps voices marks them with it.
    `recording` is as it came over the phone; `cleaned` is there where cleaning made it sound better, which does not
    mean that it shows the speaker better: each provider takes the one that suits it.
    `tried_before`: an earlier try was cut off and may still have its effect. Who makes voices elsewhere looks for one
    with this label, and gives it time to appear, before making another.
    `permit` is awaited right before the request that makes a voice.
    """

    label: str
    name: str
    recording: Pcm
    cleaned: Pcm | None = None
    language: str | None = None
    tried_before: bool = False
    permit: Permit = granted


@dataclass(frozen=True, slots=True)
class ClonedVoice:
    """`similarity` is a measured likeness to the recording, 0 to 1, or None where no encoder is installed; `notes` are
    what the owner of the voice should know about it."""

    artefact: Artefact
    similarity: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """What may be asked of a synthesis. Which of these a provider understands is in its `speech_options`."""

    speed: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None

    def given(self) -> frozenset[str]:
        return frozenset(name for name in ("speed", "temperature", "top_p", "seed") if getattr(self, name) is not None)


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """`voice` is the key of a built-in voice, or the artefact of a cloned one.

    `live`: somebody waits for every word, so quickness goes before quality. `phone`: it is heard over a telephone, of
    which 8 kHz arrive.
    """

    text: str
    voice: str | Artefact
    language: str | None = None
    options: SpeechOptions = field(default_factory=SpeechOptions)
    live: bool = False
    phone: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    text: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class DialogueSetup:
    system_prompt: str | None = None
    voice: str | Artefact | None = None
    history: tuple[ChatMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class TextPiece:
    text: str


@dataclass(frozen=True, slots=True)
class AudioPiece:
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply is complete. `metrics`: the provider's own timings in ms and counts, by the usual names."""

    metrics: Mapping[str, float]


DialogueEvent = TextPiece | AudioPiece | ReplyEnded


# ── protocols ────────────────────────────────────────────────────────────────


@runtime_checkable
class Provider(Protocol):
    """What every provider has. `name` is its stable, lower-case key; `title` is for people."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def version(self) -> str: ...

    async def health(self) -> Health:
        """Cheap and quick: no model is loaded for it."""
        ...

    async def warm_up(self) -> None:
        """Load what the first request would wait for. May be called often; does nothing when warm."""
        ...

    async def aclose(self) -> None:
        """Give back threads, connections and memory."""
        ...


@runtime_checkable
class Cloner(Provider, Protocol):
    @property
    def minimum_speech(self) -> float:
        """Seconds of speech below which a recording is not worth cloning."""
        ...

    @property
    def recipient(self) -> str | None:
        """Who gets the recording, as its speaker is told before they agree; None if it stays on this machine."""
        ...

    async def clone_quota(self) -> Quota | None:
        """How many voices are used of how many, or None where there is no limit."""
        ...

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        """Make a voice from a recording. The same `label` twice must not leave two voices.

        Raises:
            ProviderError: one of the vocabulary above.
        """
        ...

    async def delete_voice(self, artefact: Artefact) -> None:
        """Remove what the provider keeps of a voice. A voice that is already gone is no error."""
        ...

    async def discard(self, label: str) -> None:
        """Remove what tries to clone under this label may have left: the clone came to nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """What an examination found: whether it is as it should be, and in words what it is or what to do about it."""

    what: str
    good: bool
    words: str


@runtime_checkable
class Examined(Provider, Protocol):
    """A provider that can tell an operator (`deadringer doctor`) step by step what works."""

    def examine(self) -> AsyncIterator[Check]:
        """Ask what is needed for an answer, live, and spend nothing. Raises nothing: what goes wrong is a finding."""
        ...


@runtime_checkable
class Synthesizer(Provider, Protocol):
    @property
    def speech_options(self) -> frozenset[str]:
        """The names of `SpeechOptions` that are understood; others are refused before a request is made."""
        ...

    async def voices(self) -> Sequence[VoiceInfo]:
        """The built-in voices."""
        ...

    def synthesize(self, request: SpeechRequest) -> AsyncIterator[Pcm]:
        """Speech in pieces as they are made, all of one sample rate. Closing the iterator stops the work.

        Raises:
            ProviderError: one of the vocabulary above, before or between pieces.
        """
        ...


@runtime_checkable
class Transcriber(Provider, Protocol):
    async def transcribe(self, speech: Pcm, language: str | None = None) -> Transcript: ...


@runtime_checkable
class Responder(Provider, Protocol):
    def respond(self, messages: Sequence[ChatMessage]) -> AsyncIterator[str]:
        """The answer to a chat, in pieces of text."""
        ...


class Dialogue(Protocol):
    """One open speech-to-speech conversation."""

    async def hear(self, speech: Pcm) -> None:
        """A piece of what the user says, about 100 ms."""
        ...

    async def end_turn(self) -> None:
        """The user has finished: reply."""
        ...

    async def read(self, text: str) -> None:
        """What the user wrote instead of saying: reply."""
        ...

    async def interrupt(self, heard_ms: float | None = None) -> None:
        """Stop the reply; the user heard `heard_ms` of it (barge-in)."""
        ...

    def events(self) -> AsyncIterator[DialogueEvent]:
        """Replies as they are made, until the conversation is closed."""
        ...


@runtime_checkable
class Converser(Provider, Protocol):
    def converse(self, setup: DialogueSetup) -> AbstractAsyncContextManager[Dialogue]:
        """Open a conversation; leaving the context ends it and frees its place."""
        ...


_PROTOCOLS: Mapping[Capability, type] = {
    Capability.CLONE: Cloner,
    Capability.SYNTHESIZE: Synthesizer,
    Capability.CONVERSE: Converser,
    Capability.TRANSCRIBE: Transcriber,
    Capability.RESPOND: Responder,
}


def capabilities_of(provider: Provider) -> frozenset[Capability]:
    """The capabilities whose protocol a provider fulfils."""
    return frozenset(capability for capability, protocol in _PROTOCOLS.items() if isinstance(provider, protocol))
