"""The durable workflows that clone a voice: place the call, listen to each take, and make a voice of the one kept; or
make it of a recording that is already here.

The rows are the truth. What the caller does moves them through the desk; the workflow waits for that, does the slow
work, and says how it ended. Every step may run twice (a process can die between doing and noting it), so each looks at
the rows first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog
from dbos import DBOS
from sqlmodel import select

from providers import contract
from providers.contract import Cloner, CloneRequest
from providers.manager import ProviderRegistry
from studio.blobs import StorageFull
from studio.calling import Calling
from studio.database import Database
from studio.mistakes import FailureCode
from studio.moves import fail_clone, locked_clone, move_clone, takes_of
from studio.retrying import retried
from studio.states import CloneStatus
from studio.tables import Artefact, Call, Clone, Recording, Voice, now
from studio.takes import Takes
from studio.workflows import Workflows, persistently, step

_PROVIDER_SECONDS = 120.0  # how long a provider's passing troubles are waited out
_CLONE_SECONDS = 600.0  # how long a provider may work on one voice
_log = structlog.get_logger()


class Cloning:
    """`late_seconds`: how long after a call's end its last recording may take to appear."""

    def __init__(
        self,
        database: Database,
        providers: ProviderRegistry,
        calling: Calling,
        takes: Takes,
        workflows: Workflows,
        late_seconds: float,
    ) -> None:
        self._database = database
        self._providers = providers
        self._calling = calling
        self._takes = takes
        self._workflows = workflows
        self._late_seconds = late_seconds

    async def run(self, clone_id: str) -> None:
        """By telephone."""
        with self._workflows.running(), structlog.contextvars.bound_contextvars(clone=clone_id):
            await self._safely(self._call_and_make, clone_id)
            await step("finish_call", self._calling.finish, clone_id)
            await step("leave_nothing", self._leave_nothing, clone_id)
            # A recording that was still being made when the call ended appears only now.
            await DBOS.sleep_async(self._late_seconds)
            await self._tidy_up(clone_id)

    async def run_recorded(self, clone_id: str) -> None:
        """From a recording that is here."""
        with self._workflows.running(), structlog.contextvars.bound_contextvars(clone=clone_id):
            await self._safely(self._make, clone_id)
            await self._tidy_up(clone_id)

    async def _safely(self, tell: Callable[[str], Awaitable[None]], clone_id: str) -> None:
        try:
            await tell(clone_id)
        except StorageFull:
            await step("fail", self.fail_without_room, clone_id)
        except Exception:
            _log.exception("clone.failed_unexpectedly")
            await step("fail", self.fail_unexpectedly, clone_id)

    async def _call_and_make(self, clone_id: str) -> None:
        if not await step("place", self._calling.place, clone_id):
            return
        while True:
            take_id = await step("await_caller", self._calling.await_caller, clone_id)
            if take_id is None:
                break
            await step("judge", self.judge, take_id)
        await step("find_lost_takes", self._calling.find_lost_takes, clone_id)
        await self._make(clone_id)

    async def _make(self, clone_id: str) -> None:
        take_id = await step("settle", self.settle, clone_id)
        if take_id is None:
            return
        await step("analyze", self.analyze, take_id)
        await step("make_voice", self.make_voice, take_id)

    async def _tidy_up(self, clone_id: str) -> None:
        await step("forget_takes", self._takes.forget, clone_id)
        await persistently("leave_nothing", self._leave_nothing, clone_id)

    async def _leave_nothing(self, clone_id: str) -> bool:
        """Neither a recording at the carrier nor, of a clone that came to nothing, a voice at the provider; whether
        both are seen to."""
        deleted = await self._calling.delete_recordings(clone_id)
        return await self._discarded(clone_id) and deleted

    # ── the recording ────────────────────────────────────────────────────────

    async def judge(self, take_id: str) -> None:
        async with self._database.reading() as session:
            take = await session.get_one(Recording, take_id)
            clone = await session.get_one(Clone, take.clone_id)
        provider = self._providers.get(clone.provider)
        minimum = provider.minimum_speech if isinstance(provider, Cloner) else 0.0
        await self._takes.judge(take_id, minimum)

    async def settle(self, clone_id: str) -> str | None:
        """The recording is behind us: the take to make a voice of, or None and the clone has failed with its reason.

        Hanging up instead of pressing keys keeps a good take; the script says so."""
        async with self._database.reading() as session:
            clone = await session.get_one(Clone, clone_id)
            takes = await takes_of(session, clone_id)
        if clone.status.over:
            return None
        for take in takes:
            await self.judge(take.id)
        async with self._database.transaction() as unit:
            clone = await locked_clone(unit, clone_id)
            if clone.status.over:
                return None
            takes = await takes_of(unit, clone_id)
            # The one that was chosen; or else the last of those that will do.
            good = max(
                (take for take in takes if take.problem is None), key=lambda take: (take.kept, take.take), default=None
            )
            if good is None:
                call = await unit.get_one(Call, clone.call_id) if clone.call_id is not None else None
                fail_clone(unit, clone, *_why_nothing(call, clone, takes))
                return None
            good.kept = True
            for status in (CloneStatus.REVIEWING, CloneStatus.RECORDED):
                if clone.status.may_become(status):
                    move_clone(unit, clone, status)
            return good.id

    async def analyze(self, take_id: str) -> None:
        if await self._begin(take_id, CloneStatus.ANALYZING):
            await self._takes.analyze(take_id)

    # ── the voice ────────────────────────────────────────────────────────────

    async def make_voice(self, take_id: str) -> None:
        if not await self._begin(take_id, CloneStatus.CLONING):
            return
        async with self._database.reading() as session:
            take = await session.get_one(Recording, take_id)
            clone = await session.get_one(Clone, take.clone_id)
        provider = self._providers.get(clone.provider)
        if not isinstance(provider, Cloner):
            message = f"The provider {clone.provider!r} is not installed any more."
            await self._fail(clone.id, FailureCode.PROVIDER_NOT_CONFIGURED, message)
            return
        recorded, cleaned = await self._takes.sound(take)
        request = CloneRequest(
            label=clone.id, name=clone.name, recording=recorded, cleaned=cleaned, permit=self._workflows.permit
        )

        async def attempt() -> contract.ClonedVoice:
            return await provider.clone(replace(request, tried_before=await self._note_the_try(clone.id)))

        passing = (contract.Transient, contract.AtCapacity)
        try:
            async with asyncio.timeout(_CLONE_SECONDS):
                made = await retried(attempt, passing, _PROVIDER_SECONDS)
        except contract.ProviderError as problem:
            await self._fail(clone.id, failure_of(problem), str(problem))
        except TimeoutError:
            await self._fail(clone.id, FailureCode.PROVIDER_UNAVAILABLE)
        else:
            await self._keep_voice(clone.id, made)

    async def _note_the_try(self, clone_id: str) -> bool:
        """Commit that the provider is about to be asked; whether it was before."""
        async with self._database.transaction() as unit:
            clone = await locked_clone(unit, clone_id)
            asked_before = clone.making_at is not None
            clone.making_at = clone.making_at or now()
        return asked_before

    async def _keep_voice(self, clone_id: str, made: contract.ClonedVoice) -> None:
        """A voice that was canceled meanwhile is kept as one to be deleted, so that the provider surely forgets it."""
        async with self._database.transaction() as unit:
            clone = await locked_clone(unit, clone_id)
            if (await unit.exec(select(Voice.id).where(Voice.clone_id == clone_id))).first() is not None:
                return
            artefact = Artefact(
                user_id=clone.user_id, provider=clone.provider, kind=made.artefact.kind, data=made.artefact.data
            )
            unit.add(artefact)
            await unit.flush()
            voice = Voice(
                user_id=clone.user_id,
                name=clone.name,
                provider=clone.provider,
                similarity=made.similarity,
                notes=list(made.notes),
                clone_id=clone.id,
                artefact_id=artefact.id,
            )
            unit.add(voice)
            if clone.status.may_become(CloneStatus.READY):
                clone.voice_id = voice.id
                move_clone(unit, clone, CloneStatus.READY)
            else:
                voice.deleted_at = now()  # the sweep starts what deletes it

    async def _discarded(self, clone_id: str) -> bool:
        """Whether the provider has removed what it may have made for a clone that came to nothing."""
        async with self._database.reading() as session:
            clone = await session.get_one(Clone, clone_id)
            kept = (await session.exec(select(Voice.id).where(Voice.clone_id == clone_id))).first()
        if clone.making_at is None or kept is not None:
            return True
        provider = self._providers.get(clone.provider)
        if not isinstance(provider, Cloner):
            return False
        await self._workflows.permit()
        try:
            async with asyncio.timeout(_PROVIDER_SECONDS):
                await provider.discard(clone_id)
        except (contract.ProviderError, TimeoutError) as trouble:
            _log.warning("clone.not_discarded", provider=provider.name, problem=str(trouble))
            return False
        return True

    async def _begin(self, take_id: str, status: CloneStatus) -> bool:
        """Move on to the next state; False when the clone is over. Being there already is a step run again."""
        async with self._database.transaction() as unit:
            take = await unit.get_one(Recording, take_id)
            clone = await locked_clone(unit, take.clone_id)
            if clone.status.may_become(status):
                move_clone(unit, clone, status)
            return clone.status is status

    async def fail_unexpectedly(self, clone_id: str) -> None:
        await self._fail(clone_id, FailureCode.INTERNAL)

    async def fail_without_room(self, clone_id: str) -> None:
        await self._fail(clone_id, FailureCode.STORAGE_FULL)

    async def _fail(self, clone_id: str, code: FailureCode, message: str | None = None) -> None:
        async with self._database.transaction() as unit:
            clone = await locked_clone(unit, clone_id)
            fail_clone(unit, clone, code, message)


