"""Moving calls and clones from state to state, for the desk, the services and the workflows alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from studio.database import Unit
from studio.mistakes import FailureCode
from studio.states import CallStatus, CloneStatus
from studio.tables import Call, Clone, Recording, now

_CALL_FAILURES: Mapping[CallStatus, FailureCode] = {
    CallStatus.BUSY: FailureCode.BUSY,
    CallStatus.NO_ANSWER: FailureCode.NO_ANSWER,
    CallStatus.FAILED: FailureCode.CALL_FAILED,
}


def move_clone(unit: Unit, clone: Clone, status: CloneStatus) -> None:
    """
    Raises:
        ValueError: for a step that is not allowed.
    """
    if not clone.status.may_become(status):
        raise ValueError(f"a clone that is {clone.status} cannot become {status}")
    clone.status = status
    clone.status_changed_at = now()
    unit.touch(f"clone:{clone.id}")


def fail_clone(
    unit: Unit, clone: Clone, code: FailureCode, message: str | None = None, retryable: bool | None = None
) -> None:
    """End a clone badly. One that is over already stays as it is."""
    if clone.status.over:
        return
    clone.explain(code, message, retryable)
    move_clone(unit, clone, CloneStatus.FAILED)


def move_call(unit: Unit, call: Call, status: CallStatus, at: datetime | None = None) -> None:
    """Reports of a call come in any order: those that would move it back are dropped."""
    if not call.status.may_become(status):
        return
    call.status = status
    if status is CallStatus.IN_PROGRESS:
        call.started_at = at or now()
    if status.over:
        call.ended_at = at or now()
        call.confirmation_code = None
        code = _CALL_FAILURES.get(status)
        if code is not None:
            call.explain(code)
    unit.touch(f"call:{call.id}")


async def locked_clone(unit: Unit, clone_id: str) -> Clone:
    """A clone, locked, and its call before it, as at the desk, so that nobody waits for each other."""
    call_id = (await unit.exec(select(Clone.call_id).where(Clone.id == clone_id))).one()
    if call_id is not None:
        await unit.exec(select(Call).where(Call.id == call_id).with_for_update())
    return (await unit.exec(select(Clone).where(Clone.id == clone_id).with_for_update())).one()


async def call_and_clone(unit: Unit, clone_id: str) -> tuple[Call, Clone]:
    """A clone that has a call, and the call, both locked."""
    clone = await locked_clone(unit, clone_id)
    return await unit.get_one(Call, clone.call_id), clone


async def takes_of(session: AsyncSession, clone_id: str) -> list[Recording]:
    """The takes of a clone, oldest first."""
    statement = select(Recording).where(Recording.clone_id == clone_id).order_by(col(Recording.take))
    return list((await session.exec(statement)).all())


def add_take(unit: Unit, clone: Clone, takes: list[Recording], sid: str | None) -> Recording:
    """The next take, after those that there are."""
    take = Recording(user_id=clone.user_id, clone_id=clone.id, take=len(takes) + 1, sid=sid)
    unit.add(take)
    return take
