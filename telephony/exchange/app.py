"""The exchange as an ASGI application: the REST API and the phones' connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from telephony.exchange.errors import ApiError
from telephony.exchange.exchange import Exchange, Settings
from telephony.exchange.rest import E164, error_response, routes


@asynccontextmanager
async def exchange_app(settings: Settings) -> AsyncIterator[Starlette]:
    """The application, whose calls live as long as the context."""
    async with Exchange(settings) as exchange:

        async def phone(socket: WebSocket) -> None:
            number = socket.path_params["number"]
            if not E164.fullmatch(number) or not is_local_origin(socket.headers.get("origin")):
                await socket.close()  # before it is accepted: HTTP status 403
                return
            await socket.accept()
            await exchange.switchboard.connect(number, socket)

        async def refused(request: Request, error: Exception) -> Response:
            status = error.status_code if isinstance(error, HTTPException) else 500
            code = {404: 20404, 405: 20004}.get(status, 20500)
            message = f"The requested resource {request.url.path} was not found"
            return error_response(ApiError(status, code, message if status == 404 else HTTPStatus(status).phrase))

        yield Starlette(
            routes=[*routes(exchange), WebSocketRoute("/phones/{number}", phone)],
            exception_handlers={HTTPException: refused, Exception: refused},
        )


def is_local_origin(origin: str | None) -> bool:
    """Whether a phone may come from there: from a program, or from a page that this machine serves.

    Without this, any web page that is open in a browser here could answer the calls.
    """
    if origin is None:
        return True
    host = urlsplit(origin).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