def _why_nothing(
    call: Call | None, clone: Clone, takes: list[Recording]
) -> tuple[FailureCode, str | None, bool | None]:
    """As `fail_clone` takes it."""
    if call is None or takes:
        return FailureCode((takes[-1].problem if takes else None) or FailureCode.RECORDING_MISSING), None, None
    if clone.status in (CloneStatus.ANSWERED, CloneStatus.RECORDING):
        return FailureCode.HUNG_UP_EARLY, None, None
    if call.failure_code is None:
        return FailureCode.CALL_LOST, None, None
    return FailureCode(call.failure_code), call.failure_message, call.failure_retryable


def failure_of(problem: contract.ProviderError) -> FailureCode:
    """What a provider's error is called for the user."""
    match problem:
        case contract.NotConfigured():
            return FailureCode.PROVIDER_NOT_CONFIGURED
        case contract.Refused():
            return FailureCode.PROVIDER_REFUSED
        case contract.QuotaExceeded():
            return FailureCode.PROVIDER_QUOTA
        case contract.Gone():
            return FailureCode.VOICE_GONE
        case _:
            return FailureCode.PROVIDER_UNAVAILABLE


_here: Cloning | None = None


def bind(cloning: Cloning) -> None:
    """What the workflows of this process work with. Before any of them can be resumed."""
    global _here
    _here = cloning


@DBOS.workflow(name="clone")
async def clone_workflow(clone_id: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run(clone_id)


@DBOS.workflow(name="clone_recorded")
async def clone_recorded_workflow(clone_id: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run_recorded(clone_id)
