"""What happens in a call that clones a voice: each method is one thing the caller did, and returns the step they come
to next. All of it happens inside the webhook's transaction, and reads nothing but the rows.

Nothing here moves a clone backwards but "record again": a delivery that is late, repeated or replayed gets the step of
the present state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sqlmodel import col, select

from providers.contract import Cloner
from providers.manager import ProviderRegistry
from studio.blobs import Blobs
from studio.database import Database, Unit
from studio.mistakes import FailureCode
from studio.moves import add_take, fail_clone, move_call, move_clone, takes_of
from studio.states import CallStatus, CloneStatus
from studio.tables import Call, Clone, Consent, Recording, User, now

MAX_ATTEMPTS = 3  # how often a caller is asked the same thing
MAX_TAKES = 4
MAX_WAITS = 30  # rounds of the hold loop, of somewhat more than a second
WANTED_SECONDS = 20.0  # what the script asks for


class UnknownCall(Exception):
    """No call has this id, or its account is gone."""


@dataclass(frozen=True, slots=True)
class AskConsent:
    """Say what will happen and ask for a key: 1, or the digits that the app shows if `code_digits` is set. `recipient`
    gets the recording; None if it stays here."""

    name: str
    code_digits: int | None
    attempt: int
    recipient: str | None = None


class RecordWhy(StrEnum):
    FIRST = "first"
    AGAIN = "again"
    TOO_LITTLE = "too_little"
    SILENT = "silent"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Record:
    take: int
    why: RecordWhy
    heard_seconds: float = 0.0
    wanted_seconds: float = WANTED_SECONDS


@dataclass(frozen=True, slots=True)
class Hold:
    """The recording is being fetched and listened to: keep the caller company. `waited` counts the rounds."""

    waited: int


@dataclass(frozen=True, slots=True)
class Choose:
    """Keep it, hear it, or record again; `play` it first if that is wanted."""

    recording_id: str
    speech_seconds: float
    attempt: int
    play: bool = False


class GoodbyeReason(StrEnum):
    KEPT = "kept"
    LATER = "later"  # the recording was not there in time: the app will tell
    REFUSED = "refused"
    WRONG_CODE = "wrong_code"
    NO_KEY = "no_key"
    TOO_LITTLE = "too_little"
    MACHINE = "machine"  # or so it seemed
    CANCELED = "canceled"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Goodbye:
    reason: GoodbyeReason


Step = AskConsent | Record | Hold | Choose | Goodbye


class Desk:
    def __init__(self, database: Database, blobs: Blobs, providers: ProviderRegistry) -> None:
        self._database = database
        self._blobs = blobs
        self._providers = providers

    # ── what the caller does ─────────────────────────────────────────────────

    async def answered(self, unit: Unit, call_id: str, sid: str) -> Step:
        call, clone = await self._picked_up(unit, call_id, sid)
        return await self._present(unit, call, clone)

    async def consent(
        self, unit: Unit, call_id: str, digits: str | None, attempt: int, wording: Callable[[AskConsent], str]
    ) -> Step:
        """They were asked for the `attempt`th time and pressed `digits`, or nothing. `wording` gives the words in which
        they have been asked: those are kept with their consent."""
        call, clone = await self._rows(unit, call_id)
        if clone.status is not CloneStatus.ANSWERED:
            return await self._present(unit, call, clone)
        expected = call.confirmation_code or "1"
        if digits != expected:
            if attempt < MAX_ATTEMPTS:
                return self._ask(call, clone, attempt + 1)
            if digits is None:
                return _end(unit, clone, FailureCode.NO_KEY_PRESSED)
            return _end(unit, clone, FailureCode.WRONG_CODE if call.confirmation_code else FailureCode.NOT_AGREED)
        how = "keyed in the code shown in the app" if call.confirmation_code else "pressed 1"
        words = wording(self._ask(call, clone, attempt))
        unit.add(Consent(user_id=clone.user_id, clone_id=clone.id, how=f"{how}, on the phone", wording=words))
        await self._prove(unit, call)
        move_clone(unit, clone, CloneStatus.RECORDING)
        return Record(take=1, why=RecordWhy.FIRST)

    async def take_finished(
        self, unit: Unit, call_id: str, recording_sid: str | None, seconds: float, digits: str
    ) -> Step:
        """A take has ended: by a key, by silence, by its length, or because they hung up (`digits` "hangup").

        `recording_sid` is None when nothing was recorded."""
        call, clone = await self._rows(unit, call_id)
        if clone.status is not CloneStatus.RECORDING:
            return await self._present(unit, call, clone)
        takes = await takes_of(unit, clone.id)
        if recording_sid is None:
            silent = add_take(unit, clone, takes, sid=None)
            silent.absent, silent.judged_at, silent.problem = True, now(), FailureCode.TOO_LITTLE_SPEECH
            return _record_again(unit, clone, silent, RecordWhy.SILENT)
        take = next((take for take in takes if take.sid == recording_sid), None)
        take = take or add_take(unit, clone, takes, recording_sid)
        take.seconds = seconds
        move_clone(unit, clone, CloneStatus.REVIEWING)
        return Hold(waited=0)

    async def review(self, unit: Unit, call_id: str, waited: int) -> Step:
        """The hold loop asks again."""
        call, clone = await self._rows(unit, call_id)
        if clone.status is not CloneStatus.REVIEWING:
            return await self._present(unit, call, clone)
        take = (await takes_of(unit, clone.id))[-1]
        if take.judged_at is None:
            return Hold(waited + 1) if waited < MAX_WAITS else Goodbye(GoodbyeReason.LATER)
        if take.problem is None:
            return Choose(take.id, take.speech_seconds, attempt=1)
        why = RecordWhy.TOO_LITTLE if take.problem == FailureCode.TOO_LITTLE_SPEECH else RecordWhy.LOST
        return _record_again(unit, clone, take, why)

    async def choice(self, unit: Unit, call_id: str, digits: str | None, attempt: int) -> Step:
        """1 keeps the take, 2 plays it, 3 records again; who says nothing at all keeps it."""
        call, clone = await self._rows(unit, call_id)
        if clone.status is not CloneStatus.REVIEWING:
            return await self._present(unit, call, clone)
        take = (await takes_of(unit, clone.id))[-1]
        if take.judged_at is None or take.problem is not None:
            return Hold(waited=0)
        if digits == "2":
            return Choose(take.id, take.speech_seconds, attempt, play=True)
        if digits == "3" and take.take < MAX_TAKES:
            move_clone(unit, clone, CloneStatus.RECORDING)
            return Record(take=take.take + 1, why=RecordWhy.AGAIN)
        if digits != "1" and attempt < MAX_ATTEMPTS:
            return Choose(take.id, take.speech_seconds, attempt + 1)
        take.kept = True
        move_clone(unit, clone, CloneStatus.RECORDED)
        return Goodbye(GoodbyeReason.KEPT)

    # ── what the carrier reports ─────────────────────────────────────────────

    async def resume(self, unit: Unit, call_id: str, sid: str, take_lost: bool) -> Step:
        """The carrier did not get the next step, or could not carry it out: go on from where the call stands.
        `take_lost` says that it was a take that did not get through."""
        call, clone = await self._picked_up(unit, call_id, sid)
        if clone.status is CloneStatus.REVIEWING:
            return await self.review(unit, call_id, waited=0)
        step = await self._present(unit, call, clone)
        return replace(step, why=RecordWhy.LOST) if isinstance(step, Record) and take_lost else step

    async def give_up(self, unit: Unit, call_id: str, sid: str) -> Step:
        """The call cannot go on. What becomes of the clone is the workflow's to say: a take may be good enough."""
        call, clone = await self._rows(unit, call_id, sid)
        if clone.status is CloneStatus.REVIEWING:
            return Goodbye(GoodbyeReason.LATER)
        step = await self._present(unit, call, clone)
        return step if isinstance(step, Goodbye) else Goodbye(GoodbyeReason.TROUBLE)

    async def answered_by_machine(self, unit: Unit, call_id: str, sid: str) -> None:
        """Nobody has pressed a key, and the carrier heard a machine: the workflow hangs up."""
        call, clone = await self._rows(unit, call_id, sid)
        if clone.status in (CloneStatus.CALLING, CloneStatus.RINGING, CloneStatus.ANSWERED):
            fail_clone(unit, clone, FailureCode.ANSWERING_MACHINE)
            unit.touch(f"call:{call.id}")

    async def call_status(
        self,
        unit: Unit,
        call_id: str,
        sid: str,
        status: CallStatus,
        at: datetime | None = None,
        why: tuple[FailureCode, str] | None = None,
    ) -> None:
        """Only moves the call, and the clone while it rings; what its end means is the workflow's to say. `why` it
        failed, if the carrier knows more than that."""
        call, clone = await self._rows(unit, call_id, sid)
        move_call(unit, call, status, at)
        if why is not None and call.status is status is CallStatus.FAILED:
            call.explain(*why)
        unit.touch(f"clone:{clone.id}")
        if status is CallStatus.RINGING and clone.status.may_become(CloneStatus.RINGING):
            move_clone(unit, clone, CloneStatus.RINGING)

    async def recording_status(self, unit: Unit, call_id: str, recording_sid: str, available: bool) -> None:
        """A recording can be fetched now, or never will be. May be heard of before the take has ended."""
        _, clone = await self._rows(unit, call_id)
        takes = await takes_of(unit, clone.id)
        take = next((take for take in takes if take.sid == recording_sid), None)
        if available:
            take = take or add_take(unit, clone, takes, recording_sid)
            take.available_at = take.available_at or now()
        elif take is not None:
            # Of one that nobody knows nothing was heard: the caller goes on by `take_finished` with no recording.
            take.absent = True
        unit.touch(f"clone:{clone.id}")

    async def replay_audio(self, call_id: str, recording_id: str) -> bytes | None:
        """A take as a WAV file, for the caller to hear."""
        statement = (
            select(Recording)
            .join(Clone, col(Clone.id) == col(Recording.clone_id))
            .where(Clone.call_id == call_id, Recording.id == recording_id)
        )
        async with self._database.reading() as session:
            take = (await session.exec(statement)).first()
        return await self._blobs.get(take.blob) if take is not None and take.blob is not None else None

    # ── within ───────────────────────────────────────────────────────────────

    async def _rows(self, unit: Unit, call_id: str, sid: str | None = None) -> tuple[Call, Clone]:
        call = (await unit.exec(select(Call).where(Call.id == call_id).with_for_update())).first()
        clone = (await unit.exec(select(Clone).where(Clone.call_id == call_id).with_for_update())).first()
        if call is None or clone is None:
            raise UnknownCall(call_id)
        if sid is not None and call.sid is None:
            call.sid = sid  # the callback may overtake the answer to our own request
        return call, clone

    async def _picked_up(self, unit: Unit, call_id: str, sid: str) -> tuple[Call, Clone]:
        """The rows of a call that asks how it goes on, and so has been answered."""
        call, clone = await self._rows(unit, call_id, sid)
        move_call(unit, call, CallStatus.IN_PROGRESS)
        if clone.status.may_become(CloneStatus.ANSWERED):
            move_clone(unit, clone, CloneStatus.ANSWERED)
        return call, clone

    def _ask(self, call: Call, clone: Clone, attempt: int) -> AskConsent:
        digits = len(call.confirmation_code) if call.confirmation_code else None
        provider = self._providers.get(clone.provider)
        recipient = provider.recipient if isinstance(provider, Cloner) else None
        return AskConsent(name=clone.name, code_digits=digits, attempt=attempt, recipient=recipient)

    async def _prove(self, unit: Unit, call: Call) -> None:
        """Who keyed in the code has both the account and the phone."""
        if call.confirmation_code is None:
            return
        call.confirmation_code = None
        user = await unit.get_one(User, call.user_id)
        if user.phone is None:
            user.phone = call.phone
        if user.phone == call.phone:
            user.phone_proven_at = now()

    async def _present(self, unit: Unit, call: Call, clone: Clone) -> Step:
        """The step that belongs to the state, for deliveries that come late or twice."""
        match clone.status:
            case CloneStatus.ANSWERED:
                return self._ask(call, clone, 1)
            case CloneStatus.RECORDING:
                takes = await takes_of(unit, clone.id)
                return Record(take=len(takes) + 1, why=RecordWhy.AGAIN if takes else RecordWhy.FIRST)
            case CloneStatus.REVIEWING:
                return Hold(waited=0)
            case CloneStatus.CANCELED:
                return Goodbye(GoodbyeReason.CANCELED)
            case CloneStatus.FAILED:
                return Goodbye(_GOODBYES.get(clone.failure_code or "", GoodbyeReason.TROUBLE))
            case CloneStatus.REQUESTED | CloneStatus.CALLING | CloneStatus.RINGING:
                return Goodbye(GoodbyeReason.TROUBLE)
            case _:
                return Goodbye(GoodbyeReason.KEPT)


_GOODBYES: Mapping[str, GoodbyeReason] = {
    FailureCode.NO_KEY_PRESSED: GoodbyeReason.NO_KEY,
    FailureCode.WRONG_CODE: GoodbyeReason.WRONG_CODE,
    FailureCode.NOT_AGREED: GoodbyeReason.REFUSED,
    FailureCode.TOO_LITTLE_SPEECH: GoodbyeReason.TOO_LITTLE,
    FailureCode.ANSWERING_MACHINE: GoodbyeReason.MACHINE,
}


def _end(unit: Unit, clone: Clone, code: FailureCode) -> Goodbye:
    fail_clone(unit, clone, code)
    return Goodbye(_GOODBYES.get(code, GoodbyeReason.TROUBLE))


def _record_again(unit: Unit, clone: Clone, bad: Recording, why: RecordWhy) -> Step:
    """Another take after a bad one, unless there were enough of them."""
    if bad.take >= MAX_TAKES:
        return _end(unit, clone, FailureCode(bad.problem or FailureCode.RECORDING_MISSING))
    if clone.status is not CloneStatus.RECORDING:
        move_clone(unit, clone, CloneStatus.RECORDING)
    return Record(take=bad.take + 1, why=why, heard_seconds=bad.speech_seconds)
