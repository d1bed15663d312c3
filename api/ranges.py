"""Parts of something whose length is known: range requests by RFC 9110, sections 13 and 14, one range at a time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response

from api.streaming import Stream

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Unsatisfiable(Exception):
    """No byte lies in the range."""


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None for what may be ignored: no range, several, or no sense.

    Raises:
        Unsatisfiable
    """
    found = _ONE_RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise Unsatisfiable
    return start, stop


def partial_response(
    request: Request,
    size: int,
    etag: str,
    content_type: str,
    read: Callable[[int, int], AsyncIterator[bytes]],
) -> Response:
    """All of it or the part that was asked for; `read` gives the bytes from a first to one after the last."""
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": "private, no-cache"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    # If what the client has parts of has changed, it needs all of it.
    wanted = request.headers.get("range", "") if request.headers.get("if-range", etag) == etag else ""
    try:
        part = parse_range(wanted, size)
    except Unsatisfiable:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, stop = part or (0, size)
    headers["Content-Length"] = str(stop - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=content_type)
    return Stream(read(start, stop), status, headers, content_type)
