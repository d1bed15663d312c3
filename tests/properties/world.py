"""One user, their phone, and the service between a carrier and a provider that may do anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import AsyncMock, patch
from urllib.parse import urldefrag, urlencode

import httpx
from dbos import DBOS, Queue
from fastapi import FastAPI
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlmodel import delete
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator

from audio.pcm import Pcm
from audio.quality import Quality
from audio.vad import Segment
from providers.manager import ProviderRegistry
from studio.analysis import Findings
from studio.calling import CallTimes
from studio.hub import ChangeHub
from studio.listening import Listeners
from studio.mistakes import Mistake
from studio.states import CallStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Executor, User, new_id, now
from telephony.webhooks import router
from tests.properties.ledger import Ledger
from tests.properties.outside import Exchange, Ring, VoiceKeeper
from tests.telephony.calls import ACCOUNT, BASE, DATABASE, TOKEN, Heard, telephony_settings

EMAIL = "ada@example.com"
PHONE = "+14155550101"
PASSWORD = "a long and secret password"
_HASH = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
# Nothing is waited for long, so that what is given up is given up within a story.
_TIMES = CallTimes(poll=0.05, fetch=0.1, late=0.1, uncertain=0.3)
_MOMENT = 0.01  # seconds of real work between two commands
_TURNS = 30  # moments that somebody waits for the service before they do something else
_PATIENCE = 30.0  # seconds after which what is not over will never be
T = TypeVar("T")


class Died(asyncio.CancelledError):
    """The process was killed here."""


class MortalHub(ChangeHub):
    """Hears of every commit, and can end the process right after one: before anything else is done or noted."""

    commits_to_live: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.died = asyncio.Event()

    def publish(self, keys: Iterable[str]) -> None:
        super().publish(keys)
        if self.commits_to_live is not None:
            self.commits_to_live -= 1
            if self.commits_to_live < 0:
                self.died.set()
                raise Died


@dataclass
class Delivered:
    """A webhook that was answered."""

    ring: Ring
    url: str
    form: dict[str, str]
    answer: str

    @property
    def event(self) -> tuple[str, str]:
        """The same in every delivery; reports have no answer that could differ."""
        return self.url, self.form.get("ErrorUrl", "")


@dataclass
class Clock:
    """The wall clock, which may be set."""

    ahead: timedelta = timedelta()

    def faked(self) -> type[datetime]:
        clock = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + clock.ahead

        return Moved


@dataclass
class World:
    """`play` the commands of a story with `act`, then `end` it. The process dies and is started again on the way."""

    data: Path
    exchange: Exchange = field(default_factory=Exchange)
    provider: VoiceKeeper = field(default_factory=VoiceKeeper)
    clock: Clock = field(default_factory=Clock)
    delivered: list[Delivered] = field(default_factory=list)
    agreed: set[str] = field(default_factory=set)

    async def __aenter__(self) -> World:
        self._outer = AsyncExitStack()
        self.log = self._outer.enter_context(capture_logs())
        self._outer.enter_context(_quickly(self.clock))
        self.unhandled: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.unhandled.append(context))
        self.ledger = Ledger(self.data / DATABASE)
        self._outer.callback(self.ledger.close)
        self.ledger.begin()
        await self._open()
        await self.sign_up()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.exchange.points.mend()
        self.provider.points.mend()
        await self._inner.aclose()
        await self._outer.aclose()

    # ── the process ──────────────────────────────────────────────────────────

    async def _open(self) -> None:
        self._inner = AsyncExitStack()
        settings = StudioSettings(
            self.data, default_clone_provider="tone", calls_per_hour=1000, calls_per_day=1000, call_times=_TIMES
        )
        providers = ProviderRegistry({"tone": self.provider})
        self.studio: Studio = await self._inner.enter_async_context(open_studio(settings, providers, self.exchange))
        assert isinstance(self.studio.hub, MortalHub)
        self._hub = self.studio.hub
        app = FastAPI()
        app.include_router(router(self.studio, telephony_settings()))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
        self._client = await self._inner.enter_async_context(client)

    def doom(self, commits: int) -> None:
        """Kill the process after so many more commits."""
        self._hub.commits_to_live = commits

    async def kill(self) -> None:
        """As kill -9 does: its tasks end where they are, its row says that it lives. Then start it again."""
        self._hub.commits_to_live = None
        rows = self.ledger.rows("SELECT * FROM executors WHERE id = ?", self.studio.workflows.executor_id)
        await self._inner.aclose()
        for row in rows:
            columns = ", ".join(row.keys())
            self.ledger.rows(f"INSERT INTO executors ({columns}) VALUES (?, ?, ?, ?, ?)", *row)
        await self._open()

    async def suspect(self) -> None:
        """Another process takes this one for dead."""

        async def bury() -> None:
            async with self.studio.database.transaction() as unit:
                await unit.exec(delete(Executor))

        await self.served(bury)

    async def served(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """What the service answers; None if it died over it, and was started again."""
        task = asyncio.create_task(work())
        death = asyncio.create_task(self._hub.died.wait())
        await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if not self._hub.died.is_set():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.kill()
        return None

    async def moment(self) -> None:
        await self.served(lambda: asyncio.sleep(_MOMENT))

    async def until(self, holds: Callable[[], object]) -> None:
        """Give the service a while for something that it may never do."""
        for _ in range(_TURNS):
            if holds():
                return
            await self.moment()

    async def until_resumed(self) -> None:
        """Give the process a while to go on with all that an earlier one has left."""
        for _ in range(_TURNS):
            waiting = await self.served(lambda: DBOS.list_workflows_async(status=_WAITING)) or []
            ours = [each for each in waiting if each.executor_id == self.studio.workflows.executor_id]
            if len(ours) == len(waiting) and all(each.status == "PENDING" for each in ours):
                return
            await self.moment()

    # ── the user ─────────────────────────────────────────────────────────────

    async def sign_up(self) -> None:
        """Somebody whose number is proven to be theirs."""
        self.owner = new_id()
        while self.ledger.one("SELECT 1 FROM users WHERE id = ?", self.owner) is None:
            await self.served(self._add_user)

    async def _add_user(self) -> None:
        async with self.studio.database.transaction() as unit:
            user = User(id=self.owner, email=EMAIL, password_hash=_HASH, phone=PHONE, phone_proven_at=now())
            unit.add(user)

    @property
    def signed_up(self) -> bool:
        return self.ledger.one("SELECT 1 FROM users WHERE email = ?", EMAIL) is not None

    async def ask(self, work: Callable[[Studio], Coroutine[Any, Any, object]]) -> None:
        """Something that the app offers; it may be refused."""

        async def asked() -> None:
            try:
                await work(self.studio)
            except Mistake:
                return

        await self.served(asked)

    def newest(self, table: str) -> str | None:
        """The id of the user's newest clone, call or voice."""
        found: str | None = self.ledger.one(
            f"SELECT id FROM {table} WHERE user_id = ? ORDER BY created_at DESC, rowid DESC LIMIT 1", self.owner
        )
        return found

    # ── the phone ────────────────────────────────────────────────────────────

    @property
    def ring(self) -> Ring | None:
        """The newest call that is not over."""
        return next((ring for ring in reversed(self.exchange.rings) if not ring.status.over), None)

    def code_of(self, ring: Ring) -> str | None:
        """The digits that the app shows, if the call asks for any."""
        code: str | None = self.ledger.one("SELECT confirmation_code FROM calls WHERE id = ?", ring.order.call_id)
        return code

    async def deliver(self, ring: Ring, url: str, form: dict[str, str]) -> str | None:
        """A webhook's answer, which is the same as before if it was delivered before; None if nobody answered."""
        url = urldefrag(url).url
        whole = {"AccountSid": ACCOUNT, "CallSid": ring.sid, "From": "+14155550100", "To": PHONE, **form}
        signature = RequestValidator(TOKEN).compute_signature(url, whole)
        if "/consent?" in url and form["Digits"] == (self.code_of(ring) or "1"):
            self.agreed.add(ring.order.call_id)
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        answer = await self.served(lambda: self._client.post(url, content=urlencode(whole), headers=headers))
        if answer is None:
            return None
        if self.ledger.one("SELECT 1 FROM calls WHERE id = ?", ring.order.call_id) is None:
            assert answer.status_code == 404 or "<Hangup" in answer.text, "an account that is gone has no calls"
            return answer.text
        assert answer.status_code in (200, 204), f"{url}: {answer.status_code} {answer.text}"
        delivered = Delivered(ring, url, form, answer.text)
        for earlier in self.delivered:
            same = earlier.event != delivered.event or earlier.answer == delivered.answer
            assert same, f"another answer the second time: {url}"
        self.delivered.append(delivered)
        self.check()
        return answer.text

    async def go_to(self, ring: Ring, url: str, **form: str) -> None:
        """The call goes on at this address; where nobody answers it is asked for again, as the carrier does."""
        for _ in range(3):
            answer = await self.deliver(ring, url, form)
            if answer is not None:
                ring.heard, ring.at = Heard(httpx.Response(200, text=answer, headers=_XML)), url
                return

    # ── the end ──────────────────────────────────────────────────────────────

    def check(self) -> None:
        """What must hold at any time."""
        self.ledger.check()
        placed = [ring.order.call_id for ring in self.exchange.rings]
        assert len(placed) == len(set(placed)), "a phone rang twice for one call"
        twice = [label for label, made in self.provider.made.items() if made > 1]
        assert twice == [], "a voice was made twice"
        self._check_consents()
        broken = [entry for entry in self.log if entry["log_level"] in ("error", "critical")]
        assert broken == []
        assert self.unhandled == []

    def _check_consents(self) -> None:
        """Who is said to have agreed has pressed the right keys; of nobody else there is a voice."""
        by_phone = "SELECT call_id FROM clones JOIN consents ON clone_id = clones.id WHERE call_id IS NOT NULL"
        assert {row["call_id"] for row in self.ledger.rows(by_phone)} <= self.agreed, "somebody has not agreed"
        living = {row["id"] for row in self.ledger.rows("SELECT id FROM clones")}
        agreed = {row["clone_id"] for row in self.ledger.rows("SELECT clone_id FROM consents")}
        assert self.provider.made.keys() & living <= agreed, "a voice of somebody who has not agreed"

    async def end(self) -> None:
        """Everything gets better, everybody hangs up, and time goes by: then nothing is left undone, or left over."""
        self._hub.commits_to_live = None
        self.exchange.points.mend()
        self.provider.points.mend()
        await self._until_nothing_is_left(self._unfinished)
        self.check()
        kept = {row[0] for row in self.ledger.rows("SELECT data FROM artefacts")}
        assert {voice_id.encode() for voice_id in self.provider.living} == kept
        assert self.exchange.recordings == {}, "recordings are left at the carrier"
        self.clock.ahead += timedelta(days=8)
        await self._until_nothing_is_left(self._unerased)
        assert self.ledger.blobs() <= self._files(), "sound is lost"
        assert self._files() == self.ledger.blobs(), "sound is left that nobody knows of"

    async def _until_nothing_is_left(self, left: Callable[[], Coroutine[Any, Any, list[str]]]) -> None:
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while found := await left():
            self._hang_up()
            assert asyncio.get_running_loop().time() < deadline, f"never done: {found}"
            await asyncio.sleep(_MOMENT)

    def _hang_up(self) -> None:
        """Everybody does, but those whom the service has to cut off, since their clone was canceled."""
        cut_off = {
            row["call_id"]
            for row in self.ledger.rows(
                "SELECT call_id FROM clones JOIN calls ON calls.id = call_id"
                " WHERE clones.status = 'CANCELED' AND sid IS NOT NULL AND ended_at IS NULL"
            )
        }
        for ring in self.exchange.rings:
            if ring.order.call_id not in cut_off:
                ring.become(CallStatus.COMPLETED if ring.status is CallStatus.IN_PROGRESS else CallStatus.NO_ANSWER)

    async def _unfinished(self) -> list[str]:
        waiting = await DBOS.list_workflows_async(status=_WAITING)
        return self.ledger.unfinished() + [f"workflow {each.name} {each.workflow_id}" for each in waiting]

    async def _unerased(self) -> list[str]:
        expired = self.ledger.rows("SELECT id FROM recordings WHERE keep_until IS NOT NULL")
        unclaimed = self.ledger.rows("SELECT key FROM unclaimed_files")
        return await self._unfinished() + [
            *(f"recording {row['id']} is still here" for row in expired),
            *(f"the file {row['key']} is still here" for row in unclaimed),
        ]

    def _files(self) -> set[str]:
        folder = self.data / "blobs"
        return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


