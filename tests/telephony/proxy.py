"""A reverse proxy as it stands before the service: it ends TLS, takes a prefix off the path, and adds its headers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

CERTIFICATE = Path(__file__).parent / "untrusted.pem"
"""For localhost, signed by itself."""


class Proxy:
    """`port` is its own. `target` is the service's port, `prefix` what is taken off the path, and `headers` take the
    place of those that came."""

    def __init__(self, prefix: str, headers: Mapping[str, str]) -> None:
        self.port = self.target = 0
        self._prefix = prefix
        self._headers = headers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip()
            first, *lines = head.split("\r\n")
            method, target, version = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            headers |= {**self._headers, "connection": "close"}
            asked = [f"{method} {target.removeprefix(self._prefix)} {version}"]
            asked += [f"{name}: {value}" for name, value in headers.items()]
            from_service, to_service = await asyncio.open_connection("127.0.0.1", self.target)
            to_service.write("\r\n".join([*asked, "", ""]).encode("latin-1") + body)
            writer.write(await from_service.read())
            await writer.drain()
            to_service.close()
        finally:
            writer.close()


@asynccontextmanager
async def tls_proxy(prefix: str, headers: Mapping[str, str]) -> AsyncIterator[Proxy]:
    proxy = Proxy(prefix, headers)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await server.wait_closed()
