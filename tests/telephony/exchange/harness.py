"""An exchange on a socket, the real Twilio SDK in front of it, and an application behind it that answers its
webhooks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from telephony.exchange.app import ExchangeServer, listen
from telephony.exchange.exchange import Exchange, Settings
from telephony.exchange.protocol import FromExchange, FromPhone
from telephony.exchange.scripted import CallEnd, Script, run_script

ACCOUNT = "AC" + "1234567890abcdef" * 2
TOKEN = "0123456789abcdef" * 2
NUMBER = "+14155550123"
CALLER = "+14155550100"
WITHIN = 20.0
"""Real seconds after which a test gives up waiting; nothing takes that long unless it never comes."""


class InProcess(uvicorn.Server):
    """A server inside a test: signals belong to pytest, and it stops at once."""

    @cached_property
    def stopping(self) -> asyncio.Event:
        return asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.stopping.wait()


class InProcessExchange(InProcess, ExchangeServer):
    pass


@asynccontextmanager
async def served(server: InProcess, listening: socket.socket) -> AsyncIterator[None]:
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.stopping.set()
        await serving


@dataclass(frozen=True)
class Webhook:
    """A request that the application received."""

    method: str
    path: str
    url: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    signed: bool


Answer = str | Response | Callable[[Webhook], Any]


@dataclass
class Application:
    """Answers each path with what `answers` holds for it: TwiML, a response, or a function of the request (which may be
    asynchronous); a list is used up from the front, up to its last. Without one: empty TwiML."""

    url: str
    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    webhooks: list[Webhook] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, request: Request) -> Response:
        body = (await request.body()).decode()
        parameters = dict(parse_qsl(body, keep_blank_values=True))
        signature = request.headers.get("x-twilio-signature", "")
        webhook = Webhook(
            method=request.method,
            path=request.url.path,
            url=str(request.url),
            parameters=parameters if request.method == "POST" else dict(request.query_params),
            headers=dict(request.headers),
            signed=RequestValidator(TOKEN).validate(str(request.url), parameters, signature),
        )
        async with self._changed:
            self.webhooks.append(webhook)
            self._changed.notify_all()
        if not webhook.signed:
            return Response(status_code=403)
        answer = self.answers.get(webhook.path, "")
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer) and not isinstance(answer, Response):
            answer = answer(webhook)
            if asyncio.iscoroutine(answer):
                answer = await answer
        return answer if isinstance(answer, Response) else twiml(str(answer))

    def received(self, path: str) -> list[Webhook]:
        return [webhook for webhook in self.webhooks if webhook.path == path]

    async def wait_for(self, path: str, count: int = 1) -> list[Webhook]:
        """Until `count` requests to `path` have come."""
        async with asyncio.timeout(WITHIN), self._changed:
            await self._changed.wait_for(lambda: len(self.received(path)) >= count)
        return self.received(path)


def twiml(text: str, content_type: str = "text/xml; charset=utf-8") -> Response:
    if not text.startswith("<?xml"):
        text = f"<Response>{text}</Response>"
    return Response(text, media_type=content_type)


@asynccontextmanager
async def application() -> AsyncIterator[Application]:
    listening, url = listen("127.0.0.1", 0)
    app = Application(url)
    starlette = Starlette(routes=[Route("/{path:path}", app.__call__, methods=["GET", "POST"])])
    config = uvicorn.Config(starlette, lifespan="off", log_level="warning", timeout_graceful_shutdown=2)
    async with served(InProcess(config), listening):
        yield app


class _Rewriting(TwilioHttpClient):  # type: ignore[misc] # the SDK is not typed
    """Sends what is meant for Twilio's hosts to the exchange."""

    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=WITHIN)
        self._base_url = base_url

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        parts = urlsplit(url)
        assert parts.netloc in ("api.twilio.com", "voice.twilio.com")
        return super().request(method, f"{self._base_url}{url.partition(parts.netloc)[2]}", *args, **options)


@dataclass(frozen=True)
class ExchangeUnderTest:
    url: str
    settings: Settings

    def client(self, token: str = TOKEN) -> Client:
        return Client(ACCOUNT, token, http_client=_Rewriting(self.url))

    async def api(self, use: Callable[[Client], Any]) -> Any:
        """Do something with the SDK, whose synchronous client blocks, in a thread."""
        client = self.client()
        try:
            return await asyncio.to_thread(use, client)
        finally:
            client.http_client.session.close()

    async def call(self, **options: Any) -> Any:
        """Place a call to the phone."""
        options = {"to": NUMBER, "from_": CALLER, **options}
        return await self.api(lambda client: client.calls.create(**options))

    async def status(self, sid: str) -> str:
        return str(await self.api(lambda client: client.calls(sid).fetch().status))


@asynccontextmanager
async def exchange(data: Path, *, speed: float = 100, recording_delay: float = 1.5) -> AsyncIterator[ExchangeUnderTest]:
    listening, url = listen("127.0.0.1", 0)
    settings = Settings(ACCOUNT, TOKEN, data, url, recording_delay=recording_delay, speed=speed)
    async with Exchange(settings) as running, served(InProcessExchange(running), listening):
        yield ExchangeUnderTest(url, settings)


async def pick_up(
    exchange: ExchangeUnderTest,
    script: Script,
    *,
    calls: int = 1,
    heard: list[FromExchange | FromPhone] | None = None,
) -> asyncio.Task[list[CallEnd]]:
    """A connected phone that does what the script says; `heard` collects what it is told and does."""
    registered = asyncio.Event()
    listener = None if heard is None else heard.append
    following = asyncio.create_task(
        run_script(exchange.url, NUMBER, script, calls=calls, registered=registered, listener=listener)
    )
    waiting = asyncio.create_task(registered.wait())
    await asyncio.wait([following, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return following
