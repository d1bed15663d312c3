"""Files that come with a request (GraphQL multipart request specification,
https://github.com/jaydenseric/graphql-multipart-request-spec).

Only somebody who is signed in may send one, which is known before any of it is read. What is read goes to a file
without a name on the disk, and is gone with the request. That another site's page cannot send one in somebody's name is
seen to where the session's cookie is read (`api.auth`): unlike a form, it takes a header that a browser asks leave for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from cross_web import HTTPException
from starlette import exceptions
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request

from api.throttle import Throttle
from audio.decode import decode
from audio.pcm import Pcm
from audio.wav import BadAudio
from studio.mistakes import Mistake, MistakeCode

MAX_UPLOAD: Final = 32 << 20
"""Bytes of a request with a file; 3 minutes of CD sound."""
UPLOAD_SECONDS: Final = 300.0
"""How long a request with a file may take to arrive."""
AT_ONCE: Final = 16
"""Requests with a file, in this process."""
_DECODED_AT_ONCE: Final = 2
_MAX_FIELD: Final = 64 << 10  # bytes of `operations` or of `map`


def is_upload(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request is one that may carry a file."""
    content_type = headers.get("content-type", "").partition(";")[0]
    return method == "POST" and content_type.strip().lower() == "multipart/form-data"


class Uploads:
    """Receives files, and listens to them: not too many at once, nor too many of one user's."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._here = 0
        self._decoding = asyncio.Semaphore(_DECODED_AT_ONCE)

    @asynccontextmanager
    async def room(self, request: Request) -> AsyncIterator[None]:
        """A place for a request with a file, as long as it is served; for others there is room always.

        Raises:
            Mistake: AT_CAPACITY.
        """
        if not is_upload(request.method, request.headers):
            yield
            return
        if self._here >= AT_ONCE:
            raise Mistake(MistakeCode.AT_CAPACITY, "Many files come in just now. Send yours in a minute.")
        self._here += 1
        try:
            yield
        finally:
            self._here -= 1
            await request.close()  # and with it the file

    async def receive(self, request: Request, owner: str) -> None:
        """Read the request's form, which it then has.

        Raises:
            Mistake: RATE_LIMITED.
            HTTPException: 400, 408.
        """
        await self._throttle.upload(owner)
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                await request.form(max_files=1, max_fields=2, max_part_size=_MAX_FIELD)
        except exceptions.HTTPException as error:
            raise HTTPException(400, f"This is not a request with one file: {error.detail}") from error
        except ClientDisconnect as error:
            raise HTTPException(400, "The request broke off.") from error
        except TimeoutError as error:
            raise HTTPException(408, f"The file did not arrive within {UPLOAD_SECONDS:.0f} s.") from error

    async def listen(self, upload: UploadFile) -> Pcm:
        """The sound of a file. Those who come later wait for those before.

        Raises:
            Mistake: INVALID.
        """
        async with self._decoding:
            if upload.file.closed:
                raise Mistake(MistakeCode.INVALID, "This file was used already: send one for each voice.", ("audio",))
            try:
                return await decode(upload.file)
            except BadAudio as bad:
                raise Mistake(MistakeCode.INVALID, str(bad), ("audio",)) from bad
            finally:
                await upload.close()


def operations_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """The GraphQL request of a form, with the files in their places.

    Raises:
        HTTPException: 400.
    """
    operations, places = _object(form, "operations"), _object(form, "map")
    for name, paths in places.items():
        file = form.get(name)
        if not isinstance(file, UploadFile):
            raise HTTPException(400, f"`map` names a file {name!r}, and the request has none of that name.")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise HTTPException(400, '`map` must say where each file goes, as in {"0": ["variables.input.audio"]}.')
        for path in paths:
            _put(operations, path, file)
    return operations


def _object(form: Mapping[str, Any], name: str) -> dict[str, Any]:
    text = form.get(name)
    try:
        value = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise HTTPException(400, f"A request with a file needs the field `{name}`, which holds a JSON object.")
    return value


def _put(operations: dict[str, Any], path: str, file: UploadFile) -> None:
    *way, last = path.split(".")
    target: Any = operations
    try:
        for key in way:
            target = target[int(key) if isinstance(target, list) else key]
        place = int(last) if isinstance(target, list) else last
        free = way[:1] == ["variables"] and target[place] is None
    except (LookupError, TypeError, ValueError):
        free = False
    if not free:
        raise HTTPException(400, f"`map` puts a file at {path!r}, and `operations` must have a variable there: null.")
    target[place] = file
