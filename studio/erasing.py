"""The durable workflows that delete: a voice, or an account with all that is its own.

A thing is gone for its owner as soon as its row says so. What it left elsewhere (at the provider, at the carrier, on
disk) is removed here, and tried again for days rather than forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from dbos import DBOS
from sqlmodel import col, delete, select

from providers import contract
from providers.contract import Cloner
from providers.manager import ProviderRegistry
from studio.blobs import Blobs
from studio.database import Database
from studio.moves import move_clone
from studio.ports import Carrier, CarrierError
from studio.states import CloneStatus, SynthesisStatus
from studio.tables import (
    Artefact,
    Call,
    Clone,
    Consent,
    ReceivedWebhook,
    Recording,
    Segment,
    Synthesis,
    User,
    Voice,
    now,
)
from studio.workflows import Workflows, step

_PROVIDER_SECONDS = 60.0
_PAUSES = (1.0, 10.0, 60.0, 600.0, *([3600.0] * 72))
_log = structlog.get_logger()


class Erasing:
    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        providers: ProviderRegistry,
        carrier: Carrier,
        workflows: Workflows,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._providers = providers
        self._carrier = carrier
        self._workflows = workflows

    async def run_voice(self, voice_id: str) -> None:
        with self._workflows.running():
            await _persist("erase_voice", self._voice_gone, voice_id)

    async def run_account(self, user_id: str) -> None:
        with self._workflows.running():
            await _persist("erase_account", self._account_gone, user_id)

    async def _voice_gone(self, voice_id: str) -> bool:
        """Whether all of a voice could be removed: its recording, the provider's copy, and its rows."""
        async with self._database.reading() as session:
            voice = await session.get(Voice, voice_id)
            if voice is None:
                return True
            stored = await session.get_one(Artefact, voice.artefact_id)
            takes = (await session.exec(select(Recording).where(Recording.clone_id == voice.clone_id))).all()
        if not await self._provider_forgets(voice.provider, contract.Artefact(stored.kind, stored.data)):
            return False
        for take in takes:
            if not await self._take_gone(take):
                return False
        async with self._database.transaction() as unit:
            await unit.exec(delete(Voice).where(col(Voice.id) == voice_id))
            await unit.exec(delete(Artefact).where(col(Artefact.id) == stored.id))
        return True

    async def _account_gone(self, user_id: str) -> bool:
        if not await self._work_stopped(user_id):
            return False
        async with self._database.reading() as session:
            voices = (await session.exec(select(Voice.id).where(Voice.user_id == user_id))).all()
            spoken = (
                await session.exec(
                    select(Segment.blob)
                    .join(Synthesis, col(Synthesis.id) == col(Segment.synthesis_id))
                    .where(Synthesis.user_id == user_id)
                )
            ).all()
        for voice_id in voices:
            if not await self._voice_gone(voice_id):
                return False
        async with self._database.reading() as session:
            takes = (await session.exec(select(Recording).where(Recording.user_id == user_id))).all()
        for take in takes:
            if not await self._take_gone(take):
                return False
        for blob in spoken:
            await self._blobs.delete(blob)
        async with self._database.transaction() as unit:
            calls = select(Call.id).where(Call.user_id == user_id)
            await unit.exec(delete(ReceivedWebhook).where(col(ReceivedWebhook.call_id).in_(calls)))
            # In this order: SQLite and PostgreSQL both hold the references between these.
            await unit.exec(delete(Consent).where(col(Consent.user_id) == user_id))
            await unit.exec(delete(Recording).where(col(Recording.user_id) == user_id))
            await unit.exec(delete(Clone).where(col(Clone.user_id) == user_id))
            await unit.exec(delete(Call).where(col(Call.user_id) == user_id))
            await unit.exec(delete(Synthesis).where(col(Synthesis.user_id) == user_id))
            await unit.exec(delete(User).where(col(User.id) == user_id))
        return True

    async def _work_stopped(self, user_id: str) -> bool:
        """Cancel what is in progress; whether its workflows have come to their end."""
        async with self._database.transaction() as unit:
            clones = (await unit.exec(select(Clone).where(Clone.user_id == user_id).with_for_update())).all()
            for clone in clones:
                if clone.status.may_become(CloneStatus.CANCELED):
                    move_clone(unit, clone, CloneStatus.CANCELED)
            syntheses = (await unit.exec(select(Synthesis).where(Synthesis.user_id == user_id).with_for_update())).all()
            for synthesis in syntheses:
                if synthesis.status.may_become(SynthesisStatus.CANCELED):
                    synthesis.status = SynthesisStatus.CANCELED
                    unit.touch(f"synthesis:{synthesis.id}")
        ids = [clone.id for clone in clones] + [synthesis.id for synthesis in syntheses]
        return not await self._workflows.unfinished(ids)

    async def _provider_forgets(self, name: str, artefact: contract.Artefact) -> bool:
        provider = self._providers.get(name)
        if not isinstance(provider, Cloner):
            _log.warning("voice.provider_missing", provider=name)
            return False
        try:
            async with asyncio.timeout(_PROVIDER_SECONDS):
                await provider.delete_voice(artefact)
        except contract.Gone:
            return True
        except (contract.ProviderError, TimeoutError) as trouble:
            _log.warning("voice.not_deleted", provider=name, problem=str(trouble))
            return False
        return True

    async def _take_gone(self, take: Recording) -> bool:
        if take.sid is not None and take.deleted_there_at is None:
            try:
                await self._carrier.delete_recording(take.sid)
            except CarrierError as trouble:
                _log.warning("recording.not_deleted", problem=str(trouble))
                return False
        for blob in (take.blob, take.cleaned_blob):
            if blob is not None:
                await self._blobs.delete(blob)
        async with self._database.transaction() as unit:
            row = await unit.get(Recording, take.id)
            if row is not None:
                row.blob = row.cleaned_blob = None
                row.deleted_there_at = row.deleted_there_at or now()
        return True


async def _persist(name: str, attempt: Callable[[str], Awaitable[bool]], row_id: str) -> None:
    async def attempt_safely(row_id: str) -> bool:
        try:
            return await attempt(row_id)
        except Exception:
            _log.exception("erasing.failed_unexpectedly", what=name, row=row_id)
            return False

    for pause in _PAUSES:
        if await step(name, attempt_safely, row_id):
            return
        await DBOS.sleep_async(pause)
    _log.error("erasing.given_up", what=name, row=row_id)


_here: Erasing | None = None


def bind(erasing: Erasing) -> None:
    """What the workflows of this process work with. Before any of them can be resumed."""
    global _here
    _here = erasing


@DBOS.workflow(name="erase_voice")
async def erase_voice_workflow(voice_id: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run_voice(voice_id)


@DBOS.workflow(name="erase_account")
async def erase_account_workflow(user_id: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run_account(user_id)
