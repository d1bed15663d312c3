"""Requests to the application: signed as Twilio signs them, bounded in time and size, retried as the URL asks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, urldefrag, urlencode

import httpx
from twilio.request_validator import RequestValidator

from telephony.exchange.errors import (
    HTTP_CONNECTION_FAILURE,
    HTTP_RETRIEVAL_FAILURE,
    INVALID_URL,
    RESPONSE_TOO_LARGE,
    CallError,
)

Method = Literal["GET", "POST"]
Failure = Literal["4xx", "5xx", "ct", "rt"]

MAX_DOCUMENT_BYTES = 64 * 1024
"""A longer TwiML document is refused (Twilio's limit, error 11750)."""


@dataclass(frozen=True, slots=True)
class Document:
    """Where a call's next instructions come from: TwiML as it stands, or a URL and what is sent to it."""

    url: str = ""
    method: Method = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict)
    twiml: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    content_type: str
    """Without its parameters, in lower case; empty if there is none."""
    body: bytes
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """How a URL wants to be requested: seconds, and which failures are tried again how often.

    Source of the names, limits and defaults: "Webhook connection overrides" in Twilio's documentation; they stand in
    the URL's fragment, for example `#rc=2&rp=5xx,ct`.
    """

    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    total_timeout: float = 15.0
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})

    @classmethod
    def of_fragment(cls, fragment: str) -> Connection:
        """What is malformed or unknown in the fragment is passed over."""
        given = dict(parse_qsl(fragment))
        default = cls()
        return cls(
            connect_timeout=_milliseconds(given.get("ct"), default.connect_timeout, 10_000),
            read_timeout=_milliseconds(given.get("rt"), default.read_timeout, 15_000),
            total_timeout=_milliseconds(given.get("tt"), default.total_timeout, 15_000),
            retries=min(int(given["rc"]), 5) if given.get("rc", "").isdigit() else default.retries,
            retry_on=frozenset(given["rp"].split(",")) if "rp" in given else default.retry_on,
        )

    def retries_after(self, failure: Failure) -> bool:
        return failure in self.retry_on or "all" in self.retry_on


class _Failed(CallError):
    def __init__(self, code: int, message: str, url: str, failure: Failure | None) -> None:
        super().__init__(code, message, url)
        self.failure = failure


class WebhookClient:
    """Sends webhooks signed with the account's token. Use it as an async context manager: it keeps connections."""

    def __init__(self, auth_token: str) -> None:
        self._validator = RequestValidator(auth_token)
        # Proxies of the environment are for the world outside; the application is next door.
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(trust_env=False, follow_redirects=False, limits=limits)

    async def __aenter__(self) -> WebhookClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(
        self,
        method: Method,
        url: str,
        parameters: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_DOCUMENT_BYTES,
    ) -> Response:
        """Raises:
        CallError: no answer in time, one with another status than 2xx or 304, or of more than `max_bytes`.
        """
        address, fragment = urldefrag(url)
        connection = Connection.of_fragment(fragment)
        if method == "GET" and parameters:
            address += ("&" if "?" in address else "?") + urlencode(parameters)
        if not is_http_url(address):
            raise CallError(INVALID_URL, "this is not an http or https URL", url)
        signed = parameters if method == "POST" else {}
        request = self._http.build_request(
            method,
            address,
            data=dict(parameters) if method == "POST" else None,
            headers={
                "User-Agent": "TwilioProxy/1.1",
                "Accept": "*/*",
                # The same for every attempt, so that the application can tell a retry from a second event.
                "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
                # Signed is "the full URL through the end of the query string" ("Security" in Twilio's documentation):
                # a fragment is not part of that, and never reaches the application.
                "X-Twilio-Signature": self._validator.compute_signature(address, signed),
                **(headers or {}),
            },
            timeout=httpx.Timeout(connection.read_timeout, connect=connection.connect_timeout),
        )
        try:
            async with asyncio.timeout(connection.total_timeout):
                return await self._send_with_retries(request, connection, url, max_bytes)
        except TimeoutError:
            raise _Failed(HTTP_RETRIEVAL_FAILURE, "the application did not answer in time", url, "rt") from None

    async def _send_with_retries(
        self, request: httpx.Request, connection: Connection, url: str, max_bytes: int
    ) -> Response:
        attempts_left = connection.retries
        while True:
            try:
                return await self._send_once(request, url, max_bytes)
            except _Failed as error:
                if error.failure is None or not attempts_left or not connection.retries_after(error.failure):
                    raise
                attempts_left -= 1

    async def _send_once(self, request: httpx.Request, url: str, max_bytes: int) -> Response:
        try:
            response = await self._http.send(request, stream=True)
            try:
                return await _read(response, url, max_bytes)
            finally:
                await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _Failed(HTTP_CONNECTION_FAILURE, f"cannot connect to the application: {error}", url, "ct") from error
        except httpx.TimeoutException as error:
            raise _Failed(HTTP_RETRIEVAL_FAILURE, "the application did not answer in time", url, "rt") from error
        except httpx.HTTPError as error:
            raise _Failed(HTTP_RETRIEVAL_FAILURE, f"the application's answer broke off: {error}", url, "rt") from error


def is_http_url(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parts.scheme in ("http", "https") and bool(parts.host)


async def _read(response: httpx.Response, url: str, max_bytes: int) -> Response:
    status = response.status_code
    if status >= 300 and status != 304:
        failure: Failure | None = "5xx" if status >= 500 else "4xx" if status >= 400 else None
        raise _Failed(HTTP_RETRIEVAL_FAILURE, f"the application answered with HTTP status {status}", url, failure)
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > max_bytes:
            raise _Failed(RESPONSE_TOO_LARGE, f"the application's answer is longer than {max_bytes} bytes", url, None)
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Response(status, content_type, bytes(body), response.headers.get("etag"))


def _milliseconds(text: str | None, default: float, longest: int) -> float:
    if text is None or not text.isdigit():
        return default
    return min(max(int(text), 100), longest) / 1000
