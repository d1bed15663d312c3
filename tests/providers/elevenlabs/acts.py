"""What the stand-in can be told to do instead of answering as it should, and how that looks on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send


@dataclass(frozen=True)
class Act:
    """How one request is answered otherwise than it should be.

    Attributes:
        refused: this answer, and no effect.
        lost: the effect, and then the connection is cut.
        truncated: the effect, and then half of the answer, though all of it was announced.
        answer: the effect, and then these bytes as the answer, with status 200.
        late: a voice that is made is listed only from that many listings on.
        broken_after: speech breaks off after that many bytes.
    """

    refused: Callable[[], Response] | None = None
    lost: bool = False
    truncated: bool = False
    answer: tuple[bytes, str] | None = None
    late: int = 0
    broken_after: int | None = None


LOST = Act(lost=True)
TRUNCATED = Act(truncated=True)


def late(listings: int, lost: bool = False) -> Act:
    """A voice that appears late."""
    return Act(late=listings, lost=lost)


def error(status: int, code: str, message: str = "No.", retry_after: int | None = None, legacy: bool = False) -> Act:
    """An error in their form of today, or in the older one."""
    detail = {"status": code, "message": message}
    if not legacy:
        detail |= {"type": "error", "code": code, "request_id": "0" * 32}
    headers = {"retry-after": str(retry_after)} if retry_after is not None else None
    return Act(refused=partial(JSONResponse, {"detail": detail}, status, headers))


def body(status: int, content: bytes, content_type: str = "text/html") -> Act:
    """An answer of somebody else, such as a proxy."""
    return Act(refused=partial(Response, content, status, media_type=content_type))


def refusal(status: int, code: str, message: str = "No.", legacy: bool = False) -> Response:
    refused = error(status, code, message, legacy=legacy).refused
    assert refused is not None
    return refused()


class Broken(Exception):
    """Speech that breaks off."""


class SpeechResponse(StreamingResponse):
    """Ends when the other side leaves, wherever it is. `ended` is told, once, whether all of it was sent; it is told
    before the other side can know that it has all, as it may ask for more at once."""

    def __init__(self, content: AsyncIterator[bytes], *, ended: Callable[[bool], None], **options: Any) -> None:
        super().__init__(self._watched(content), **options)
        self._tell_ended = ended
        self._whole = False

    async def _watched(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in content:
            yield chunk
        self._whole = True
        self._tell_ended(True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streaming = asyncio.create_task(self.stream_response(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait([streaming, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (streaming, leaving):
                task.cancel()
            await asyncio.gather(streaming, leaving, return_exceptions=True)
            if not self._whole:
                self._tell_ended(False)
                _cut(send)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class CutResponse(Response):
    """An answer that does not arrive, or by half."""

    def __init__(self, answer: Response, truncated: bool) -> None:
        super().__init__()
        self._answer = answer
        self._truncated = truncated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._truncated:
            half = bytes(self._answer.body[: len(self._answer.body) // 2])
            await send({"type": "http.response.start", "status": 200, "headers": self._answer.raw_headers})
            await send({"type": "http.response.body", "body": half, "more_body": True})
        _cut(send)


def _cut(send: Any) -> None:
    """Close the connection, as no ASGI application can: by what uvicorn has behind `send`."""
    while not hasattr(send, "__self__"):  # Starlette's wrappers are closures over it
        send = next(cell.cell_contents for cell in send.__closure__ if callable(cell.cell_contents))
    send.__self__.transport.close()
