"""The exchange on a socket: the REST API and the phones' connections."""

from __future__ import annotations

import socket
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from telephony.exchange.errors import ApiError
from telephony.exchange.exchange import Exchange
from telephony.exchange.protocol import MAX_SOUND_BYTES
from telephony.exchange.rest import E164, error_response, routes

SHUTDOWN_SECONDS = 3


class ExchangeServer(uvicorn.Server):
    """Serves an exchange until `should_exit` is set."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        config = uvicorn.Config(
            exchange_app(exchange),
            lifespan="off",
            log_level="warning",
            ws="websockets-sansio",
            ws_max_size=2 * MAX_SOUND_BYTES,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Beforehand, because uvicorn breaks off where it meets a connection that is just being closed.
        await self._exchange.switchboard.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket, and the URL that leads to it; port 0 lets the system choose.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=128)
    # asyncio does this for the sockets that it makes itself. Without it each answer waits 40 ms for an acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = listening.getsockname()[:2]
    return listening, f"http://{f'[{host}]' if ':' in host else host}:{port}"


def exchange_app(exchange: Exchange) -> Starlette:
    async def phone(connection: WebSocket) -> None:
        number = connection.path_params["number"]
        if not E164.fullmatch(number) or not is_local_origin(connection.headers.get("origin")):
            await connection.close()  # before it is accepted: HTTP status 403
            return
        await connection.accept()
        await exchange.switchboard.connect(number, connection)

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code = {404: 20404, 405: 20004}.get(status, 20500)
        message = f"The requested resource {request.url.path} was not found"
        return error_response(ApiError(status, code, message if status == 404 else HTTPStatus(status).phrase))

    return Starlette(
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
