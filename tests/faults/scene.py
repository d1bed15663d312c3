"""One telling of a story: a person, their phone, and a fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from audio.pcm import Pcm
from studio.states import CloneStatus
from tests.faults.caller import Caller
from tests.faults.deployment import Service
from tests.faults.failpoints import Fault
from tests.faults.front import WITHIN
from tests.faults.outcome import calls_at, recordings_at
from tests.faults.person import Person, Started, signed_up
from tests.faults.stage import Stage, until

T = TypeVar("T")


@dataclass(frozen=True)
class Blow:
    """A fault that falls at a place, or else at once. One who is suspended for `seconds` wakes up while others do its
    work; by default, when all is over."""

    place: str | None
    fault: Fault
    seconds: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What there is in the end. Of the voices: those `made` and `living` at the provider, and `kept` here; of the
    recordings: those `taken` here, and `deleted` and `left` at the carrier."""

    status: str | None
    failure: str | None = None
    rings: int = 1
    consents: int = 0
    made: int = 0
    living: int = 0
    kept: int = 0
    taken: int = 0
    deleted: int = 0
    left: int = 0


class Scene:
    """Whoever asks for something and gets no answer looks, and asks again."""

    def __init__(
        self, stage: Stage, person: Person, caller: Caller, user_id: str, blow: Blow | None, beside: asyncio.TaskGroup
    ) -> None:
        self.stage = stage
        self.caller = caller
        self.clone = Started("", "")
        self._person = person
        self._user_id = user_id
        self._blow = blow
        self._beside = beside
        self._striking: asyncio.Task[Service] | None = None
        self._lives: set[str] = set()
        self._passed = 0
        self._made = len(stage.eleven.made)
        self._deleted = len(stage.front.recordings_deleted)

    # ── the fault ────────────────────────────────────────────────────────────

    async def begin(self) -> None:
        """From now on the fault may fall."""
        failpoints = self.stage.failpoints
        self._passed = len(failpoints.passed())
        if self._blow is not None:
            self._lives = await self.stage.lives()
            if self._blow.place is None:
                failpoints.strike(self.stage.services[0].pid, self._blow.fault)
            else:
                failpoints.arm(self._blow.place, self._blow.fault)
            self._striking = self._beside.create_task(self._suffer(self._blow))

    @property
    def passed(self) -> Sequence[str]:
        """The places that were passed since it began."""
        return self.stage.failpoints.passed()[self._passed :]

    async def recovered(self) -> None:
        """Wait until what was hit is up again."""
        if self._striking is None or self._blow is None:
            return
        async with asyncio.timeout(WITHIN):
            victim = await self._striking
        if victim.suspended:
            await self.stage.wake(victim, self._lives)
        elif victim.gone:
            await self.stage.restart(victim)

    async def _suffer(self, blow: Blow) -> Service:
        victim = await self.stage.struck()
        if blow.fault is Fault.KILLED and len(self.stage.services) == 1:
            await self.stage.restart(victim)
        if blow.seconds is not None:
            await asyncio.sleep(blow.seconds)
            await self.stage.wake(victim, self._lives)
        return victim

    def close(self) -> None:
        self.stage.failpoints.disarm()
        self.stage.eleven.always("add", None)
        if self._striking is not None:
            self._striking.cancel()

    # ── what the person does ─────────────────────────────────────────────────

    async def start_clone(self) -> None:
        try:
            self.clone = await self._person.start_clone()
        except httpx.HTTPStatusError:
            mine = await _patiently(self._person.clones)
            self.clone = mine[0] if mine else await self._person.start_clone()

    async def cancel_clone(self) -> None:
        async def cancel() -> None:
            if not await self._is(CloneStatus.CANCELED):
                await self._person.cancel_clone(self.clone)

        await _patiently(cancel)

    async def delete_voice(self) -> None:
        async def delete() -> None:
            for voice in await self._person.voices():
                await self._person.delete_voice(voice["id"])

        await _patiently(delete)
        await self._until_there_are_no("voices")

    async def delete_account(self) -> None:
        async def delete() -> None:
            if not await self._count("users", "id = :user AND deleted_at IS NOT NULL"):
                await self._person.delete_account()

        await _patiently(delete)
        await self._until_there_are_no("clones")

    # ── what becomes of it ───────────────────────────────────────────────────

    async def comes_to(self, status: CloneStatus) -> None:
        await until(lambda: self._is(status), f"it comes to {status}")

    async def is_over(self) -> Any:
        """Wait for the end of the clone: its row."""

        async def over() -> bool:
            return CloneStatus((await self._clone()).status).over

        await until(over, "the clone comes to its end")
        return await self._clone()

    async def outcome(self) -> Outcome:
        """What there is when nothing is left to do."""
        await self.stage.at_rest()
        stage = self.stage
        clone = await self._clone()
        if clone is not None and clone.failure_code is not None:
            assert clone.failure_message.endswith((".", "!")), clone
            assert len(clone.failure_message.split()) > 5, clone
        calls = await calls_at(stage.front.exchange, self._person.phone)
        left = [await recordings_at(stage.front.exchange, call["sid"]) for call in calls]
        made = stage.eleven.made[self._made :]
        return Outcome(
            status=clone and clone.status,
            failure=clone and clone.failure_code,
            rings=len(calls),
            consents=await self._count("consents"),
            made=len(made),
            living=sum(voice.voice_id in stage.eleven.voices for voice in made),
            kept=await self._count("voices"),
            taken=await self._count("recordings"),
            deleted=len(stage.front.recordings_deleted) - self._deleted,
            left=sum(map(len, left)),
        )

    async def _clone(self) -> Any:
        rows = await self.stage.rows.of(
            "SELECT status, failure_code, failure_message FROM clones WHERE user_id = :user", user=self._user_id
        )
        assert len(rows) <= 1, rows
        return rows[0] if rows else None

    async def _is(self, status: CloneStatus) -> bool:
        return CloneStatus((await self._clone()).status) is status

    async def _count(self, table: str, where: str = "user_id = :user") -> int:
        [row] = await self.stage.rows.of(f"SELECT count(*) FROM {table} WHERE {where}", user=self._user_id)
        return int(row[0])

    async def _until_there_are_no(self, table: str) -> None:
        async def gone() -> bool:
            return await self._count(table) == 0

        await until(gone, f"the {table} are deleted")


@asynccontextmanager
async def scene_on(stage: Stage, said: Pcm, blow: Blow | None = None) -> AsyncIterator[Scene]:
    person = await signed_up(stage.url)
    [(user_id,)] = await stage.rows.of("SELECT id FROM users WHERE phone = :phone", phone=person.phone)
    async with Caller(stage.front.exchange, person.phone, said) as caller, asyncio.TaskGroup() as beside:
        scene = Scene(stage, person, caller, user_id, blow, beside)
        try:
            yield scene
        finally:
            scene.close()
            await person.aclose()


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Again and again, until it is answered."""
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                return await ask()
            except httpx.HTTPStatusError:
                await asyncio.sleep(0.05)
