"""The durable workflow that speaks a text: pieces are stored as the provider makes them.

If it is taken over after a crash, the provider speaks again from the start and what is stored already is skipped, so
that listeners get every sample once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import structlog
from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from audio.pcm import Pcm
from providers import contract
from providers.contract import SpeechOptions, SpeechRequest
from studio.blobs import STORAGE_SECONDS, Blobs, StorageFull
from studio.cloning import failure_of
from studio.database import Database, Unit
from studio.mistakes import FailureCode, Mistake
from studio.retrying import retried
from studio.states import AudioFormat, SynthesisStatus
from studio.tables import Segment, Synthesis, now
from studio.voices import Voices
from studio.workflows import Workflows, step

_PIECE_SECONDS = 1.0  # what is stored, announced and sent at once
_PROVIDER_SECONDS = 120.0  # how long a provider may be silent
_BUSY_SECONDS = 60.0  # how long a provider's passing troubles are waited out while nothing has been heard
_PASSING = (contract.Transient, contract.AtCapacity)
_log = structlog.get_logger()


class Speaking:
    def __init__(self, database: Database, blobs: Blobs, voices: Voices, workflows: Workflows) -> None:
        self._database = database
        self._blobs = blobs
        self._voices = voices
        self._workflows = workflows

    async def run(self, synthesis_id: str) -> None:
        with self._workflows.running(), structlog.contextvars.bound_contextvars(synthesis=synthesis_id):
            await step("speak", self.speak, synthesis_id)

    async def speak(self, synthesis_id: str) -> None:
        try:
            synthesis = await self._begin(synthesis_id)
            if synthesis is not None:
                await retried(lambda: self._store(synthesis), _PASSING, _BUSY_SECONDS)
        except contract.ProviderError as problem:
            await self._end(synthesis_id, failure_of(problem), str(problem))
        except Mistake as gone:
            await self._end(synthesis_id, FailureCode.PROVIDER_NOT_CONFIGURED, gone.message)
        except TimeoutError:
            await self._end(synthesis_id, FailureCode.PROVIDER_UNAVAILABLE)
        except StorageFull:
            await self._end(synthesis_id, FailureCode.STORAGE_FULL)
        except SQLAlchemyError:
            raise  # the step waits for the database
        except Exception:
            _log.exception("synthesis.failed_unexpectedly")
            await self._end(synthesis_id, FailureCode.INTERNAL)

    async def _begin(self, synthesis_id: str) -> Synthesis | None:
        async with self._database.transaction() as unit:
            synthesis = await _locked(unit, synthesis_id)
            if synthesis is None or synthesis.status.over:
                return None
            synthesis.status = SynthesisStatus.SYNTHESIZING
            unit.touch(f"synthesis:{synthesis_id}")
            return synthesis

    async def _store(self, synthesis: Synthesis) -> None:
        voice = await self._voices.speakable(synthesis.user_id, synthesis.voice_key)
        if voice is None:
            await self._end(synthesis.id, FailureCode.VOICE_GONE)
            return
        provider, key = voice
        on_phone = synthesis.format is AudioFormat.MULAW_8K
        request = SpeechRequest(synthesis.text, key, options=SpeechOptions(**synthesis.options), phone=on_phone)
        number, position = await self._stored(synthesis.id)
        made = 0
        try:
            async with aclosing(_pieces(provider.synthesize(request))) as pieces:
                async for piece in pieces:
                    made += len(piece)
                    if made <= position:
                        continue
                    fresh = Pcm(piece.samples[-(made - position) :], piece.rate)
                    number, start, position = number + 1, position, made
                    if not await self._keep(synthesis, number, start, fresh):
                        return
        except _PASSING as trouble:
            if number == 0:
                raise
            # Another try need not sound the same, and its words would not join those that were heard.
            await self._end(synthesis.id, FailureCode.PROVIDER_UNAVAILABLE, str(trouble))
            return
        if number == 0:
            message = "There is nothing in this text that could be spoken."
            await self._end(synthesis.id, FailureCode.PROVIDER_REFUSED, message)
        else:
            await self._end(synthesis.id)

    async def _stored(self, synthesis_id: str) -> tuple[int, int]:
        """How many pieces, and how many samples, are stored already."""
        statement = (
            select(Segment).where(Segment.synthesis_id == synthesis_id).order_by(col(Segment.number).desc()).limit(1)
        )
        async with self._database.reading() as session:
            last = (await session.exec(statement)).first()
        return (last.number, last.start_sample + last.samples) if last is not None else (0, 0)

    async def _keep(self, synthesis: Synthesis, number: int, start: int, piece: Pcm) -> bool:
        """Store a piece; False when it is wanted no more."""
        blob = await self._blobs.put(piece.to_int16(), "pcm", STORAGE_SECONDS)
        async with self._database.transaction() as unit:
            row = await _locked(unit, synthesis.id)
            wanted = row is not None and not row.status.over
            if row is not None and wanted:
                if number == 1:
                    row.first_audio_ms = max(0, round((now() - row.created_at).total_seconds() * 1000))
                    row.sample_rate = piece.rate
                row.seconds = (start + len(piece)) / piece.rate
                await self._blobs.claim(unit, blob)
                unit.add(
                    Segment(
                        synthesis_id=row.id,
                        number=number,
                        start_sample=start,
                        samples=len(piece),
                        sample_rate=piece.rate,
                        blob=blob,
                    )
                )
                unit.touch(f"synthesis:{row.id}")
        if not wanted:
            await self._blobs.sweep(blob)
        return wanted

    async def _end(self, synthesis_id: str, code: FailureCode | None = None, message: str | None = None) -> None:
        async with self._database.transaction() as unit:
            row = await _locked(unit, synthesis_id)
            if row is None or row.status.over:
                return
            if code is None:
                row.status = SynthesisStatus.DONE
            else:
                row.explain(code, message)
                row.status = SynthesisStatus.FAILED
            unit.touch(f"synthesis:{synthesis_id}")


async def _locked(unit: Unit, synthesis_id: str) -> Synthesis | None:
    return (await unit.exec(select(Synthesis).where(Synthesis.id == synthesis_id).with_for_update())).first()


async def _pieces(speech: AsyncIterator[Pcm]) -> AsyncGenerator[Pcm, None]:
    """The provider's pieces, cut so that none is long, and never waited for without end."""
    try:
        while True:
            async with asyncio.timeout(_PROVIDER_SECONDS):
                made = await anext(speech, None)
            if made is None:
                return
            step = round(_PIECE_SECONDS * made.rate)
            for start in range(0, len(made), step):
                yield Pcm(made.samples[start : start + step], made.rate)
    finally:
        close = getattr(speech, "aclose", None)
        if close is not None:
            await close()


_here: Speaking | None = None


def bind(speaking: Speaking) -> None:
    """What the workflows of this process work with. Before any of them can be resumed."""
    global _here
    _here = speaking


@DBOS.workflow(name="speak")
async def speak_workflow(synthesis_id: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run(synthesis_id)
