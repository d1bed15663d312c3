"""Instant voice clones: made once for each label, whatever happens on the way.

ElevenLabs has no idempotency keys. So a voice carries the clone's label, and where an answer was lost, the voices of
the account are looked through for it before another is made. The label is in the voice's `labels`, and in its
description too: only four keys of labels are documented. All voices are listed and compared here, for it is not
documented how the API's own search treats a part of a word, or how soon it knows of a voice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from audio.wav import write_wav
from providers.contract import Artefact, AtCapacity, ClonedVoice, CloneRequest, Gone, Refused, Transient
from providers.elevenlabs.account import Account
from providers.elevenlabs.connection import ONCE, REPEATABLE, Connection
from providers.elevenlabs.errors import TROUBLES, VERIFY, BadAnswer, explained, may_have_happened
from providers.elevenlabs.listing import listed
from providers.elevenlabs.recording import prepared

if TYPE_CHECKING:
    from elevenlabs.types.voice import Voice

ARTEFACT_KIND: Final = "elevenlabs-voice"
_LABEL = "deadringer_clone"
_LONGEST_NAME = 100
_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds.

    Attributes:
        creating: how long making a voice may take.
        appearing: how long a voice may take to be listed, after its request was sent.
        second: how coarse the times are at which voices are said to have been made.
    """

    creating: float = 60.0
    appearing: float = 15.0
    second: float = 1.0


@dataclass(frozen=True, slots=True)
class _Made:
    id: str
    wants_verification: bool


class Clones:
    def __init__(self, connection: Connection, account: Account, patience: Patience) -> None:
        self._connection = connection
        self._account = account
        self._patience = patience

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        """
        Raises:
            Refused: too little speech, or ElevenLabs will not have it.
            Transient: it is not known whether a voice was made; `tried_before` will find it.
            ProviderError
        """
        sound = await asyncio.to_thread(lambda: write_wav(prepared(request.recording)))
        made = await self._found(request.label, self._patience.appearing if request.tried_before else 0.0)
        if made is None:
            made = await self._make(request, sound)
        notes = (VERIFY,) if made.wants_verification else ()
        return ClonedVoice(Artefact(ARTEFACT_KIND, made.id.encode()), notes=notes)

    async def delete(self, voice_id: str) -> None:
        """One that is gone already is no error."""
        try:
            async with self._connection.asking() as sdk:
                await sdk.voices.delete(voice_id, request_options=REPEATABLE)
        except Gone:
            pass
        finally:
            self._account.forget()

    async def discard(self, label: str) -> None:
        """Delete what carries the label, and what of it appears late."""
        async with aclosing(self._looks(label, self._patience.appearing)) as looks:
            async for voices in looks:
                for voice in voices:
                    await self.delete(voice.voice_id)

    async def _make(self, request: CloneRequest, sound: bytes) -> _Made:
        sdk = await self._connection.sdk()
        await request.permit()
        try:
            async with asyncio.timeout(self._patience.creating):
                answer = await sdk.voices.ivc.create(
                    name=request.name[:_LONGEST_NAME],
                    files=[("recording.wav", sound, "audio/wav")],
                    remove_background_noise=False,
                    description=f"Made by Deadringer ({request.label})",
                    labels={_LABEL: request.label},
                    request_options=ONCE,
                )
            made = _made(answer)
        except TROUBLES as problem:
            if not may_have_happened(problem):
                raise explained(problem) from None
            _log.warning("elevenlabs.answer_lost", kind=type(problem).__name__)
            found = await self._found(request.label, self._patience.appearing)
            if found is None:
                raise explained(problem) from None
            return found
        finally:
            self._account.forget()
        return await self._first_of(request.label, made)

    async def _first_of(self, label: str, made: _Made) -> _Made:
        """Another process may have made one as well: both keep the older one.

        Once its own is listed, so is every older one. Times are in whole seconds, so each waits until that in which its
        own was made is over: of two from the same second, both see both.
        """
        await asyncio.sleep(self._patience.second)
        async with aclosing(self._looks(label, self._patience.appearing)) as looks:
            async for voices in looks:
                if any(voice.voice_id == made.id for voice in voices):
                    return await self._only(voices)
        return made

    async def _found(self, label: str, seconds: float) -> _Made | None:
        async with aclosing(self._looks(label, seconds)) as looks:
            async for voices in looks:
                if voices:
                    return await self._only(voices)
        return None

    async def _only(self, voices: Sequence[Voice]) -> _Made:
        """Keep the oldest, delete the others."""
        oldest, *others = sorted(voices, key=lambda voice: (voice.created_at_unix or 0, voice.voice_id))
        for other in others:
            await self.delete(other.voice_id)
        verification = oldest.voice_verification
        wants = verification is not None and verification.requires_verification and not verification.is_verified
        return _Made(oldest.voice_id, bool(wants))

    async def _looks(self, label: str, seconds: float) -> AsyncGenerator[list[Voice], None]:
        """What carries the label, seen again and again until `seconds` have gone by: once at least, and once at the
        end. A look that fails is made up for by the next."""
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + seconds, 0.5
        while True:
            remaining = deadline - clock()
            try:
                yield [voice for voice in await listed(self._connection, category="cloned") if _carries(voice, label)]
            except (Transient, AtCapacity):
                if remaining <= 0:
                    raise
            if remaining <= 0:
                return
            await asyncio.sleep(min(pause, max(0.0, deadline - clock())))
            pause = min(4.0, pause * 2)


def voice_of(artefact: Artefact) -> str:
    """The voice's id, safe to be part of an address.

    Raises:
        Refused: it is not an artefact of this provider.
    """
    voice_id = artefact.data.decode("ascii", errors="replace")
    if artefact.kind != ARTEFACT_KIND or not voice_id or not _ID.issuperset(voice_id):
        raise Refused(f"A voice of the kind {artefact.kind!r} is not one of ElevenLabs.")
    return voice_id


def _made(answer: object) -> _Made:
    voice_id = getattr(answer, "voice_id", None)
    if not isinstance(voice_id, str) or not voice_id:
        raise BadAnswer("a voice without an id")
    return _Made(voice_id, bool(getattr(answer, "requires_verification", False)))


def _carries(voice: Voice, label: str) -> bool:
    return (voice.labels or {}).get(_LABEL) == label or f"({label})" in (voice.description or "")
