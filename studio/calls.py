"""Phone calls as their owners see them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

from sqlalchemy import ColumnElement, text
from sqlmodel import col, func, select

from studio.database import Database, Unit
from studio.mistakes import Mistake, MistakeCode
from studio.moves import move_clone
from studio.repositories import Repository
from studio.states import CallPurpose, CloneStatus
from studio.tables import Call, Clone, Consent, User, now

_UNPROVEN_CALLS_PER_DAY = 5  # to one number, by anybody: nobody is pestered
_LONGEST_CALL = timedelta(minutes=30)  # queued at the carrier, ringing, and answered


class Calls(Repository[Call]):
    def __init__(self, database: Database, per_hour: int, per_day: int) -> None:
        super().__init__(database, Call, "call")
        self._per_hour = per_hour
        self._per_day = per_day

    def follow(self, owner: str, call_id: str) -> AsyncIterator[Call]:
        return self._follow(owner, call_id, over=lambda call: call.status.over)

    async def hang_up(self, owner: str, call_id: str) -> Call:
        """End a call. What it was for is canceled, and the workflow of that hangs up.

        Raises:
            Mistake: NOT_FOUND; WRONG_STATE, if it is over, or has its recording and is saying goodbye.
        """
        async with self._database.transaction() as unit:
            call = await self.locked(unit, owner, call_id)
            clone = (await unit.exec(select(Clone).where(Clone.call_id == call_id).with_for_update())).first()
            if call.status.over or clone is None or not clone.status.on_the_phone:
                raise Mistake(MistakeCode.WRONG_STATE, "This call is over already.", ("id",))
            move_clone(unit, clone, CloneStatus.CANCELED)
        return call

    async def order(self, unit: Unit, user: User, phone: str, purpose: CallPurpose) -> Call:
        """A call's row, if it may be placed. A number that this user has not used before gets a code to key in.

        Raises:
            Mistake: RATE_LIMITED, WRONG_STATE.
        """
        await self._check_rates(unit, user.id)
        await self._lock(unit, phone)
        if await self._count(unit, Call.phone == phone, col(Call.ended_at).is_(None), since=_LONGEST_CALL):
            raise Mistake(MistakeCode.WRONG_STATE, "That phone is being called already.", ("phone",))
        proven = await self._is_proven(unit, user, phone)
        if not proven:
            tried = await self._count(unit, Call.phone == phone, since=timedelta(days=1))
            if tried >= _UNPROVEN_CALLS_PER_DAY:
                message = "That phone was called too often today without being proven. Try again tomorrow."
                raise Mistake(MistakeCode.RATE_LIMITED, message, ("phone",))
        call = Call(
            user_id=user.id,
            purpose=purpose,
            phone=phone,
            confirmation_code=None if proven else f"{secrets.randbelow(10_000):04d}",
        )
        unit.add(call)
        return call

    async def _check_rates(self, unit: Unit, owner: str) -> None:
        for limit, period, words in (
            (self._per_hour, timedelta(hours=1), "an hour"),
            (self._per_day, timedelta(days=1), "a day"),
        ):
            if await self._count(unit, Call.user_id == owner, since=period) >= limit:
                raise Mistake(MistakeCode.RATE_LIMITED, f"At most {limit} calls {words}. Try again later.")

    async def _lock(self, unit: Unit, phone: str) -> None:
        """Whoever else wants to call this phone waits. On SQLite they wait for the transaction as a whole."""
        if not self._database.sqlite:
            lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:phone, 0))")
            await (await unit.connection()).execute(lock, {"phone": phone})

    async def _is_proven(self, unit: Unit, user: User, phone: str) -> bool:
        if user.phone == phone and user.phone_proven_at is not None:
            return True
        statement = (
            select(Consent.id)
            .join(Clone, col(Clone.id) == col(Consent.clone_id))
            .join(Call, col(Call.id) == col(Clone.call_id))
            .where(Consent.user_id == user.id, Call.phone == phone)
            .limit(1)
        )
        # A number that has been changed since has to be proven again.
        return user.phone != phone and (await unit.exec(statement)).first() is not None

    async def _count(self, unit: Unit, *conditions: ColumnElement[bool] | bool, since: timedelta) -> int:
        statement = select(func.count()).select_from(Call).where(*conditions, col(Call.created_at) > now() - since)
        return (await unit.exec(statement)).one()
