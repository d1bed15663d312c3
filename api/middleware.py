"""What every request and WebSocket passes through, from the outside in: a name and a line in the log, a client that
must keep reading, headers for browsers, a bound on what is read."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

MAX_BODY: Final = 1 << 20
"""Bytes of a request's body, unless it brings a file."""
STALLED_SECONDS: Final = 30.0
"""How long a client may take to read what was sent before nothing more is."""
_DRAIN_SECONDS, _DRAIN_TIMES = 5.0, 16
_QUIET = ("/healthz", "/readyz")
_REQUEST_ID = re.compile(r"[\w.-]{8,64}", re.ASCII)
_log = structlog.get_logger()


class CutShort(Exception):
    """An answer that was begun cannot be brought to its end, which was said elsewhere: its connection has to break."""


class RequestLog:
    """Names each request, logs how it ended, and answers 500 to what nobody caught. An id that a proxy gave is kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        with bound_contextvars(request_id=request_id):
            await self._logged(scope, receive, send, request_id)

    async def _logged(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        status: int | None = None

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close":
                status = message.get("code", 1000)
            await send(message)

        began = perf_counter()
        # The path without its query: what signs an audio link stands there.
        about = {"method": scope.get("method", "WEBSOCKET"), "path": scope["path"]}
        try:
            await self._app(scope, receive, noting_send)
        except CutShort:
            pass  # the server breaks off a connection whose answer has no end
        except asyncio.CancelledError:
            # The server stops, and has waited long enough for an answer that goes on and on.
            _log.warning("request.cut_short", **about)
        except Exception:
            _log.exception("request.failed", **about, error_id=request_id)
            if status is None and scope["type"] == "http":
                message = f"Something went wrong on our side (error id {request_id})."
                await JSONResponse({"errors": [{"message": message}]}, 500)(scope, receive, noting_send)
        finally:
            level = "debug" if scope["path"] in _QUIET else "info"
            getattr(_log, level)("request", **about, status=status, ms=round((perf_counter() - began) * 1000, 1))


class SendTimeout:
    """Ends everything that goes on over a connection whose client has stopped reading. Without it a subscription of a
    silent client would wait for good: what waits in the way keeps answering pings."""

    def __init__(self, app: ASGIApp, seconds: float = STALLED_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        connection = asyncio.timeout(None)
        stalled = False

        async def bounded_send(message: Message) -> None:
            nonlocal stalled
            try:
                async with asyncio.timeout(self._seconds):
                    await send(message)
            except TimeoutError:
                # It may be a task of its own that sends: all of them end with the connection.
                stalled = True
                connection.reschedule(loop.time())
                raise

        try:
            async with connection:
                await self._app(scope, receive, bounded_send)
        except TimeoutError:
            if not stalled:
                raise
            _log.info("client.stalled", path=scope["path"], seconds=self._seconds)


class SecurityHeaders:
    """Headers for browsers, where the answer has not set them itself."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._headers: Mapping[str, str] = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
            **({"Strict-Transport-Security": "max-age=31536000"} if secure else {}),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def adding_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, adding_send)


class BodyLimit:
    """Answers 413 to a body that is too large, before more of it is read than is allowed."""

    def __init__(self, app: ASGIApp, limit_of: Callable[[Scope], int]) -> None:
        """`limit_of`: bytes that a request may have."""
        self._app = app
        self._limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_of(scope)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await self._refuse(limit, scope, receive, send)
            return
        read = 0
        begun = False

        async def counting_receive() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise _TooLarge
            return message

        async def noting_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counting_receive, noting_send)
        except _TooLarge:
            if begun:
                raise
            await self._refuse(limit, scope, receive, send)

    async def _refuse(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        # A client reads no answer before it has sent its body; and if we closed the connection on it, it never would.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                drained = 0
                while drained < _DRAIN_TIMES * limit:
                    more = await receive()
                    drained += len(more.get("body", b""))
                    if not more.get("more_body", False):
                        break
        message = f"The request's body is too large: at most {limit} bytes are read."
        response = JSONResponse({"errors": [{"message": message}]}, 413)
        await response(scope, receive, send)


class _TooLarge(Exception):
    """More came than is allowed."""
