"""How the Twilio SDK sends its requests: an HTTP client of ours, which the SDK is made to accept.

The SDK's own clients do not fit. Its synchronous one blocks the event loop. Its asynchronous one (9.13.0, read) passes
`timeout=None` to aiohttp with every request, so that the time-out it was made with is never used, and it reads answers
of any length. This one is bounded in time and size, repeats nothing, and tells a request that was never sent from one
without an answer: only the latter may have placed a call.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from twilio.http import AsyncHttpClient
from twilio.http.response import Response

_MAX_ANSWER = 1 << 20  # bytes; a page of 20 recordings is about 20 KB
_MAX_REDIRECTS = 3
DIRECT = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}
"""For httpx: a proxy that the environment names is for the world outside, not for what runs on this machine."""


class NotSent(Exception):
    """No connection could be had: the other side knows nothing of the request."""


class NoAnswer(Exception):
    """The request was sent, at least in part, and no whole answer came: it may have had its effect."""


class TooLarge(Exception):
    """The answer is longer than allowed."""


class RestClient(AsyncHttpClient):  # type: ignore[misc]  # the SDK is not typed
    """Sends what the SDK asks for to `base_url` in place of api.twilio.com, if one is given; each request, from
    connecting to the last byte, takes at most `seconds`."""

    def __init__(self, base_url: str | None, seconds: float) -> None:
        super().__init__(logging.getLogger(__name__), True, seconds)
        self._base_url = base_url
        self._seconds = seconds
        self._http = httpx.AsyncClient(
            # Shorter waits for a connection, so that running out of time there is told from running out of it later.
            timeout=httpx.Timeout(seconds, connect=seconds / 4, pool=seconds / 4),
            mounts=DIRECT,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Called by the SDK. No redirect is followed: the resources used here have none.

        Raises:
            NotSent, NoAnswer, TooLarge
        """
        query = {name: str(value) for name, value in params.items()} if params else None
        request = self._http.build_request(method, self._rebased(uri), params=query, data=data, headers=headers)
        async with self._bounded(), self._sent(request, auth) as response:
            body = await _read(response, _MAX_ANSWER)
        # The SDK takes for granted that a success carries an object.
        if response.is_success and body and not _is_object(body):
            raise NoAnswer("not the JSON of Twilio's API")
        return Response(response.status_code, body.decode("utf-8", errors="replace"), dict(response.headers))

    async def download(self, url: str, auth: tuple[str, str], limit: int) -> tuple[httpx.Response, bytes]:
        """GET a file of at most `limit` bytes; of an answer that is no success, only the head.

        Twilio may redirect to where the file is stored. Another host gets no credentials (httpx sees to it), and what
        was asked for by https is not fetched in clear.

        Raises:
            NotSent, NoAnswer, TooLarge
        """
        request = self._http.build_request("GET", self._rebased(url), headers={"Accept-Encoding": "identity"})
        credentials: tuple[str, str] | None = auth
        async with self._bounded():
            for _ in range(1 + _MAX_REDIRECTS):
                async with self._sent(request, credentials) as response:
                    following = response.next_request
                    if following is None:
                        return response, await _read(response, limit) if response.is_success else b""
                if request.url.scheme == "https" and following.url.scheme != "https":
                    raise NoAnswer("redirected from https to an address without")
                request, credentials = following, None
            raise NoAnswer("redirected too often")

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise NotSent(type(error).__name__) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise NoAnswer(type(error).__name__) from error

    @asynccontextmanager
    async def _sent(self, request: httpx.Request, auth: tuple[str, str] | None) -> AsyncIterator[httpx.Response]:
        response = await self._http.send(request, auth=auth, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    def _rebased(self, url: str) -> str:
        if self._base_url is None:
            return url
        parts = urlsplit(url)
        return f"{self._base_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")


async def _read(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > limit:
            raise TooLarge(f"more than {limit} bytes")
    return bytes(body)


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False
