"""The call by which a voice is cloned, towards the carrier: placed once, watched, ended, and none of it left there.

Each method is one step of the workflow in `studio.cloning` and may run twice, so each looks at the rows first.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from providers.contract import Permit
from studio.database import AWAY, Database
from studio.hub import ChangeHub
from studio.mistakes import FailureCode
from studio.moves import add_take, call_and_clone, fail_clone, move_call, move_clone, takes_of
from studio.ports import CallOrder, CallRefused, Carrier, CarrierError, CarrierUnavailable
from studio.retrying import retried
from studio.states import CallStatus, CloneStatus
from studio.tables import Call, Clone, Recording, now

_UNWANTED = frozenset({FailureCode.ANSWERING_MACHINE.value})
_FIRST_POLL = 2.0  # seconds after which the carrier is asked for the first time
_log = structlog.get_logger()


@dataclass(frozen=True)
class CallTimes:
    """Seconds.

    queue: how long a call may wait at the carrier, which dials one a second, before the phone rings.
    ring, limit: after which the carrier ends a call that nobody answers, or that goes on and on.
    poll: how often the carrier is asked about a call of which nothing is heard.
    fetch: how long a recording that is not there, or not whole, is asked for again.
    late: how long the carrier's word may take: that a recording can be fetched, that a call is over.
    uncertain: how long a callback may take to tell that a call was placed after all. Longer than `ring`: the first that
        is heard of it may be that somebody picks up.
    """

    queue: float = 900.0
    ring: int = 60
    limit: int = 600
    poll: float = 15.0
    fetch: float = 45.0
    late: float = 10.0
    uncertain: float = 75.0


class _Stopwatch:
    """For how long this process has seen something, by a clock that does not jump: the time of day does, and a call in
    progress must not end by it. After a restart the waiting begins anew."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def seconds(self, seen: str) -> float:
        clock = time.monotonic()
        return clock - self._since.setdefault(seen, clock)


