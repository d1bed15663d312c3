"""Speech, streamed as it is made."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from audio.pcm import Pcm
from providers.contract import Artefact, AtCapacity, Refused, SpeechRequest, Transient
from providers.elevenlabs.clones import voice_of
from providers.elevenlabs.connection import Connection, in_words
from providers.elevenlabs.models import (
    FASTEST,
    LARGEST_SEED,
    MOST_PREVIOUS_REQUESTS,
    QUALITY,
    QUICK,
    SLOWEST,
    TELEPHONE,
    WIDE_BAND,
    Format,
    Model,
)
from providers.elevenlabs.passages import passages
from providers.elevenlabs.places import Places
from providers.elevenlabs.voices import BuiltInVoices

if TYPE_CHECKING:
    from elevenlabs.client import AsyncElevenLabs

OPTIONS: Final = frozenset({"speed", "seed"})

_PIECE = 0.5  # s in a piece
_LIVE_PIECE = 0.1
_CONTEXT = 300  # characters of what comes next, for the intonation at the end of a passage
_BUSY_SECONDS = 15.0  # how long ElevenLabs may be too busy to begin
_FIRST_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a text is asked for, passage by passage."""

    voice: str
    model: Model
    format: Format
    piece_seconds: float
    parameters: dict[str, Any]


class Speech:
    """`busy_seconds`: how long to go on asking while ElevenLabs is too busy to begin a passage."""

    def __init__(self, connection: Connection, built_in: BuiltInVoices, busy_seconds: float = _BUSY_SECONDS) -> None:
        self._connection = connection
        self._built_in = built_in
        self._busy_seconds = busy_seconds
        # Each model has an allowance of its own.
        self._places = {model: Places() for model in (QUALITY, QUICK)}

    async def speak(self, request: SpeechRequest) -> AsyncGenerator[Pcm, None]:
        """Pieces of half a second, or of a tenth for who listens live.

        Raises:
            ProviderError: before the first piece or between two.
        """
        sdk = await self._connection.sdk()
        manner = await self._manner(request)
        parts = list(passages(request.text, manner.model.characters))
        if not parts:
            raise Refused("There is nothing in this text that could be spoken.")
        spoken: deque[str] = deque(maxlen=MOST_PREVIOUS_REQUESTS)
        for number, part in enumerate(parts):
            neighbours: dict[str, Any] = {}
            if spoken:
                neighbours["previous_request_ids"] = list(spoken)
            elif number:
                neighbours["previous_text"] = parts[number - 1][-_CONTEXT:]
            if number + 1 < len(parts):
                neighbours["next_text"] = parts[number + 1][:_CONTEXT]
            async with (
                self._places[manner.model].place(),
                aclosing(self._patiently(sdk, manner, part, neighbours, spoken)) as pieces,
            ):
                async for piece in pieces:
                    yield piece

    async def _manner(self, request: SpeechRequest) -> _Manner:
        options = request.options
        unknown = options.given() - OPTIONS
        if unknown:
            raise Refused(f"ElevenLabs has no {', '.join(sorted(unknown))}; speed and seed can be set.")
        parameters: dict[str, Any] = {}
        if options.speed is not None:
            if not SLOWEST <= options.speed <= FASTEST:
                raise Refused(f"The speed must be from {SLOWEST} to {FASTEST}, not {options.speed}.")
            parameters["voice_settings"] = {"speed": options.speed}
        if options.seed is not None:
            if not 0 <= options.seed <= LARGEST_SEED:
                raise Refused(f"The seed must be from 0 to {LARGEST_SEED}, not {options.seed}.")
            parameters["seed"] = options.seed
        quick = request.live or request.phone
        model = QUICK if quick else QUALITY
        if request.language and model.chooses_language:
            parameters["language_code"] = request.language.replace("_", "-").split("-")[0].lower()
        return _Manner(
            voice=await self._voice(request.voice),
            model=model,
            format=TELEPHONE if request.phone else WIDE_BAND,
            piece_seconds=_LIVE_PIECE if quick else _PIECE,
            parameters=parameters,
        )

    async def _voice(self, voice: str | Artefact) -> str:
        if isinstance(voice, Artefact):
            return voice_of(voice)
        # An id of a voice that somebody else cloned would be spoken as well, so only those that are listed will do.
        if voice not in await self._built_in.all():
            raise Refused(f"ElevenLabs has no built-in voice {voice!r}.")
        return voice

    async def _patiently(
        self, sdk: AsyncElevenLabs, manner: _Manner, text: str, neighbours: dict[str, Any], spoken: deque[str]
    ) -> AsyncGenerator[Pcm, None]:
        """`AtCapacity` comes in place of the first piece: nothing was made, nothing is paid for, and it may be asked
        again."""
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + self._busy_seconds, _FIRST_PAUSE
        while True:
            try:
                async with aclosing(self._streamed(sdk, manner, text, neighbours, spoken)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except AtCapacity as busy:
                wait = max(busy.retry_after, pause) * random.uniform(1.0, 1.5)
                if clock() + wait > deadline:
                    raise
            await asyncio.sleep(wait)
            pause *= 2

    async def _streamed(
        self, sdk: AsyncElevenLabs, manner: _Manner, text: str, neighbours: dict[str, Any], spoken: deque[str]
    ) -> AsyncGenerator[Pcm, None]:
        sound = manner.format
        size = round(manner.piece_seconds * sound.rate) * sound.width
        with in_words():
            async with sdk.text_to_speech.with_raw_response.stream(
                manner.voice,
                text=text,
                model_id=manner.model.id,
                output_format=sound.name,
                request_options={"chunk_size": size},
                **manner.parameters,
                **neighbours,
            ) as answer:
                headers = answer.headers
                self._places[manner.model].learn(headers)
                if headers.get("content-type", "").startswith(("text/", "application/json")):
                    raise Transient("ElevenLabs did not answer with sound. Try again in a moment.")
                rest, empty = b"", True
                # The SDK calls it an iterator; it is a generator, which is closed with the request.
                async with aclosing(cast(AsyncGenerator[bytes, None], answer.data)) as chunks:
                    async for chunk in chunks:
                        rest += chunk
                        whole = len(rest) - len(rest) % sound.width
                        if whole:
                            empty = False
                            yield sound.decode(rest[:whole], sound.rate)
                            rest = rest[whole:]
                if empty:
                    raise Transient("ElevenLabs sent no sound. Try again in a moment.")
                if "request-id" in headers:
                    spoken.append(headers["request-id"])
