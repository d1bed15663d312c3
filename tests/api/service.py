"""The service on a socket: a real studio with its workflows, a provider of tones, a phone company that does nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.server import uvicorn_options
from api.settings import Settings
from api.throttle import Throttle
from providers.contract import SpeechOptions
from providers.manager import ProviderRegistry
from studio.mistakes import Mistake
from studio.moves import move_clone
from studio.ports import CallOrder, Carrier, CarrierRecording, RecordingNotThere
from studio.states import AudioFormat, CallPurpose, CallStatus, CloneStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Call, Clone, Synthesis, User, new_id, now
from telephony.exchange.app import listen
from telephony.settings import TelephonySettings
from tests.providers.tone import ToneProvider

SIGN_UP = (
    "mutation ($input: SignUpInput!) { signUp(input: $input) { user { email } userErrors { field message code } } }"
)
LOG_IN = "mutation ($input: LogInInput!) { logIn(input: $input) { user { email } userErrors { field message code } } }"
PASSWORD = "correct horse"
WITHIN = 20.0
"""Seconds after which a test gives up; nothing takes that long unless it never comes."""
PHONE = "+14155552671"


class QuietCarrier:
    """Takes every order, and lets no phone ring: a test moves the call itself. It reports calls that are hung up."""

    def __init__(self) -> None:
        self.missing: str | None = None
        self.placed: list[CallOrder] = []
        self.studio: Studio | None = None

    async def health(self) -> str | None:
        return self.missing

    async def place_call(self, order: CallOrder) -> str:
        self.placed.append(order)
        return "CA" + order.call_id

    async def call_status(self, sid: str) -> CallStatus:
        return CallStatus.RINGING

    async def hang_up(self, sid: str) -> None:
        assert self.studio is not None
        async with self.studio.database.transaction() as unit:
            await self.studio.desk.call_status(unit, sid.removeprefix("CA"), sid, CallStatus.CANCELED)

    async def recordings_of(self, sid: str) -> Sequence[CarrierRecording]:
        return []

    async def fetch_recording(self, sid: str) -> bytes:
        raise RecordingNotThere("nothing is recorded here")

    async def delete_recording(self, sid: str) -> None: ...


@dataclass
class Person:
    """A user, and an API token of theirs."""

    id: str
    email: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Browser:
    """Keeps cookies, and sends JSON as our own pages do."""

    http: httpx.AsyncClient

    async def do(self, operation: str, **variables: Any) -> Any:
        """The value of the operation's only field."""
        answer = await self.http.post("/graphql", json={"query": operation, "variables": variables})
        [value] = answer.json()["data"].values()
        return value

    async def viewer(self) -> Any:
        return await self.do("{ viewer { email } }")


