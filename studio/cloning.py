"""The durable workflow that clones a voice: place the call, listen to each take, and make a voice of the one kept.

The rows are the truth. What the caller does moves them through the desk; the workflow waits for that, does the slow
work, and says how it ended. Every step may run twice (a process can die between doing and noting it), so each looks at
the rows first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from dbos import DBOS
from sqlmodel import select

from providers import contract
from providers.contract import Cloner, CloneRequest
from providers.manager import ProviderRegistry
from studio.database import Database, Unit
from studio.hub import ChangeHub
from studio.mistakes import FailureCode
from studio.moves import add_take, fail_clone, move_call, move_clone, takes_of
from studio.ports import CallOrder, CallRefused, Carrier, CarrierError, CarrierUnavailable
from studio.retrying import retried
from studio.states import CallStatus, CloneStatus
from studio.tables import Artefact, Call, Clone, Recording, Voice, now
from studio.takes import Takes
from studio.workflows import Workflows

_UNCERTAIN_SECONDS = 30.0  # how long a callback may take to tell that a call was placed after all
_STRAGGLER_SECONDS = 5.0
_PROVIDER_SECONDS = 120.0  # how long a provider's passing troubles are waited out
_PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)  # between attempts to delete at the carrier
T = TypeVar("T")
_log = structlog.get_logger()


@dataclass(frozen=True)
class CallTimes:
    """Seconds. `poll`: how often the carrier is asked about a call that it says nothing about."""

    ring: int = 60
    limit: int = 600
    poll: float = 15.0
    fetch: float = 45.0


class Cloning:
    def __init__(
        self,
        database: Database,
        hub: ChangeHub,
        providers: ProviderRegistry,
        carrier: Carrier,
        takes: Takes,
        workflows: Workflows,
        times: CallTimes,
    ) -> None:
        self._database = database
        self._hub = hub
        self._providers = providers
        self._carrier = carrier
        self._takes = takes
        self._workflows = workflows
        self._times = times

    async def run(self, clone_id: str) -> None:
        with self._workflows.running(), structlog.contextvars.bound_contextvars(clone=clone_id):
            try:
                await self._tell(clone_id)
            except Exception:
                _log.exception("clone.failed_unexpectedly")
                await self._fail(clone_id, FailureCode.INTERNAL)
            await self._tidy(clone_id)

    async def _tell(self, clone_id: str) -> None:
        if not await _step("place", self.place, clone_id):
            return
        while True:
            take_id = await _step("await_caller", self.await_caller, clone_id)
            if take_id is None:
                break
            await _step("judge", self.judge, take_id)
        take_id = await _step("settle", self.settle, clone_id)
        if take_id is None:
            return
        await _step("analyze", self.analyze, take_id)
        await _step("make_voice", self.make_voice, take_id)

    async def _tidy(self, clone_id: str) -> None:
        """Nothing stays at the carrier: neither a call in progress that is wanted no more, nor a recording."""
        await _step("finish_call", self.finish_call, clone_id)
        for pause in _PAUSES:
            if await _step("delete_recordings", self.delete_recordings, clone_id):
                return
            await DBOS.sleep_async(pause)
        _log.error("clone.recordings_left_at_carrier")

    # ── the call ─────────────────────────────────────────────────────────────

    async def place(self, clone_id: str) -> bool:
        """Ring the phone: once. The intent is committed before the carrier is asked, so that after a crash a call that
        may have been placed is waited for and not placed again."""
        async with self._database.transaction() as unit:
            call, clone = await _rows(unit, clone_id)
            if clone.status.over:
                return False
            if call.sid is not None:
                return True
            asked_before = call.placing_at is not None
            if not asked_before:
                call.placing_at = now()
                move_clone(unit, clone, CloneStatus.CALLING)
        if asked_before:
            return await self._heard_of(clone_id)
        order = CallOrder(call.id, call.phone, call.purpose, self._times.ring, self._times.limit)
        try:
            sid = await self._carrier.place_call(order)
        except CallRefused as refusal:
            await self._fail(clone_id, FailureCode(refusal.code), str(refusal), call_too=True)
            return False
        except CarrierUnavailable as unclear:
            _log.warning("call.unclear", problem=str(unclear))
            return await self._heard_of(clone_id)
        async with self._database.transaction() as unit:
            call, clone = await _rows(unit, clone_id)
            call.sid = call.sid or sid
            move_call(unit, call, CallStatus.INITIATED)
            unit.touch(f"call:{call.id}")
        return True

    async def _heard_of(self, clone_id: str) -> bool:
        """Whether a callback tells that the call was placed. Its URLs carry our own id for it."""
        with self._hub.watch(f"clone:{clone_id}") as watch:
            deadline = time.monotonic() + _UNCERTAIN_SECONDS
            while time.monotonic() < deadline:
                call, clone = await self._read(clone_id)
                if call.sid is not None or clone.status.over:
                    return not clone.status.over
                await watch.changed(2.0)
        await self._fail(clone_id, FailureCode.CALL_UNCERTAIN, call_too=True)
        return False

    async def await_caller(self, clone_id: str) -> str | None:
        """The next take to listen to; None when the caller is through, hung up, or the clone was canceled."""
        with self._hub.watch(f"clone:{clone_id}") as watch:
            pause = min(2.0, self._times.poll)
            while True:
                call, clone = await self._read(clone_id)
                async with self._database.reading() as session:
                    takes = await takes_of(session, clone_id)
                fresh = next((take for take in takes if take.judged_at is None and _can_be_fetched(take)), None)
                if clone.status.over or clone.status is CloneStatus.RECORDED:
                    return None
                if fresh is not None and clone.status is CloneStatus.REVIEWING:
                    return fresh.id
                if call.status.over:
                    return None
                if not await watch.changed(pause):
                    await self._ask_carrier(call)
                    pause = self._times.poll

    async def _ask_carrier(self, call: Call) -> None:
        """A callback may have been lost, or come while nobody was here to take it."""
        if call.sid is None:
            return
        try:
            status = await self._carrier.call_status(call.sid)
        except CarrierError as trouble:
            _log.warning("call.not_asked", problem=str(trouble))
            return
        async with self._database.transaction() as unit:
            row = await unit.get_one(Call, call.id)
            move_call(unit, row, status)

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
        call, clone = await self._read(clone_id)
        if clone.status.over:
            return None
        await self._find_lost_takes(call, clone)
        async with self._database.reading() as session:
            takes = await takes_of(session, clone_id)
        for take in takes:
            await self.judge(take.id)
        async with self._database.transaction() as unit:
            call, clone = await _rows(unit, clone_id)
            if clone.status.over:
                return None
            takes = await takes_of(unit, clone_id)
            good = next((take for take in reversed(takes) if take.problem is None), None)
            if good is None:
                fail_clone(unit, clone, _why_nothing(call, clone, takes))
                return None
            good.kept = True
            for status in (CloneStatus.REVIEWING, CloneStatus.RECORDED):
                if clone.status.may_become(status):
                    move_clone(unit, clone, status)
            return good.id

    async def _find_lost_takes(self, call: Call, clone: Clone) -> None:
        """Recordings of which no callback came. Only what the caller had agreed to is looked for.

        Who hangs up while they speak ends the call a moment before the carrier lists what they said."""
        if call.sid is None or clone.status not in (CloneStatus.RECORDING, CloneStatus.REVIEWING):
            return
        deadline = time.monotonic() + _STRAGGLER_SECONDS
        while True:
            try:
                there = await self._carrier.recordings_of(call.sid)
            except CarrierError as trouble:
                _log.warning("recordings.not_listed", problem=str(trouble))
                there = []
            async with self._database.transaction() as unit:
                takes = await takes_of(unit, clone.id)
                known = {take.sid for take in takes}
                for found in there:
                    if found.sid not in known:
                        takes.append(add_take(unit, clone, takes, found.sid))
            if any(take.sid for take in takes) or time.monotonic() > deadline:
                return
            await asyncio.sleep(0.5)

    # ── the voice ────────────────────────────────────────────────────────────

    async def analyze(self, take_id: str) -> None:
        if await self._begin(take_id, CloneStatus.ANALYZING):
            await self._takes.analyze(take_id)

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
        try:
            made = await retried(
                lambda: provider.clone(request), (contract.Transient, contract.AtCapacity), _PROVIDER_SECONDS
            )
        except contract.ProviderError as problem:
            await self._fail(clone.id, failure_of(problem), str(problem))
            return
        if not await self._keep_voice(clone.id, made):
            await provider.delete_voice(made.artefact)  # canceled meanwhile

    async def _keep_voice(self, clone_id: str, made: contract.ClonedVoice) -> bool:
        async with self._database.transaction() as unit:
            _, clone = await _rows(unit, clone_id)
            if not clone.status.may_become(CloneStatus.READY):
                return clone.status is CloneStatus.READY
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
                clone_id=clone.id,
                artefact_id=artefact.id,
            )
            unit.add(voice)
            clone.voice_id = voice.id
            move_clone(unit, clone, CloneStatus.READY)
        return True

    async def _begin(self, take_id: str, status: CloneStatus) -> bool:
        """Move on to the next state; False when the clone is over. Being there already is a step run again."""
        async with self._database.transaction() as unit:
            take = await unit.get_one(Recording, take_id)
            _, clone = await _rows(unit, take.clone_id)
            if clone.status.may_become(status):
                move_clone(unit, clone, status)
            return clone.status is status

    # ── afterwards ───────────────────────────────────────────────────────────

    async def finish_call(self, clone_id: str) -> None:
        """Wait until the call is over; hang up on one that the user has canceled."""
        with self._hub.watch(f"clone:{clone_id}") as watch:
            deadline = time.monotonic() + self._times.limit
            while time.monotonic() < deadline:
                call, clone = await self._read(clone_id)
                if call.sid is None or call.status.over:
                    return
                if clone.status is CloneStatus.CANCELED:
                    await self._hang_up(call)
                if not await watch.changed(min(2.0, self._times.poll)):
                    await self._ask_carrier(call)

    async def _hang_up(self, call: Call) -> None:
        assert call.sid is not None
        try:
            await self._carrier.hang_up(call.sid)
        except CarrierError as trouble:
            _log.warning("call.not_hung_up", problem=str(trouble))

    async def delete_recordings(self, clone_id: str) -> bool:
        """Delete the call's recordings at the carrier; False if one could not be deleted."""
        call, _ = await self._read(clone_id)
        async with self._database.reading() as session:
            takes = await takes_of(session, clone_id)
        if call.sid is None:
            return True
        try:
            there = {found.sid for found in await self._carrier.recordings_of(call.sid)}
            for sid in there | {take.sid for take in takes if take.sid and take.deleted_there_at is None}:
                await self._carrier.delete_recording(sid)
        except CarrierError as trouble:
            _log.warning("recordings.not_deleted", problem=str(trouble))
            return False
        async with self._database.transaction() as unit:
            for take in await takes_of(unit, clone_id):
                take.deleted_there_at = take.deleted_there_at or now()
        return True

    async def _fail(self, clone_id: str, code: FailureCode, message: str | None = None, call_too: bool = False) -> None:
        async with self._database.transaction() as unit:
            call, clone = await _rows(unit, clone_id)
            fail_clone(unit, clone, code, message)
            if call_too:
                move_call(unit, call, CallStatus.FAILED)
                call.explain(code, message)

    async def _read(self, clone_id: str) -> tuple[Call, Clone]:
        async with self._database.reading() as session:
            clone = await session.get_one(Clone, clone_id)
            return await session.get_one(Call, clone.call_id), clone


