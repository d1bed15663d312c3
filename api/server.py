"""How uvicorn has to run the application."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.middleware import STALLED_SECONDS
from api.settings import Settings

MAX_MESSAGE: Final = 1 << 18
"""Bytes of a WebSocket message."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Lets the kernel reset the connection of a client that acknowledges nothing, or reads nothing, for too long.

    `SendTimeout` ends what goes on over such a connection; but closing it waits for what was sent before to be read,
    which may be never. (TCP_USER_TIMEOUT, RFC 5482, is Linux's; a WebSocket inherits it from its request.)
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            with contextlib.suppress(OSError):  # a Unix socket has no such option
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(STALLED_SECONDS * 2000))


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Arguments for `uvicorn.Config`. Logs are set up by `api.logs`; requests are logged by the application, without
    the queries that sign links."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": BoundedHttpProtocol,
        "ws": "websockets-sansio",
        # Compression costs more time than anything else that is done for an event, and audio does not compress.
        "ws_per_message_deflate": False,
        "ws_max_size": MAX_MESSAGE,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": 5,
    }