@dataclass
class Service:
    url: str
    settings: Settings
    studio: Studio
    carrier: QuietCarrier
    provider: ToneProvider
    app: FastAPI
    closing: AsyncExitStack
    ringing: list[Clone] = field(default_factory=list)
    speaking: list[Synthesis] = field(default_factory=list)
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.http = self.browser().http

    @property
    def socket_url(self) -> str:
        return self.url.replace("http:", "ws:") + "/graphql"

    async def person(self, phone: str | None = PHONE) -> Person:
        """Somebody who has signed up; their number is proven."""
        email = unique_email()
        user = User(email=email, password_hash="-", phone=phone, phone_proven_at=now() if phone else None)
        async with self.studio.database.transaction() as unit:
            unit.add(user)
        _, secret = await self.studio.accounts.create_token(user.id, "tests")
        return Person(user.id, email, secret)

    def browser(self) -> Browser:
        """Another one, with no cookies yet."""
        http = httpx.AsyncClient(base_url=self.url, timeout=WITHIN)
        self.closing.push_async_callback(http.aclose)
        return Browser(http)

    async def signed_up(self, **more: str) -> tuple[Browser, str]:
        """Somebody who signs up in a browser, and their address."""
        browser, email = self.browser(), unique_email()
        result = await browser.do(SIGN_UP, input={"email": email, "password": PASSWORD, **more})
        assert result == {"user": {"email": email}, "userErrors": []}
        return browser, email

    async def post(
        self, query: str, variables: Mapping[str, Any] | None = None, person: Person | None = None, **headers: str
    ) -> httpx.Response:
        content = {"query": query, "variables": variables}
        return await self.http.post("/graphql", json=content, headers={**(person.headers if person else {}), **headers})

    async def ask(self, query: str, person: Person | None = None, **variables: Any) -> Any:
        """The data of an operation that has to go well."""
        answer = (await self.post(query, variables, person)).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def errors(self, query: str, person: Person | None = None, **variables: Any) -> Any:
        answer = (await self.post(query, variables, person)).json()
        assert "errors" in answer, answer
        return answer["errors"]

    async def ringing_clone(self, person: Person, name: str = "My voice", phone: str | None = None) -> Clone:
        """A clone whose phone rings; its workflow waits for what happens on the phone."""
        started = await self.studio.clones.start(person.id, name, phone)
        async with asyncio.timeout(WITHIN):
            async for clone in self.studio.clones.follow(person.id, started.id):
                if clone.status is CloneStatus.CALLING:
                    break
        self.ringing.append(started)
        await self.move(started, CloneStatus.RINGING)
        return started

    async def speak(
        self, person: Person, text: str, voice: str = "low", format: AudioFormat = AudioFormat.WAV
    ) -> Synthesis:
        synthesis = await self.studio.speech.start(person.id, f"tone:{voice}", text, format, SpeechOptions())
        self.speaking.append(synthesis)
        return synthesis

    async def spoken(self, synthesis: Synthesis) -> None:
        """Wait until it is over."""
        async with asyncio.timeout(WITHIN):
            async for event in self.studio.speech.follow(synthesis.user_id, synthesis.id):
                assert event is not None

    async def all_spoken(self) -> None:
        """So that nobody stands at a gate in the next test's place."""
        self.provider.failing = None
        self.provider.speaking.open()
        for synthesis in self.speaking:
            with suppress(Mistake):  # it was deleted
                await self.spoken(synthesis)
        self.speaking.clear()

    async def call_all_off(self) -> None:
        """So that no workflow waits for a phone any more, and all phones are free."""
        for clone in self.ringing:
            with suppress(Mistake):  # it was over already
                await self.studio.clones.cancel(clone.user_id, clone.id)
            async for call in self.studio.calls.follow(clone.user_id, str(clone.call_id)):
                assert call is not None
        self.ringing.clear()

    async def move(self, clone: Clone, status: CloneStatus) -> None:
        async with self.studio.database.transaction() as unit:
            row = await unit.get_one(Clone, clone.id)
            move_clone(unit, row, status)

    async def finished_clone(self, person: Person, name: str = "My voice") -> Clone:
        """One from the past, with its call, without its voice."""
        call = Call(
            user_id=person.id, purpose=CallPurpose.CLONE, phone=PHONE, status=CallStatus.COMPLETED, ended_at=now()
        )
        clone = Clone(user_id=person.id, name=name, provider="tone", status=CloneStatus.FAILED, call_id=call.id)
        async with self.studio.database.transaction() as unit:
            unit.add(call)
            await unit.flush()
            unit.add(clone)
        return clone


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals belong to pytest


@asynccontextmanager
async def serving(
    app: Any, settings: Settings, listening: socket.socket | None = None
) -> AsyncIterator[tuple[uvicorn.Server, str]]:
    """An application on a socket, as `deadringer serve` runs it; yields the server and its URL."""
    listening = listening or listen("127.0.0.1", 0)[0]
    server = _Server(uvicorn.Config(app, **uvicorn_options(settings)))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        assert not task.done(), task.exception()
        await asyncio.sleep(0.005)
    try:
        yield server, f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def running_service(
    data: Path, throttle: Throttle | None = None, carrier: Carrier | None = None, **settings: Any
) -> AsyncIterator[Service]:
    chosen = Settings(data_dir=data, default_clone_provider="tone", **settings)
    quiet, provider = QuietCarrier(), ToneProvider()
    providers = ProviderRegistry({provider.name: provider})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(providers.aclose)
        studio = await stack.enter_async_context(
            open_studio(StudioSettings(data, default_clone_provider="tone"), providers, carrier or quiet)
        )
        quiet.studio = studio
        telephony = TelephonySettings(public_base_url=chosen.public_base_url)
        app = create_app(chosen, telephony, studio=studio, throttle=throttle)
        _, url = await stack.enter_async_context(serving(app, chosen))
        yield Service(url, chosen, studio, quiet, provider, app, stack)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nobody tells of."""
    for _ in range(int(WITHIN / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came about")


def unique_email() -> str:
    return f"{new_id()}@example.com"
