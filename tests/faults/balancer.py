"""What stands before several processes: each request goes to the first that is up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from telephony.exchange.app import listen
from tests.faults.front import WITHIN
from tests.telephony.exchange.harness import InProcess, served

_HOPS = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


@dataclass
class Delivery:
    """A webhook, and the answers that the carrier got: one for each time that it delivered it."""

    path: str
    answers: list[Response] = field(default_factory=list)


class Balancer:
    """A request that a process does not answer, because it is down or goes down, is answered with 502. While none is
    up, requests wait. `deliveries` are those of the carrier, by their idempotency token."""

    def __init__(self, url: str, processes: Sequence[str]) -> None:
        self.url = url
        self.deliveries: dict[str, Delivery] = {}
        self._processes = processes
        self._up: dict[str, asyncio.Event] = {}  # set when it is down
        self._changed = asyncio.Event()
        # A connection for each request: none of them outlives the process.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(timeout=WITHIN, limits=limits, trust_env=False)

    def up(self, process: str) -> None:
        self._up.setdefault(process, asyncio.Event())
        self._changed.set()

    def down(self, process: str) -> None:
        """Requests that it has not answered are given up."""
        down = self._up.pop(process, None)
        if down is not None:
            down.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        answer = await self._answer(await self._first(), request, body)
        token = request.headers.get("i-twilio-idempotency-token")
        if token is not None:
            self.deliveries.setdefault(token, Delivery(request.url.path)).answers.append(answer)
        await answer(scope, receive, send)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _first(self) -> str:
        while True:
            for process in self._processes:
                if process in self._up:
                    return process
            self._changed.clear()
            await self._changed.wait()

    async def _answer(self, process: str, request: Request, body: bytes) -> Response:
        path, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
        headers = [(name, value) for name, value in request.headers.items() if name not in _HOPS]
        url = f"{process}{path}?{query}" if query else f"{process}{path}"
        asking = asyncio.create_task(self._http.request(request.method, url, content=body, headers=headers))
        down = asyncio.create_task(self._up[process].wait())
        try:
            await asyncio.wait((asking, down), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return Response("It is down.", 502)
            there = asking.result()
        except httpx.TransportError:
            self.down(process)
            return Response("It broke off.", 502)
        finally:
            asking.cancel()
            down.cancel()
            await asyncio.gather(asking, down, return_exceptions=True)
        return Response(there.content, there.status_code, media_type=there.headers.get("content-type"))


@asynccontextmanager
async def balanced(processes: Sequence[str], port: int = 0) -> AsyncIterator[Balancer]:
    """Before processes that are not up yet."""
    listening, url = listen("127.0.0.1", port)
    balancer = Balancer(url, processes)
    config = uvicorn.Config(balancer, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
    try:
        async with served(InProcess(config), listening):
            yield balancer
    finally:
        await balancer.aclose()
