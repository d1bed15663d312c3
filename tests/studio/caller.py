"""A person on the phone, and the telephony room between them and the studio: what they do arrives as webhooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

from audio.wav import BadAudio, read_wav
from studio.database import Unit
from studio.desk import Choose, Hold, Step
from studio.states import CallStatus
from studio.studio import Studio
from studio.tables import Call, Clone, User
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import call_when

WORDS = "Press 1 to agree."
T = TypeVar("T")
_events = count(1)


class Caller:
    """One call, of the clone `clone`; `sid` is the carrier's id for it."""

    def __init__(self, studio: Studio, carrier: ScriptedCarrier, clone: Clone, sid: str) -> None:
        assert clone.call_id is not None
        self.call_id = clone.call_id
        self.sid = sid
        self.takes: list[str] = []
        self._studio = studio
        self._carrier = carrier
        self._clone = clone

    async def webhook(self, kind: str, act: Callable[[Unit], Awaitable[T]], event: str | None = None) -> T:
        """Deliver a webhook; without `event` it is one that never came before."""
        key = f"{self.call_id}/{kind}/{event or next(_events)}"
        async with self._studio.inbox.receive(self.call_id, kind, key, {}) as webhook:
            result = await act(webhook.unit)
            webhook.answer = repr(result)
        return result

    async def status(self, status: CallStatus) -> None:
        self._carrier.statuses[self.sid] = status
        await self.webhook("status", lambda unit: self._studio.desk.call_status(unit, self.call_id, self.sid, status))

    async def answer(self) -> Step:
        self._carrier.statuses[self.sid] = CallStatus.IN_PROGRESS
        return await self.webhook("answer", lambda unit: self._studio.desk.answered(unit, self.call_id, self.sid))

    async def press(self, digits: str | None, attempt: int = 1) -> Step:
        """At the question whether they agree."""
        return await self.webhook(
            "consent", lambda unit: self._studio.desk.consent(unit, self.call_id, digits, attempt, lambda asked: WORDS)
        )

    async def speak(self, sound: bytes | None, ready: bool = True, seconds: float | None = None) -> Step:
        """Say something after the beep, and press a key. `ready`: the carrier tells at once that it can be fetched;
        `seconds`: how long it says that it lasts, if that is not how long it does."""
        sid = self._carrier.record(self.sid, sound)
        self.takes.append(sid)
        lasting = seconds if seconds is not None else _lasting(sound)
        step = await self.webhook(
            "take", lambda unit: self._studio.desk.take_finished(unit, self.call_id, sid, lasting, "1")
        )
        if ready:
            await self.recording(sid)
        return step

    async def stay_silent(self) -> Step:
        return await self.webhook(
            "silent", lambda unit: self._studio.desk.take_finished(unit, self.call_id, None, 0.0, "")
        )

    async def recording(self, sid: str, available: bool = True) -> None:
        await self.webhook(
            "recording", lambda unit: self._studio.desk.recording_status(unit, self.call_id, sid, available)
        )

    async def review(self, waited: int = 0) -> Step:
        return await self.webhook("review", lambda unit: self._studio.desk.review(unit, self.call_id, waited))

    async def listened(self) -> Step:
        """Wait in the hold loop until the take has been listened to."""
        with self._studio.hub.watch(f"clone:{self._clone.id}") as watch:
            while isinstance(step := await self.review(), Hold):
                assert await watch.changed(30.0), "the take was never listened to"
        return step

    async def choose(self, digits: str | None, attempt: int = 1) -> Step:
        return await self.webhook("choice", lambda unit: self._studio.desk.choice(unit, self.call_id, digits, attempt))

    async def hang_up(self) -> None:
        await self.status(CallStatus.COMPLETED)

    async def agree(self) -> None:
        """Answer, and press 1."""
        await self.status(CallStatus.RINGING)
        await self.answer()
        await self.press("1")

    async def keep(self, sound: bytes) -> None:
        """The whole call, as it should be."""
        await self.agree()
        await self.speak(sound)
        assert isinstance(await self.listened(), Choose)
        await self.choose("1")
        await self.hang_up()

    async def row(self) -> Call:
        async with self._studio.database.reading() as session:
            return await session.get_one(Call, self.call_id)


def _lasting(sound: bytes | None) -> float:
    try:
        return read_wav(sound or b"").seconds
    except BadAudio:
        return 4.0


async def ring(studio: Studio, carrier: ScriptedCarrier, user: User) -> tuple[Clone, Caller]:
    """Start a clone, and wait until the carrier has placed its call."""
    clone = await studio.clones.start(user.id, "Me")
    row = await call_when(studio, clone, CallStatus.INITIATED)
    assert row.sid is not None
    return clone, Caller(studio, carrier, clone, row.sid)
