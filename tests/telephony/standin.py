"""A stand-in for Twilio's REST service: a real server on a real socket that answers what a test tells it to, broken
answers included."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    form: Mapping[str, list[str]]


@dataclass(frozen=True)
class Reply:
    """`missing` bytes of the body are announced but never sent. `silent`: nothing is answered at all, and the
    connection stays open; `dropped`: it is closed in place of an answer; `dripping`: a body without end follows, a byte
    at a time."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    missing: int = 0
    silent: bool = False
    dropped: bool = False
    dripping: bool = False


def json_reply(status: int, /, **content: object) -> Reply:
    return Reply(status, json.dumps(content).encode())


def refusal(status: int, code: int, message: str = "no") -> Reply:
    return json_reply(status, code=code, message=message, status=status, more_info="…")


class StandIn:
    """Answers with `replies` in their order, the last one again and again; to a path of `at`, with what is there."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self.asked = asyncio.Event()
        self.replies: deque[Reply] = deque()
        self.at: dict[str, Reply] = {}
        self._closing = asyncio.Event()

    def reply(self, *replies: Reply) -> None:
        self.replies = deque(replies)

    def _next(self) -> Reply:
        return self.replies.popleft() if len(self.replies) > 1 else self.replies[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                self.received.append(request)
                self.asked.set()
                reply = self.at.get(request.path) or self._next()
                if reply.silent:
                    await self._closing.wait()
                if reply.silent or reply.dropped:
                    break
                length = 1_000_000 if reply.dripping else len(reply.body) + reply.missing
                head = [f"HTTP/1.1 {reply.status} Words", f"Content-Length: {length}"]
                head += [f"{name}: {value}" for name, value in reply.headers.items()]
                writer.write("\r\n".join([*head, "", ""]).encode() + reply.body)
                await writer.drain()
                while reply.dripping and not self._closing.is_set():
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.01)
                if reply.missing:
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()

    def close(self) -> None:
        self._closing.set()


@asynccontextmanager
async def stand_in(tls: ssl.SSLContext | None = None) -> AsyncIterator[StandIn]:
    service = StandIn()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=tls)
    service.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        service.close()
        server.close()
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    url = urlsplit(target)
    form = parse_qs(body.decode(), keep_blank_values=True)
    return Received(method, url.path, parse_qs(url.query), headers, form)