class Calling:
    def __init__(self, database: Database, hub: ChangeHub, carrier: Carrier, permit: Permit, times: CallTimes) -> None:
        self._database = database
        self._hub = hub
        self._carrier = carrier
        self._permit = permit
        self._times = times

    async def place(self, clone_id: str) -> bool:
        """Ring the phone: once. The intent is committed before the carrier is asked, so that after a crash a call that
        may have been placed is waited for and not placed again. False if there is no call."""
        async with self._database.transaction() as unit:
            call, clone = await call_and_clone(unit, clone_id)
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
        order = CallOrder(call.id, call.phone, call.purpose, self._times.ring, self._times.limit, self._permit)
        try:
            sid = await self._carrier.place_call(order)
        except CallRefused as refusal:
            await self._not_placed(clone_id, FailureCode(refusal.code), str(refusal), refusal.retryable)
            return False
        except CarrierUnavailable as unclear:
            _log.warning("call.unclear", problem=str(unclear))
            return await self._heard_of(clone_id)
        # Here and now: the step's next run would not know the answer, and wait for a callback.
        await retried(lambda: self._placed(clone_id, sid), AWAY, self._times.uncertain)
        return True

    async def _placed(self, clone_id: str, sid: str) -> None:
        async with self._database.transaction() as unit:
            call, _ = await call_and_clone(unit, clone_id)
            call.sid = call.sid or sid
            move_call(unit, call, CallStatus.INITIATED)
            unit.touch(f"call:{call.id}")

    async def _heard_of(self, clone_id: str) -> bool:
        """Whether a callback tells that the call was placed. Its URLs carry our own id for it."""
        with self._hub.watch(f"clone:{clone_id}") as watch:
            deadline = time.monotonic() + self._times.uncertain
            while (left := deadline - time.monotonic()) > 0:
                call, clone, _ = await self._read(clone_id)
                if call.sid is not None or clone.status.over:
                    return not clone.status.over
                await watch.changed(min(2.0, left))
        return not await self._not_placed(clone_id, FailureCode.CALL_UNCERTAIN)

    async def _not_placed(
        self, clone_id: str, code: FailureCode, message: str | None = None, retryable: bool | None = None
    ) -> bool:
        """Note that there is no call; False if one was heard of meanwhile."""
        async with self._database.transaction() as unit:
            call, clone = await call_and_clone(unit, clone_id)
            if call.sid is not None:
                return False
            fail_clone(unit, clone, code, message, retryable)
            move_call(unit, call, CallStatus.FAILED)
            call.explain(code, message, retryable)
        return True

    async def await_caller(self, clone_id: str) -> str | None:
        """The next take to listen to; None when the caller is through, hung up, or the clone was canceled."""
        watched = _Stopwatch()
        with self._hub.watch(f"clone:{clone_id}") as watch:
            pause = min(_FIRST_POLL, self._times.poll)
            while True:
                call, clone, takes = await self._read(clone_id)
                if clone.status.over or clone.status is CloneStatus.RECORDED:
                    return None
                fresh = next((take for take in takes if take.judged_at is None and self._is_due(take, watched)), None)
                if fresh is not None and clone.status is CloneStatus.REVIEWING:
                    return fresh.id
                if call.status.over or self._is_overdue(call, watched):
                    return None
                if not await watch.changed(pause):
                    await self._ask_carrier(call)
                    pause = self._times.poll

    def _is_due(self, take: Recording, watched: _Stopwatch) -> bool:
        """Whether to fetch it: the carrier says when it is there, but its word may be lost."""
        return take.available_at is not None or take.absent or watched.seconds(take.id) > self._times.late

    def _is_overdue(self, call: Call, watched: _Stopwatch) -> bool:
        """Whether the carrier should have ended it by now."""
        times = self._times
        if call.started_at is not None:
            return watched.seconds("answered") > times.limit + times.late
        return watched.seconds("placed") > times.queue + times.ring + times.late

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
            row = await unit.get_one(Call, call.id, with_for_update=True)
            move_call(unit, row, status)

    async def find_lost_takes(self, clone_id: str) -> None:
        """Recordings of which no callback came, of a call that ended while the caller spoke: the carrier lists what
        they said only a moment later."""
        deadline = time.monotonic() + self._times.late
        while True:
            call, clone, _ = await self._read(clone_id)
            if call.sid is None or clone.status is not CloneStatus.RECORDING:
                return
            try:
                there = await self._carrier.recordings_of(call.sid)
            except CarrierError as trouble:
                _log.warning("recordings.not_listed", problem=str(trouble))
                there = []
            async with self._database.transaction() as unit:
                _, clone = await call_and_clone(unit, clone_id)
                takes = await takes_of(unit, clone_id)
                known = {take.sid for take in takes}
                for found in there:
                    if found.sid not in known:
                        takes.append(add_take(unit, clone, takes, found.sid))
            if any(take.judged_at is None for take in takes) or time.monotonic() > deadline:
                return
            await asyncio.sleep(0.5)

    # ── afterwards ───────────────────────────────────────────────────────────

    async def finish(self, clone_id: str) -> None:
        """Wait until the call is over, and hang up if nobody wants it any more. No call's row stays open for ever."""
        watched = _Stopwatch()
        with self._hub.watch(f"clone:{clone_id}") as watch:
            while True:
                call, clone, _ = await self._read(clone_id)
                if call.status.over:
                    return
                if call.sid is None or self._is_overdue(call, watched):
                    break
                if clone.status is CloneStatus.CANCELED or clone.failure_code in _UNWANTED:
                    await self._hang_up(call.sid)
                if not await watch.changed(min(_FIRST_POLL, self._times.poll)):
                    await self._ask_carrier(call)
        async with self._database.transaction() as unit:
            call, _ = await call_and_clone(unit, clone_id)
            if call.sid is None:
                move_call(unit, call, CallStatus.CANCELED)
            elif not call.status.over:
                move_call(unit, call, CallStatus.FAILED)
                call.explain(FailureCode.CALL_LOST)

    async def _hang_up(self, sid: str) -> None:
        await self._permit()
        try:
            await self._carrier.hang_up(sid)
        except CarrierError as trouble:
            _log.warning("call.not_hung_up", problem=str(trouble))

    async def delete_recordings(self, clone_id: str) -> bool:
        """Delete the call's recordings at the carrier; False if one could not be deleted."""
        async with self._database.reading() as session:
            clone = await session.get_one(Clone, clone_id)
            call = await session.get(Call, clone.call_id) if clone.call_id is not None else None
        if call is None or call.sid is None:
            return True
        async with self._database.reading() as session:
            takes = await takes_of(session, clone_id)
        try:
            sids = {found.sid for found in await self._carrier.recordings_of(call.sid)}
            sids |= {take.sid for take in takes if take.sid is not None and take.deleted_there_at is None}
            for sid in sorted(sids):
                await self._permit()
                await self._carrier.delete_recording(sid)
        except CarrierError as trouble:
            _log.warning("recordings.not_deleted", problem=str(trouble))
            return False
        async with self._database.transaction() as unit:
            await call_and_clone(unit, clone_id)
            for take in await takes_of(unit, clone_id):
                if take.sid in sids:
                    take.deleted_there_at = now()
        return True

    async def _read(self, clone_id: str) -> tuple[Call, Clone, list[Recording]]:
        async with self._database.reading() as session:
            clone = await session.get_one(Clone, clone_id)
            return await session.get_one(Call, clone.call_id), clone, await takes_of(session, clone_id)