_WAITING = ["PENDING", "ENQUEUED", "DELAYED"]
_XML = {"content-type": "application/xml"}


@contextmanager
def _quickly(clock: Clock) -> Iterator[None]:
    """The service with a clock that can be set, short pauses, and ears that need no time."""
    with (
        patch("studio.tables.datetime", clock.faked()),
        patch("studio.studio.ChangeHub", MortalHub),
        patch("studio.workflows.HEARTBEAT_SECONDS", 0.05),
        # Until DBOS goes on with a workflow that was taken over.
        patch.dict(Queue.__init__.__kwdefaults__ or {}, polling_interval_sec=0.05),
        patch("studio.workflows._PAUSES", (0.02,) * 10_000),
        patch("studio.retrying.stretched", lambda pause: pause / 50),
        patch("studio.workflows.stretched", lambda pause: pause),
        patch("studio.cloning._PROVIDER_SECONDS", 0.2),
        patch.object(Listeners, "analysis", _analyzed),
        patch.object(Listeners, "warm_up", AsyncMock()),
    ):
        yield


async def _analyzed(_: Listeners, pcm: Pcm, speech: Sequence[Segment]) -> Findings:
    return Findings(Quality(pcm.seconds, pcm.seconds, 30.0, 0.0, -20.0, None), cleaned=pcm)
