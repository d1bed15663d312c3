"""Text spoken in a voice: begun, followed while it grows, canceled, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from sqlmodel import col, delete, select

from audio.pcm import Pcm
from providers.contract import SpeechOptions
from studio.blobs import Blobs
from studio.database import Database
from studio.mistakes import Mistake, MistakeCode
from studio.repositories import Repository, living_user
from studio.speaking import speak_workflow
from studio.states import AudioFormat, SynthesisStatus
from studio.tables import Segment, Synthesis
from studio.texts import checked_text
from studio.voices import Voices
from studio.workflows import Workflows

MAX_TEXT = 20_000
_AT_ONCE = 20
_LOOK_AGAIN_SECONDS = 15.0


@dataclass(frozen=True)
class SpeechProgress:
    """How the synthesis stands; `cursor` is the number of pieces before it."""

    cursor: int
    synthesis: Synthesis


@dataclass(frozen=True)
class SpeechPiece:
    """A piece of speech, which begins `start_ms` after the first; cursors count 1, 2, 3 …"""

    cursor: int
    pcm: Pcm
    start_ms: float


class Speech(Repository[Synthesis]):
    def __init__(self, database: Database, blobs: Blobs, voices: Voices, workflows: Workflows) -> None:
        super().__init__(database, Synthesis, "synthesis")
        self._blobs = blobs
        self._voices = voices
        self._workflows = workflows

    async def start(
        self, owner: str, voice_key: str, text: str, format: AudioFormat, options: SpeechOptions
    ) -> Synthesis:
        """Begin to speak a text; the work starts at once, in this process.

        Raises:
            Mistake: REQUIRED, TOO_LONG, NOT_FOUND, NOT_CONFIGURED, AT_CAPACITY, or INVALID for an option that the
                voice's provider does not have.
        """
        text = checked_text(text, MAX_TEXT, "text", "Give a text to speak.")
        voice = await self._voices.speakable(owner, voice_key)
        if voice is None:
            raise Mistake(MistakeCode.NOT_FOUND, "There is no such voice.", ("voiceId",))
        provider, _ = voice
        await self._blobs.check()
        health = await provider.health()
        if not health.available:
            reason = health.reason or f"{provider.title} is not available."
            raise Mistake(MistakeCode.NOT_CONFIGURED, reason, ("voiceId",))
        for unknown in sorted(options.given() - provider.speech_options):
            known = ", ".join(sorted(provider.speech_options)) or "none"
            message = f"{provider.title} has no such option. It has: {known}."
            raise Mistake(MistakeCode.INVALID, message, ("options", unknown))
        synthesis = Synthesis(
            user_id=owner,
            voice_key=voice_key,
            text=text,
            format=format,
            options={name: value for name, value in asdict(options).items() if value is not None},
        )
        async with self._database.transaction() as unit:
            await living_user(unit, owner)
            in_progress = (
                await unit.exec(
                    select(Synthesis.id).where(
                        Synthesis.user_id == owner,
                        col(Synthesis.status).in_((SynthesisStatus.QUEUED, SynthesisStatus.SYNTHESIZING)),
                    )
                )
            ).all()
            if len(in_progress) >= _AT_ONCE:
                message = f"{_AT_ONCE} texts are being spoken for you already. Wait for one to be done."
                raise Mistake(MistakeCode.AT_CAPACITY, message)
            unit.add(synthesis)
        await self._workflows.start(speak_workflow, synthesis.id)
        return synthesis

    async def cancel(self, owner: str, synthesis_id: str) -> Synthesis:
        """
        Raises:
            Mistake: NOT_FOUND; WRONG_STATE, if it is over already.
        """
        async with self._database.transaction() as unit:
            synthesis = await self.locked(unit, owner, synthesis_id)
            if synthesis.status.over:
                message = f"This synthesis is {synthesis.status.lower()} already."
                raise Mistake(MistakeCode.WRONG_STATE, message, ("id",))
            synthesis.status = SynthesisStatus.CANCELED
            unit.touch(self.key(synthesis_id))
        return synthesis

    async def delete(self, owner: str, synthesis_id: str) -> None:
        """Delete a synthesis and its audio; one in progress is canceled by it.

        Raises:
            Mistake: NOT_FOUND.
        """
        async with self._database.transaction() as unit:
            await self.locked(unit, owner, synthesis_id)
            blobs = (await unit.exec(select(Segment.blob).where(Segment.synthesis_id == synthesis_id))).all()
            await unit.exec(delete(Segment).where(col(Segment.synthesis_id) == synthesis_id))
            await unit.exec(delete(Synthesis).where(col(Synthesis.id) == synthesis_id))
            unit.touch(self.key(synthesis_id))
        for blob in blobs:
            await self._blobs.delete(blob)

    async def follow(
        self, owner: str, synthesis_id: str, after: int = 0
    ) -> AsyncIterator[SpeechProgress | SpeechPiece]:
        """How it stands, then each piece as it is made and each change, until it is over. `after`: the last cursor had.

        Raises:
            Mistake: NOT_FOUND, also when it is deleted meanwhile.
        """
        cursor = max(0, after)
        with self._database.hub.watch(self.key(synthesis_id)) as watch:
            told: Synthesis | None = None
            while True:
                # The row before the pieces: if it says that it is over, no piece can follow those read after it.
                synthesis = await self._once_there(lambda: self.get(owner, synthesis_id))
                if synthesis is None:
                    raise self._missing()
                if told is None:
                    yield SpeechProgress(cursor, synthesis)
                    told = synthesis
                for segment in await self._once_there(partial(self.pieces, synthesis_id, cursor)):
                    cursor = segment.number
                    try:
                        pcm = await self.read_piece(segment)
                    except FileNotFoundError:
                        raise self._missing() from None  # deleted between the two
                    yield SpeechPiece(cursor, pcm, segment.start_sample / pcm.rate * 1000)
                if synthesis != told:
                    yield SpeechProgress(cursor, synthesis)
                    told = synthesis
                if synthesis.status.over:
                    return
                await watch.changed(_LOOK_AGAIN_SECONDS)

    async def pieces(self, synthesis_id: str, after: int = 0) -> Sequence[Segment]:
        """The pieces stored so far, in order. Ask `get` first whose synthesis it is."""
        statement = (
            select(Segment)
            .where(Segment.synthesis_id == synthesis_id, Segment.number > after)
            .order_by(col(Segment.number))
        )
        async with self._database.reading() as session:
            return (await session.exec(statement)).all()

    async def read_piece(self, segment: Segment) -> Pcm:
        return Pcm.from_int16(await self._blobs.get(segment.blob), segment.sample_rate)
