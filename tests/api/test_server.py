"""Clients that stop reading, and answers that nobody caught, as uvicorn serves them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from api.logs import set_up_logs
from api.middleware import CutShort, RequestLog, SendTimeout
from api.settings import Settings
from api.streaming import Stream
from tests.api.service import WITHIN, serving, until

ENDLESS = b"x" * 65_536


class Ending:
    """Notes when an endpoint is over, and how."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.error: BaseException | None = None

    async def pour(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield ENDLESS
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.over.set()


def _application(ending: Ending) -> ASGIApp:
    async def stream(request: Request) -> Response:
        return Stream(ending.pour())

    async def talk(websocket: WebSocket) -> None:
        """Pours from a task of its own, as subscriptions do."""
        await websocket.accept()

        async def pour() -> None:
            async for data in ending.pour():
                await websocket.send_bytes(data)

        task = asyncio.create_task(pour())
        try:
            await websocket.receive()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def fail(request: Request) -> Response:
        raise RuntimeError("the caller was +14155552671")

    async def fail_midway(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"begun"
            raise CutShort

        return Stream(pieces())

    async def fine(request: Request) -> Response:
        return PlainTextResponse("fine")

    return Starlette(
        routes=[
            Route("/stream", stream),
            WebSocketRoute("/talk", talk),
            Route("/fail", fail),
            Route("/midway", fail_midway),
            Route("/fine", fine),
        ],
        middleware=[Middleware(RequestLog), Middleware(SendTimeout, seconds=0.2)],
    )


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    set_up_logs("INFO", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def _lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize("path", ["/stream", "/talk"])
async def test_a_client_that_stops_reading_is_let_go(
    log: io.StringIO, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a bound a silent client would hold its task, its buffers and its place for good."""
    monkeypatch.setattr("api.server.STALLED_SECONDS", 0.1)
    ending = Ending()
    async with serving(_application(ending), Settings()) as (server, url):
        port = int(url.rpartition(":")[2])
        silent = socket.create_connection(("127.0.0.1", port))
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        extra = upgrade + key if path == "/talk" else ""
        silent.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode())
        async with asyncio.timeout(WITHIN):
            await ending.over.wait()
        # What was sent before is given up too, though the client is still there and answers for its socket.
        await until(lambda: not server.server_state.connections)
        silent.close()
    assert ending.error is not None
    assert [line["path"] for line in _lines(log) if line["event"] == "client.stalled"] == [path]
    assert not [line for line in _lines(log) if "exception" in line]


async def test_what_nobody_caught_is_told_by_its_id_alone(log: io.StringIO) -> None:
    async with serving(_application(Ending()), Settings()) as (_, url), httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/fail", headers={"X-Request-ID": "proxy-1234"})
    assert answer.status_code == 500
    [error] = answer.json()["errors"]
    assert error["message"] == "Something went wrong on our side (error id proxy-1234)."
    [line] = [line for line in _lines(log) if line["event"] == "request.failed"]
    assert (line["error_id"], line["path"]) == ("proxy-1234", "/fail")
    assert "RuntimeError: the caller was +1415•••2671" in line["exception"]


async def test_an_answer_that_is_cut_short_does_not_look_whole(log: io.StringIO) -> None:
    async with serving(_application(Ending()), Settings()) as (_, url), httpx.AsyncClient(base_url=url) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/midway")
    assert not [line for line in _lines(log) if "exception" in line]


async def test_requests_are_logged_by_path_status_and_time_without_their_queries(log: io.StringIO) -> None:
    async with serving(_application(Ending()), Settings()) as (_, url), httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/fine", params={"signature": "secret"})
    [line] = [line for line in _lines(log) if line["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/fine", 200)
    assert line["ms"] >= 0
    assert line["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", line["request_id"])
    assert "secret" not in log.getvalue()
