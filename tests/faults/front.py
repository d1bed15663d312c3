"""What stands between the service and the world: every request to the carrier, and every step of the provider, is
counted here, and can be held while the service is killed."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from telephony.exchange.app import listen
from tests.providers.tone import Gate
from tests.telephony.exchange.harness import InProcess, served

WITHIN = 60.0
"""Seconds after which a test gives up waiting; nothing takes that long unless it never comes."""


class _Gone(Exception):
    """The service that asked was killed."""


@dataclass(frozen=True)
class Asked:
    """`about`: the label of a clone, or the word that is spoken; `pid`: of the process that asked."""

    about: str
    pid: int


@dataclass
class Front:
    """Gates: `placing` before the carrier hears of a call, `placed` after it has rung but before it answers the
    service; `ending` of calls; `fetching` and `deleting` of recordings; `cloning` before the provider begins a voice;
    `speaking` before each word.

    Counts: `calls_placed` at the exchange; `recordings_fetched` from it; `recordings_deleted` there, by sid, as
    often as it said so; `asked` of the provider, by what was asked.
    """

    exchange: str
    url: str
    placing: Gate = field(default_factory=Gate)
    placed: Gate = field(default_factory=Gate)
    ending: Gate = field(default_factory=Gate)
    fetching: Gate = field(default_factory=Gate)
    deleting: Gate = field(default_factory=Gate)
    cloning: Gate = field(default_factory=Gate)
    speaking: Gate = field(default_factory=Gate)
    calls_placed: int = 0
    recordings_fetched: int = 0
    recordings_deleted: list[str] = field(default_factory=list)
    asked: dict[str, list[Asked]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._http = httpx.AsyncClient(base_url=self.exchange, timeout=WITHIN, trust_env=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        try:
            if request.url.path.startswith("/provider/"):
                answer = await self._provider(request.url.path.rpartition("/")[2], Asked(**json.loads(body)), receive)
            else:
                answer = await self._carrier(request, body, receive)
        except _Gone:
            return
        await answer(scope, receive, send)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _provider(self, what: str, asked: Asked, receive: Receive) -> Response:
        # Noted as soon as it is asked, except for words: those that wait have not been spoken.
        if what != "word":
            self.asked[what].append(asked)
        gates = {"clone-begun": self.cloning, "word": self.speaking}
        if what in gates:
            await _pass(gates[what], receive)
        if what == "word":
            self.asked[what].append(asked)
        return Response()

    async def _carrier(self, request: Request, body: bytes, receive: Receive) -> Response:
        placing = request.method == "POST" and request.url.path.endswith("/Calls.json")
        if placing:
            await _pass(self.placing, receive)
        elif request.method == "POST":
            await _pass(self.ending, receive)
        elif request.method == "DELETE":
            await _pass(self.deleting, receive)
        elif request.url.path.endswith(".wav"):
            await _pass(self.fetching, receive)
        there = await self._http.request(
            request.method,
            request.url.path,
            params=request.query_params,
            content=body,
            headers={name: request.headers[name] for name in _PASSED_ON if name in request.headers},
        )
        if placing and there.status_code == 201:
            self.calls_placed += 1
            await _pass(self.placed, receive)
        if request.url.path.endswith(".wav") and there.is_success:
            self.recordings_fetched += 1
        if request.method == "DELETE" and there.is_success:
            self.recordings_deleted.append(request.url.path.rpartition("/")[2].removesuffix(".json"))
        return Response(there.content, there.status_code, media_type=there.headers.get("content-type"))


async def reached(gate: Gate) -> None:
    """Wait until the service waits at a gate."""
    async with asyncio.timeout(WITHIN):
        await gate.reached()


_PASSED_ON = ("authorization", "content-type")


async def _pass(gate: Gate, receive: Receive) -> None:
    """
    Raises:
        _Gone: the service broke the connection while it waited.
    """
    passing, gone = asyncio.ensure_future(gate.passage()), asyncio.ensure_future(receive())
    try:
        await asyncio.wait((passing, gone), return_when=asyncio.FIRST_COMPLETED)
        if not passing.done():
            raise _Gone
    finally:
        passing.cancel()
        gone.cancel()
        await asyncio.gather(passing, gone, return_exceptions=True)


@asynccontextmanager
async def front_of(exchange: str) -> AsyncIterator[Front]:
    listening, url = listen("127.0.0.1", 0)
    front = Front(exchange, url)
    config = uvicorn.Config(front, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
    try:
        async with served(InProcess(config), listening):
            yield front
    finally:
        await front.aclose()
