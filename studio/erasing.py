"""The durable workflows that delete: a voice, or an account with all that is its own.

A thing is gone for its owner as soon as its row says so. What it left elsewhere (at the provider, at the carrier) is
removed first, and tried again for days rather than forgotten: the rows say what there is to remove. If it cannot be
done the rows and files here go all the same.
"""

from __future__ import annotations

import asyncio

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
from studio.workflows import Workflows, persistently, step

_PROVIDER_SECONDS = 60.0
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
            await persistently("forget_voice_outside", self._voice_forgotten, voice_id)
            await step("erase_voice", self._erase_voice, voice_id)

    async def run_recording(self, recording_id: str) -> None:
        """Of a clone that failed, once it was kept long enough."""
        with self._workflows.running():
            if await step("claim_recording", self._recording_claimed, recording_id):
                await persistently("forget_recording_outside", self._recording_forgotten, recording_id)
                await step("erase_recording", self._erase_recording, recording_id)

    async def run_account(self, user_id: str) -> None:
        with self._workflows.running():
            await persistently("forget_account_outside", self._account_forgotten, user_id)
            await step("erase_account", self._erase_account, user_id)

    async def run_file(self, key: str) -> None:
        """One that no row names."""
        with self._workflows.running():
            await step("sweep_file", self._blobs.sweep, key)

    # ── outside ──────────────────────────────────────────────────────────────

    async def _voice_forgotten(self, voice_id: str) -> bool:
        """Whether neither provider nor carrier has anything of a voice any more."""
        async with self._database.reading() as session:
            voice = await session.get(Voice, voice_id)
            if voice is None:
                return True
            stored = await session.get_one(Artefact, voice.artefact_id)
            takes = (await session.exec(select(Recording).where(Recording.clone_id == voice.clone_id))).all()
        forgotten = [await self._provider_forgets(voice.provider, contract.Artefact(stored.kind, stored.data))]
        forgotten += [await self._carrier_forgets(take) for take in takes]
        return all(forgotten)

    async def _recording_claimed(self, recording_id: str) -> bool:
        """Take it out of the reach of another try; False if one has just begun with it."""
        async with self._database.transaction() as unit:
            take = await unit.get(Recording, recording_id, with_for_update=True)
            if take is None or take.keep_until is None:
                return False
            take.kept = False
            unit.touch(f"clone:{take.clone_id}")
            return True

    async def _recording_forgotten(self, recording_id: str) -> bool:
        async with self._database.reading() as session:
            take = await session.get(Recording, recording_id)
        return take is None or await self._carrier_forgets(take)

    async def _account_forgotten(self, user_id: str) -> bool:
        if not await self._work_stopped(user_id):
            return False
        async with self._database.reading() as session:
            voices = (await session.exec(select(Voice.id).where(Voice.user_id == user_id))).all()
        forgotten = [await self._voice_forgotten(voice_id) for voice_id in voices]
        async with self._database.reading() as session:
            takes = (await session.exec(select(Recording).where(Recording.user_id == user_id))).all()
        forgotten += [await self._carrier_forgets(take) for take in takes]
        return all(forgotten)

    # ── here ─────────────────────────────────────────────────────────────────

    async def _erase_voice(self, voice_id: str) -> None:
        async with self._database.reading() as session:
            voice = await session.get(Voice, voice_id)
            if voice is None:
                return
            takes = (await session.exec(select(Recording.id).where(Recording.clone_id == voice.clone_id))).all()
        for take_id in takes:
            await self._erase_recording(take_id)
        async with self._database.transaction() as unit:
            await unit.exec(delete(Voice).where(col(Voice.id) == voice_id))
            await unit.exec(delete(Artefact).where(col(Artefact.id) == voice.artefact_id))

    async def _erase_recording(self, recording_id: str) -> None:
        """Its sound; the row stays with the clone."""
        async with self._database.reading() as session:
            take = await session.get(Recording, recording_id)
        if take is None:
            return
        for blob in (take.blob, take.cleaned_blob):
            if blob is not None:
                await self._blobs.delete(blob)
        async with self._database.transaction() as unit:
            row = await unit.get(Recording, recording_id)
            if row is not None:
                row.blob = row.cleaned_blob = row.keep_until = None

    async def _erase_account(self, user_id: str) -> None:
        async with self._database.reading() as session:
            voices = (await session.exec(select(Voice.id).where(Voice.user_id == user_id))).all()
            takes = (await session.exec(select(Recording.id).where(Recording.user_id == user_id))).all()
            spoken = (
                await session.exec(
                    select(Segment.blob)
                    .join(Synthesis, col(Synthesis.id) == col(Segment.synthesis_id))
                    .where(Synthesis.user_id == user_id)
                )
            ).all()
        for voice_id in voices:
            await self._erase_voice(voice_id)
        for take_id in takes:
            await self._erase_recording(take_id)
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
        await self._workflows.permit()
        try:
            async with asyncio.timeout(_PROVIDER_SECONDS):
                await provider.delete_voice(artefact)
        except contract.Gone:
            return True
        except (contract.ProviderError, TimeoutError) as trouble:
            _log.warning("voice.not_deleted", provider=name, problem=str(trouble))
            return False
        return True

    async def _carrier_forgets(self, take: Recording) -> bool:
        if take.sid is None or take.deleted_there_at is not None:
            return True
        await self._workflows.permit()
        try:
            await self._carrier.delete_recording(take.sid)
        except CarrierError as trouble:
            _log.warning("recording.not_deleted", problem=str(trouble))
            return False
        async with self._database.transaction() as unit:
            row = await unit.get(Recording, take.id)
            if row is not None:
                row.deleted_there_at = now()
        return True


_here: Erasing | None = None


def bind(erasing: Erasing) -> None:
    """What the workflows of this process work with. Before any of them can be resumed."""
    global _here
    _here = erasing


@DBOS.workflow(name="erase_voice")
async def erase_voice_workflow(voice_id: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run_voice(voice_id)


@DBOS.workflow(name="erase_recording")
async def erase_recording_workflow(recording_id: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run_recording(recording_id)


@DBOS.workflow(name="sweep_file")
async def sweep_file_workflow(key: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run_file(key)


@DBOS.workflow(name="erase_account")
async def erase_account_workflow(user_id: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run_account(user_id)
