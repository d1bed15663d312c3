"""The durable workflow that clones a voice: place the call, listen to each take, and make a voice of the one kept.

The rows are the truth. What the caller does moves them through the desk; the workflow waits for that, does the slow
work, and says how it ended. Every step may run twice (a process can die between doing and noting it), so each looks at
the rows first.
"""

from __future__ import annotations

import asyncio

import structlog
from dbos import DBOS
from sqlmodel import select

from providers import contract
from providers.contract import Cloner, CloneRequest
from providers.manager import ProviderRegistry
from studio.calling import Calling
from studio.database import Database
from studio.mistakes import FailureCode
from studio.moves import call_and_clone, fail_clone, move_clone, takes_of
from studio.retrying import retried
from studio.states import CloneStatus
from studio.tables import Artefact, Call, Clone, Recording, Voice, now
from studio.takes import Takes
from studio.workflows import Workflows, step

_PROVIDER_SECONDS = 120.0  # how long a provider's passing troubles are waited out
_CLONE_SECONDS = 600.0  # how long a provider may work on one voice
_PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)  # between attempts to delete at the carrier
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
        with self._workflows.running(), structlog.contextvars.bound_contextvars(clone=clone_id):
            try:
                await self._tell(clone_id)
            except Exception:
                _log.exception("clone.failed_unexpectedly")
                await step("fail", self.fail_unexpectedly, clone_id)
            await self._tidy(clone_id)

    async def _tell(self, clone_id: str) -> None:
        if not await step("place", self._calling.place, clone_id):
            return
        while True:
            take_id = await step("await_caller", self._calling.await_caller, clone_id)
            if take_id is None:
                break
            await step("judge", self.judge, take_id)
        take_id = await step("settle", self.settle, clone_id)
        if take_id is None:
            return
        await step("analyze", self.analyze, take_id)
        await step("make_voice", self.make_voice, take_id)

    async def _tidy(self, clone_id: str) -> None:
        """Nothing stays at the carrier, neither a call in progress that is wanted no more, nor a recording; and here
        only the take that a voice was made of."""
        await step("finish_call", self._calling.finish, clone_id)
        await self._delete_recordings(clone_id)
        # One that was still being made when the call ended appears only now.
        await DBOS.sleep_async(self._late_seconds)
        await self._delete_recordings(clone_id)
        await step("forget_takes", self._takes.forget, clone_id)

    async def _delete_recordings(self, clone_id: str) -> None:
        for pause in _PAUSES:
            if await step("delete_recordings", self._calling.delete_recordings, clone_id):
                return
            await DBOS.sleep_async(pause)
        _log.error("clone.recordings_left_at_carrier")

    # ── the recording ────────────────────────────────────────────────────────

    async def judge(self, take_id: str) -> None:
        async with self._database.reading() as session:
            take = await session.get_one(Recording, take_id)
            clone = await session.get_one(Clone, take.clone_id)
        provider = self._providers.get(clone.provider)
        minimum = provider.minimum_speech if isinstance(provider, Cloner) else 0.0
        await self._takes.judge(take_id, minimum)

    async def settle(self, clone_id: str) -> str | None:
        """The call is behind us: the take to make a voice of, or None and the clone has failed with its reason.

        Hanging up instead of pressing keys keeps a good take; the script says so."""
        await self._calling.find_lost_takes(clone_id)
        async with self._database.reading() as session:
            clone = await session.get_one(Clone, clone_id)
            takes = await takes_of(session, clone_id)
        if clone.status.over:
            return None
        for take in takes:
            await self.judge(take.id)
        async with self._database.transaction() as unit:
            call, clone = await call_and_clone(unit, clone_id)
            if clone.status.over:
                return None
            takes = await takes_of(unit, clone_id)
            # The one that was chosen; or else the last of those that will do.
            good = max(
                (take for take in takes if take.problem is None), key=lambda take: (take.kept, take.take), default=None
            )
            if good is None:
                fail_clone(unit, clone, _why_nothing(call, clone, takes))
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
        request = CloneRequest(label=clone.id, name=clone.name, recording=recorded, cleaned=cleaned)
        passing = (contract.Transient, contract.AtCapacity)
        try:
            async with asyncio.timeout(_CLONE_SECONDS):
                made = await retried(lambda: provider.clone(request), passing, _PROVIDER_SECONDS)
        except contract.ProviderError as problem:
            await self._fail(clone.id, failure_of(problem), str(problem))
        except TimeoutError:
            await self._fail(clone.id, FailureCode.PROVIDER_UNAVAILABLE)
        else:
            await self._keep_voice(clone.id, made)

    async def _keep_voice(self, clone_id: str, made: contract.ClonedVoice) -> None:
        """A voice that was canceled meanwhile is kept as one to be deleted, so that the provider surely forgets it."""
        async with self._database.transaction() as unit:
            _, clone = await call_and_clone(unit, clone_id)
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

    async def _begin(self, take_id: str, status: CloneStatus) -> bool:
        """Move on to the next state; False when the clone is over. Being there already is a step run again."""
        async with self._database.transaction() as unit:
            take = await unit.get_one(Recording, take_id)
            _, clone = await call_and_clone(unit, take.clone_id)
            if clone.status.may_become(status):
                move_clone(unit, clone, status)
            return clone.status is status

    async def fail_unexpectedly(self, clone_id: str) -> None:
        await self._fail(clone_id, FailureCode.INTERNAL)

    async def _fail(self, clone_id: str, code: FailureCode, message: str | None = None) -> None:
        async with self._database.transaction() as unit:
            _, clone = await call_and_clone(unit, clone_id)
            fail_clone(unit, clone, code, message)


def _why_nothing(call: Call, clone: Clone, takes: list[Recording]) -> FailureCode:
    if takes:
        return FailureCode(takes[-1].problem or FailureCode.RECORDING_MISSING)
    if clone.status in (CloneStatus.ANSWERED, CloneStatus.RECORDING):
        return FailureCode.HUNG_UP_EARLY
    return FailureCode(call.failure_code) if call.failure_code else FailureCode.CALL_LOST


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
