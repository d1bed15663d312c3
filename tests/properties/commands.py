"""What can happen in a story, each thing a command. One that means nothing at its moment does nothing: so every list of
commands is a story, and a part of one as well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from itertools import chain
from typing import Protocol

from hypothesis import strategies as st

from audio.wav import read_wav
from providers.contract import AtCapacity, Gone, ProviderError, QuotaExceeded, Refused, Transient
from studio.mistakes import FailureCode
from studio.ports import CallRefused, CarrierUnavailable, RecordingUnusable
from studio.states import CallStatus
from tests.properties.outside import CARRIER_POINTS, PROVIDER_POINTS, Ring
from tests.properties.world import PASSWORD, PHONE, World
from tests.studio.sounds import murmur, silence, spoken

_GOOD = spoken(2.0)
_NEVER = 10**9


class Command(Protocol):
    async def act(self, world: World) -> None: ...


# ── the person on the phone ──────────────────────────────────────────────────


class Sound(Enum):
    GOOD = _GOOD
    MURMUR = murmur()
    SILENCE = silence()
    CUT_OFF = _GOOD[:100]

    def __repr__(self) -> str:
        return f"Sound.{self.name}"


@dataclass(frozen=True)
class GoOn:
    """The next things that somebody does who wants a voice: start, pick up, agree, speak, wait, keep it, hang up."""

    times: int

    async def act(self, world: World) -> None:
        for _ in range(self.times):
            await self._step(world)

    async def _step(self, world: World) -> None:
        if world.ring is None:
            await Start().act(world)
            await world.until(lambda: world.ring)
            return
        ring = world.ring
        if ring.heard is None:
            await PickUp().act(world)
        elif ring.heard.verbs == ["Gather"]:
            code = world.code_of(ring) if "/consent?" in ring.heard.gather else None
            await Press(code or "1").act(world)
        elif "Record" in ring.heard.verbs:
            await Speak(Sound.GOOD).act(world)
        elif "Redirect" in ring.heard.verbs:
            await world.until(lambda: _listened_to(world, ring))
            await Follow().act(world)
        else:
            await HangUp().act(world)


@dataclass(frozen=True)
class PickUp:
    async def act(self, world: World) -> None:
        ring = world.ring
        if ring is not None and ring.heard is None:
            ring.become(CallStatus.IN_PROGRESS)
            await world.go_to(ring, ring.urls.answer, CallStatus="in-progress")


@dataclass(frozen=True)
class Press:
    digits: str

    async def act(self, world: World) -> None:
        ring = world.ring
        if ring is not None and ring.heard is not None and ring.heard.verbs == ["Gather"]:
            await world.go_to(ring, ring.heard.gather, Digits=self.digits)


@dataclass(frozen=True)
class Speak:
    """Into a <Record>. `missing`: how often the recording is not there yet; `hanging_up`: instead of pressing a key."""

    sound: Sound
    missing: int = 0
    hanging_up: bool = False

    async def act(self, world: World) -> None:
        ring = world.ring
        if ring is None or ring.heard is None or "Record" not in ring.heard.verbs:
            return
        sid = world.exchange.record(ring, self.sound.value, self.missing)
        ring.report(ring.urls.recording, RecordingSid=sid, RecordingStatus="completed")
        seconds = "0" if self.sound is Sound.CUT_OFF else str(round(read_wav(self.sound.value).seconds))
        form = {"RecordingSid": sid, "RecordingDuration": seconds}
        if self.hanging_up:
            ring.become(CallStatus.COMPLETED)
            await world.go_to(ring, ring.heard.record, Digits="hangup", **form)
        else:
            await world.go_to(ring, ring.heard.record, Digits="1", **form)


@dataclass(frozen=True)
class SpeakAndVanish:
    """The call ends while they speak, and the address that a <Record> names is never asked for."""

    async def act(self, world: World) -> None:
        ring = world.ring
        if ring is not None and ring.heard is not None and "Record" in ring.heard.verbs:
            world.exchange.record(ring, _GOOD, missing=0)
            ring.become(CallStatus.COMPLETED)


@dataclass(frozen=True)
class StaySilent:
    async def act(self, world: World) -> None:
        ring = world.ring
        if ring is not None and ring.heard is not None and "Record" in ring.heard.verbs:
            sid = world.exchange.new_sid()
            ring.report(ring.urls.recording, RecordingSid=sid, RecordingStatus="absent")
            await world.go_to(ring, ring.heard.redirect)


@dataclass(frozen=True)
class Follow:
    """Go where the document redirects to."""

    async def act(self, world: World) -> None:
        ring = world.ring
        if ring is not None and ring.heard is not None and "Redirect" in ring.heard.verbs:
            await world.go_to(ring, ring.heard.redirect)


@dataclass(frozen=True)
class HangUp:
    async def act(self, world: World) -> None:
        if world.ring is not None:
            ends = CallStatus.COMPLETED if world.ring.status is CallStatus.IN_PROGRESS else CallStatus.BUSY
            world.ring.become(ends)


# ── what the carrier says ────────────────────────────────────────────────────


@dataclass(frozen=True)
class Report:
    """One of the callbacks that were due so far arrives: late, out of order, or again."""

    which: int

    async def act(self, world: World) -> None:
        reports = [(ring, *report) for ring in world.exchange.rings for report in reversed(ring.reports)]
        if reports:
            ring, url, form = reports[self.which % len(reports)]
            await world.deliver(ring, url, form)


@dataclass(frozen=True)
class Repeat:
    """A webhook that was answered is delivered once more, with what it said or with something else."""

    which: int
    digits: str | None = None

    async def act(self, world: World) -> None:
        if world.delivered:
            earlier = world.delivered[-1 - self.which % len(world.delivered)]
            other = {"Digits": self.digits} if self.digits is not None and "Digits" in earlier.form else {}
            await world.deliver(earlier.ring, earlier.url, {**earlier.form, **other})


@dataclass(frozen=True)
class FailOver:
    """The carrier could not do with the last document."""

    async def act(self, world: World) -> None:
        ring = world.ring
        if ring is not None and ring.at:
            await world.go_to(ring, ring.urls.fallback, ErrorCode="11200", ErrorUrl=ring.at)


@dataclass(frozen=True)
class Machine:
    async def act(self, world: World) -> None:
        if world.ring is not None:
            await world.deliver(world.ring, world.ring.urls.answered_by, {"AnsweredBy": "machine_start"})


# ── the user in the app ──────────────────────────────────────────────────────


@dataclass(frozen=True)
class Start:
    async def act(self, world: World) -> None:
        await world.ask(lambda studio: studio.clones.start(world.owner, "Me", PHONE))


@dataclass(frozen=True)
class Upload:
    async def act(self, world: World) -> None:
        sound = read_wav(_GOOD)
        await world.ask(lambda studio: studio.clones.from_audio(world.owner, "Me", sound, True, "I agree."))


class Deed(Enum):
    CANCEL = "clones"
    RETRY = "clones "
    HANG_UP = "calls"
    DELETE_VOICE = "voices"

    def __repr__(self) -> str:
        return f"Deed.{self.name}"


@dataclass(frozen=True)
class Do:
    """Something with the newest clone, call or voice."""

    deed: Deed

    async def act(self, world: World) -> None:
        row_id = world.newest(self.deed.value.strip())
        if row_id is None:
            return
        match self.deed:
            case Deed.CANCEL:
                await world.ask(lambda studio: studio.clones.cancel(world.owner, row_id))
            case Deed.RETRY:
                await world.ask(lambda studio: studio.clones.retry(world.owner, row_id))
            case Deed.HANG_UP:
                await world.ask(lambda studio: studio.calls.hang_up(world.owner, row_id))
            case Deed.DELETE_VOICE:
                await world.ask(lambda studio: studio.voices.delete(world.owner, row_id))


@dataclass(frozen=True)
class DeleteAccount:
    """And begin another one."""

    async def act(self, world: World) -> None:
        await world.ask(lambda studio: studio.accounts.delete_account(world.owner, PASSWORD))
        if not world.signed_up:
            await world.sign_up()


@dataclass(frozen=True)
class ChangePhone:
    """The phone is not proven to be theirs any more: the next call asks for a code."""

    async def act(self, world: World) -> None:
        await world.ask(lambda studio: studio.accounts.set_phone(world.owner, "+14155550199"))


# ── what goes wrong ──────────────────────────────────────────────────────────


class Trouble(Enum):
    UNAVAILABLE = CarrierUnavailable("nobody answers")
    UNUSABLE = RecordingUnusable("cut short")
    REFUSED = CallRefused("not this number", FailureCode.NUMBER_NOT_CALLABLE)

    def __repr__(self) -> str:
        return f"Trouble.{self.name}"


@dataclass(frozen=True)
class CarrierFails:
    point: str
    times: int
    trouble: Trouble = Trouble.UNAVAILABLE

    async def act(self, world: World) -> None:
        world.exchange.points.fail(self.point, self.trouble.value, self.times)


_PROBLEMS: dict[str, ProviderError] = {
    "Transient": Transient("not now"),
    "AtCapacity": AtCapacity("busy", retry_after=0.0),
    "QuotaExceeded": QuotaExceeded("no more voices"),
    "Refused": Refused("not this voice"),
    "Gone": Gone("it is gone"),
}


@dataclass(frozen=True)
class ProviderFails:
    point: str
    problem: str
    times: int

    async def act(self, world: World) -> None:
        world.provider.points.fail(self.point, _PROBLEMS[self.problem], self.times)


@dataclass(frozen=True)
class Close:
    """Whoever comes to this point from now on waits there."""

    point: str

    async def act(self, world: World) -> None:
        points = world.exchange.points if self.point in CARRIER_POINTS else world.provider.points
        points.close(self.point)


@dataclass(frozen=True)
class OpenAll:
    async def act(self, world: World) -> None:
        for points, names in ((world.exchange.points, CARRIER_POINTS), (world.provider.points, PROVIDER_POINTS)):
            for name in names:
                points.open(name)


@dataclass(frozen=True)
class Kill:
    """The process, at once or right after a later commit; and start it again."""

    after_commits: int = 0

    async def act(self, world: World) -> None:
        if self.after_commits:
            world.doom(self.after_commits - 1)
        else:
            await world.kill()


@dataclass(frozen=True)
class Suspect:
    """Another process takes this one for dead."""

    async def act(self, world: World) -> None:
        await world.suspect()


@dataclass(frozen=True)
class InterruptAt:
    """The process is killed, or taken for dead, while somebody waits at a point of it who went on until there."""

    point: str
    steps: int
    by: Kill | Suspect

    async def act(self, world: World) -> None:
        await Close(self.point).act(world)
        await GoOn(self.steps).act(world)
        await self.by.act(world)
        await OpenAll().act(world)
        await world.until_resumed()
        await Wait(10).act(world)


@dataclass(frozen=True)
class SetClock:
    hours: float

    async def act(self, world: World) -> None:
        world.clock.ahead += timedelta(hours=self.hours)


@dataclass(frozen=True)
class Wait:
    """A while in which nothing happens but what the service does."""

    moments: int

    async def act(self, world: World) -> None:
        for _ in range(self.moments):
            await world.moment()


def _listened_to(world: World, ring: Ring) -> bool:
    """Whether there is no take that is still to be listened to."""
    statement = (
        "SELECT count(*) FROM recordings JOIN clones ON clones.id = clone_id WHERE call_id = ? AND judged_at IS NULL"
    )
    return not world.ledger.one(statement, ring.order.call_id)


# ── stories ──────────────────────────────────────────────────────────────────

_small = st.integers(0, 7)
_times = st.integers(1, 4)
_digits = st.sampled_from(["", "1", "2", "3", "9", "0000"])
_carrier_point = st.sampled_from(CARRIER_POINTS)
_provider_point = st.sampled_from(PROVIDER_POINTS)
_going_on = st.builds(GoOn, st.integers(1, 8))
_on_the_phone = st.one_of(
    st.just(PickUp()),
    st.builds(Press, _digits),
    st.builds(Speak, st.sampled_from(Sound), st.sampled_from([0, 0, 1, _NEVER]), st.booleans()),
    st.just(SpeakAndVanish()),
    st.just(StaySilent()),
    st.just(Follow()),
    st.just(HangUp()),
)
_from_the_carrier = st.one_of(
    st.builds(Report, _small),
    st.builds(Repeat, _small, st.none() | _digits),
    st.just(FailOver()),
    st.just(Machine()),
)
_in_the_app = st.one_of(
    st.just(Start()),
    st.just(Upload()),
    st.builds(Do, st.sampled_from(Deed)),
    st.just(DeleteAccount()),
    st.just(ChangePhone()),
)
_outside = st.one_of(
    st.builds(CarrierFails, _carrier_point, _times),
    st.builds(CarrierFails, st.just("before placing"), _times, st.just(Trouble.REFUSED)),
    st.builds(CarrierFails, st.just("before fetching"), _times, st.just(Trouble.UNUSABLE)),
    st.builds(ProviderFails, st.just("before cloning"), st.sampled_from(sorted(_PROBLEMS)), _times),
    st.builds(ProviderFails, _provider_point, st.just("Transient"), _times),
    st.builds(Close, _carrier_point | _provider_point),
    st.just(OpenAll()),
)
_process = st.one_of(
    st.builds(Kill, st.integers(0, 12)),
    st.just(Suspect()),
    st.builds(InterruptAt, _carrier_point | _provider_point, st.integers(1, 8), st.sampled_from([Kill(), Suspect()])),
    st.builds(SetClock, st.sampled_from([-3.0, 3.0, 30.0])),
    st.builds(Wait, st.integers(1, 15)),
)
# Mostly things go on: else few stories would come to their end.
commands: st.SearchStrategy[Command] = st.one_of(
    *[_going_on] * 12, _on_the_phone, _from_the_carrier, _in_the_app, _outside, _process
)
_chapter = st.lists(commands, max_size=12)
# Three in a row: one list would mostly be a short one.
stories = st.tuples(_chapter, _chapter, _chapter).map(lambda chapters: list(chain(*chapters)))
