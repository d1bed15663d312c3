"""Where signed audio links lead: recordings, and syntheses, also while they are still being spoken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api.audio_links import PREFIX, AudioLinks
from api.finished_audio import CONTENT_TYPES, ENCODERS, FinishedAudio
from api.middleware import CutShort
from api.ranges import partial_response
from api.streaming import Stream
from audio.encode import Encoder
from studio.mistakes import Mistake
from studio.speech import SpeechPiece, SpeechProgress
from studio.states import SynthesisStatus
from studio.studio import Studio
from studio.tables import Synthesis

_METHODS = ["GET", "HEAD"]


def router(studio: Studio, links: AudioLinks, finished: FinishedAudio) -> APIRouter:
    routes = APIRouter(prefix=PREFIX, include_in_schema=False)

    def owner_of(request: Request) -> str | None:
        return links.owner(request.url.path, request.query_params)

    @routes.api_route("/syntheses/{name}", methods=_METHODS)
    async def synthesis(request: Request, name: str) -> Response:
        owner = owner_of(request)
        if owner is None:
            return _refused()
        row = await studio.speech.get(owner, name.partition(".")[0])
        if row is None:
            return _missing("It was deleted.")
        if not row.status.over:
            return await _growing(request, studio, row)
        audio = await finished.get(row)
        if audio is None:
            return _missing(row.failure_message or "Nothing was spoken.")
        return partial_response(request, audio.size, f'"{name}"', CONTENT_TYPES[row.format], audio.read)

    @routes.api_route("/recordings/{name}", methods=_METHODS)
    async def recording(request: Request, name: str) -> Response:
        owner = owner_of(request)
        if owner is None:
            return _refused()
        row = await studio.clones.recording(owner, name.partition(".")[0])
        try:
            sound = await studio.blobs.get(row.blob) if row is not None and row.blob is not None else None
        except FileNotFoundError:
            sound = None
        if sound is None:
            return _missing("It was deleted.")

        async def read(start: int, stop: int) -> AsyncIterator[bytes]:
            yield sound[start:stop]

        return partial_response(request, len(sound), f'"{name}"', "audio/wav", read)

    return routes


async def _growing(request: Request, studio: Studio, row: Synthesis) -> Response:
    """The audio as it is made, without a length. The answer begins when there is something to hear."""
    stream = _encoded(studio, row)
    try:
        first = await anext(stream, None)
    except Mistake:  # deleted meanwhile
        return _missing("It was deleted.")
    if first is None:
        present = await studio.speech.get(row.user_id, row.id)
        return _missing((present and present.failure_message) or "Nothing was spoken.")
    headers = {"Accept-Ranges": "none", "Cache-Control": "private, no-store"}
    media_type = CONTENT_TYPES[row.format]
    if request.method == "HEAD":
        await stream.aclose()
        return Response(headers=headers, media_type=media_type)

    async def body() -> AsyncIterator[bytes]:
        async with aclosing(stream):
            yield first
            async for data in stream:
                yield data

    return Stream(body(), headers=headers, media_type=media_type)


async def _encoded(studio: Studio, row: Synthesis) -> AsyncGenerator[bytes]:
    """
    Raises:
        CutShort: the synthesis failed after some of it was spoken.
        Mistake: it was deleted.
    """
    encoder: Encoder | None = None
    status = row.status
    events = cast("AsyncGenerator[SpeechProgress | SpeechPiece]", studio.speech.follow(row.user_id, row.id))
    async with aclosing(events):
        async for event in events:
            if isinstance(event, SpeechProgress):
                status = event.synthesis.status
                continue
            if encoder is None:
                encoder = ENCODERS[row.format](event.pcm.rate)
                yield encoder.header()
            # An MP3 takes a core some time.
            yield await asyncio.to_thread(encoder.feed, event.pcm)
    if encoder is None:
        return
    if status is SynthesisStatus.FAILED:
        raise CutShort  # or it would look whole
    yield encoder.finish()


def _refused() -> Response:
    return PlainTextResponse("This link is wrong or has expired. Ask for it again by GraphQL.", 403)


def _missing(why: str) -> Response:
    return PlainTextResponse(f"There is nothing to hear here. {why}", 404)