async def _rows(unit: Unit, clone_id: str) -> tuple[Call, Clone]:
    # The call first, as at the desk: whoever locks both locks them in one order.
    call_id = (await unit.exec(select(Clone.call_id).where(Clone.id == clone_id))).one()
    call = (await unit.exec(select(Call).where(Call.id == call_id).with_for_update())).one()
    clone = (await unit.exec(select(Clone).where(Clone.id == clone_id).with_for_update())).one()
    return call, clone


def _can_be_fetched(take: Recording) -> bool:
    """The carrier says when a recording is there; if its word was lost, ten seconds are enough."""
    return take.available_at is not None or take.absent or (now() - take.created_at).total_seconds() > 10


def _why_nothing(call: Call, clone: Clone, takes: list[Recording]) -> FailureCode:
    if takes:
        return FailureCode(takes[-1].problem or FailureCode.RECORDING_MISSING)
    if clone.status in (CloneStatus.ANSWERED, CloneStatus.RECORDING, CloneStatus.REVIEWING):
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


async def _step(name: str, work: Callable[[str], Coroutine[Any, Any, T]], argument: str) -> T:
    """One checkpointed step: what it returned is not done again when the workflow goes on elsewhere."""
    return await DBOS.run_step_async({"name": name}, work, argument)


_here: Cloning | None = None


def bind(cloning: Cloning) -> None:
    """What the workflows of this process work with. Before any of them can be resumed."""
    global _here
    _here = cloning


@DBOS.workflow(name="clone")
async def clone_workflow(clone_id: str) -> None:
    assert _here is not None, "workflows were launched before they were bound"
    await _here.run(clone_id)
