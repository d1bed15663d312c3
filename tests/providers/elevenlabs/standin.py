"""A stand-in for ElevenLabs' API on a real socket, which speaks as the SDK (2.78) expects, and misbehaves as told.

    async with elevenlabs_standin() as eleven:
        eleven.script("add", LOST)            # (of `acts`) the next voice is made, and its answer is lost
        eleven.script("speech", error(429, "system_busy"), times=2)
        eleven.gates["add"].after.hold()      # voices are made, and their answers wait for the test

Every request passes the gate `before` of its route, has its effect, and passes the gate `after` before it is answered.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from audio.g711 import encode_mulaw
from audio.pcm import Pcm
from telephony.exchange.app import listen
from tests.providers.elevenlabs.acts import Act, Broken, CutResponse, SpeechResponse, refusal
from tests.providers.tone import Gate, tone
from tests.telephony.exchange.harness import WITHIN, InProcess, served

KEY: Final = "sk_0123456789abcdef0123456789abcdef0123456789abcdef"
PREMADE: Final = ("JBFqnCBsd6RMkjVDRZzb", "EXAVITQu4vr4xnSDxMaL", "CwhRBWXzGAHq8TQ4Fs17")
SECONDS_PER_CHARACTER: Final = 0.01
_TEXT_LIMITS: Final = {"eleven_multilingual_v2": 10_000, "eleven_flash_v2_5": 40_000}
_ODD_CHUNK: Final = 1001  # bytes: ends within a sample
_WITHOUT_A_GATE: Final = 64 * 1024  # bytes that are sent between two passages of the gate `streaming`


@dataclass(frozen=True)
class Received:
    route: str
    method: str
    path: str
    content: Mapping[str, Any]
    """The query, and the JSON or the fields of the form."""


@dataclass
class StoredVoice:
    voice_id: str
    name: str
    category: str = "premade"
    labels: dict[str, str] = field(default_factory=dict)
    description: str | None = None
    created: int | None = None
    audio: bytes = b""
    wants_verification: bool = False
    hidden_for: int = 0
    """Listings that do not show it yet."""

    @property
    def label(self) -> str | None:
        """The clone it was made for."""
        return self.labels.get("deadringer_clone")


@dataclass
class _Gates:
    before: Gate = field(default_factory=Gate)
    after: Gate = field(default_factory=Gate)


class StandIn:
    """
    Attributes:
        url: where it is.
        voices: those that live, by id.
        made: all that were ever made, in order.
        deleted: the ids of those that were deleted, in order.
        received: all requests.
        most_at_once: of requests for speech.
        allowed_at_once: more are refused.
        others_at_once: requests that somebody else makes with the same account.
        abandoned: streams of speech that were not heard to their end.
        seconds_between: the times at which two voices are said to have been made.
        subscription: as it is answered, but for what is counted here.
        gates: by route; `streaming`: passed before each 64 KB of speech.
        wants_verification: of voices that are made from now on.
    """

    def __init__(self) -> None:
        self.url = ""
        self.voices = {id: StoredVoice(id, f"Voice {id[:2]}", labels={"language": "en"}) for id in PREMADE}
        self.made: list[StoredVoice] = []
        self.deleted: list[str] = []
        self.received: list[Received] = []
        self.most_at_once = 0
        self.allowed_at_once = 2
        self.others_at_once = 0
        self.abandoned = 0
        self._watching: list[asyncio.Future[None]] = []
        self.seconds_between = 1
        self.wants_verification = False
        self.gates: defaultdict[str, _Gates] = defaultdict(_Gates)
        self.streaming = Gate()
        self.subscription: dict[str, Any] = {
            "tier": "starter",
            "character_count": 100,
            "character_limit": 30_000,
            "voice_limit": 10,
            "max_voice_add_edits": 50,
            "can_use_instant_voice_cloning": True,
        }
        self.models = list(_TEXT_LIMITS)
        self._script: defaultdict[str, deque[Act]] = defaultdict(deque)
        self._always: dict[str, Act] = {}
        self._at_once = 0
        self._numbers = itertools.count(1)
        self.app = Starlette(
            routes=[
                Route("/v1/voices/add", self._route("add", self._add), methods=["POST"]),
                Route("/v2/voices", self._route("search", self._search)),
                Route("/v1/voices/{id}", self._route("voice", self._voice)),
                Route("/v1/voices/{id}", self._route("delete", self._delete), methods=["DELETE"]),
                Route("/v1/user/subscription", self._route("subscription", self._subscription)),
                Route("/v1/models", self._route("models", self._models)),
                Route("/v1/text-to-speech/{id}/stream", self._route("speech", self._speech), methods=["POST"]),
                Route("/preview/{id}.mp3", self._preview),
            ]
        )

    def script(self, route: str, *acts: Act, times: int = 1) -> None:
        """The next requests of a route (add, search, voice, delete, subscription, models, speech) go like this."""
        self._script[route] += list(acts) * times

    def always(self, route: str, act: Act | None) -> None:
        """All requests of a route, once its script is used up; None: as it should be."""
        if act is None:
            self._always.pop(route, None)
        else:
            self._always[route] = act

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something that is counted here has come so far."""
        async with asyncio.timeout(WITHIN):
            while not happened():
                change = asyncio.get_running_loop().create_future()
                self._watching.append(change)
                await change

    def _tell(self) -> None:
        for change in self._watching:
            if not change.done():
                change.set_result(None)
        self._watching.clear()

    def of(self, route: str) -> list[Received]:
        return [request for request in self.received if request.route == route]

    @property
    def clones(self) -> list[StoredVoice]:
        """Those that were made and live."""
        return [voice for voice in self.voices.values() if voice.category == "cloned"]

    def keep(self, label: str, category: str = "cloned", **fields: Any) -> StoredVoice:
        """Put a voice there, as if it had been made before all others."""
        id = f"{category}{next(self._numbers):013d}"
        voice = StoredVoice(id, "Kept", category, {"deadringer_clone": label}, created=0, **fields)
        self.voices[voice.voice_id] = voice
        return voice

    # ── what every route does ────────────────────────────────────────────────

    def _route(self, name: str, effect: Callable[..., Any]) -> Any:
        async def answer(request: Request) -> Response:
            content = dict(request.query_params) | await _content(request)
            self.received.append(Received(name, request.method, request.url.path, content))
            self._tell()
            act = self._script[name].popleft() if self._script[name] else self._always.get(name, Act())
            await self.gates[name].before.passage()
            if act.refused is not None:
                return act.refused()
            key = request.headers.get("xi-api-key")
            if key != KEY:
                return refusal(401, "invalid_api_key", f"Invalid API key {key}")
            response: Response = await effect(request.path_params.get("id"), content, act)
            await self.gates[name].after.passage()
            if act.lost or act.truncated:
                return CutResponse(response, truncated=act.truncated)
            if act.answer is not None:
                return Response(act.answer[0], media_type=act.answer[1])
            return response

        return answer

    # ── the routes ───────────────────────────────────────────────────────────

    async def _add(self, _: str | None, content: Mapping[str, Any], act: Act) -> Response:
        slots, additions = self._counts()
        if not self.subscription["can_use_instant_voice_cloning"]:
            return refusal(400, "can_not_use_instant_voice_cloning")
        if slots >= self.subscription["voice_limit"]:
            return refusal(400, "voice_limit_reached", f"({slots} / {slots})")
        if additions >= (self.subscription["max_voice_add_edits"] or additions + 1):
            return refusal(400, "voice_add_edit_limit_reached")
        if not content.get("name") or not content.get("files"):
            return JSONResponse({"detail": [{"loc": ["body"], "msg": "Field required", "type": "missing"}]}, 422)
        voice = StoredVoice(
            f"clone{next(self._numbers):015d}",
            content["name"],
            "cloned",
            json.loads(content.get("labels") or "null") or {},
            content.get("description"),
            created=1_700_000_000 + len(self.made) * self.seconds_between,
            audio=content["files"],
            wants_verification=self.wants_verification,
            hidden_for=act.late,
        )
        self.voices[voice.voice_id] = voice
        self.made.append(voice)
        self._tell()
        return JSONResponse({"voice_id": voice.voice_id, "requires_verification": voice.wants_verification})

    async def _search(self, _: str | None, content: Mapping[str, Any], act: Act) -> Response:
        size, start = int(content.get("page_size", 10)), int(content.get("next_page_token", 0))
        if not 1 <= size <= 100:
            return refusal(400, "invalid_page_size")
        category = content.get("category")
        found = [voice for voice in self.voices.values() if not voice.hidden_for]
        if start == 0:
            for voice in self.voices.values():
                voice.hidden_for = max(0, voice.hidden_for - 1)
        found = [voice for voice in found if category in (None, voice.category)]
        page = found[start : start + size]
        more = start + size < len(found)
        return JSONResponse(
            {
                "voices": [self._shown(voice) for voice in page],
                "has_more": more,
                "total_count": len(found),
                "next_page_token": str(start + size) if more else None,
            }
        )

    async def _voice(self, id: str, content: Mapping[str, Any], act: Act) -> Response:
        return JSONResponse(self._shown(self.voices[id])) if id in self.voices else refusal(400, "voice_not_found")

    async def _delete(self, id: str, content: Mapping[str, Any], act: Act) -> Response:
        if id not in self.voices:
            return refusal(400, "voice_not_found")
        del self.voices[id]
        self.deleted.append(id)
        return JSONResponse({"status": "ok"})

    async def _subscription(self, _: str | None, content: Mapping[str, Any], act: Act) -> Response:
        slots, additions = self._counts()
        return JSONResponse({"voice_slots_used": slots, "voice_add_edit_counter": additions, **self.subscription})

    async def _models(self, _: str | None, content: Mapping[str, Any], act: Act) -> Response:
        return JSONResponse([{"model_id": id, "can_do_text_to_speech": True, "languages": []} for id in self.models])

    async def _speech(self, id: str, content: Mapping[str, Any], act: Act) -> Response:
        if id not in self.voices:
            return refusal(404, "voice_not_found")
        if self.voices[id].wants_verification:
            return refusal(403, "voice_requires_verification")
        limit = _TEXT_LIMITS.get(content["model_id"]) if content["model_id"] in self.models else None
        if limit is None:
            return refusal(404, "model_not_found")
        if len(content["text"]) > limit:
            return refusal(400, "max_character_limit_exceeded", legacy=True)
        if len(content.get("previous_request_ids", ())) > 3:
            return refusal(400, "invalid_parameters")
        name, _, rate = content["output_format"].partition("_")
        if content["output_format"] == "pcm_44100" and self.subscription["tier"] in ("free", "starter", "creator"):
            return refusal(403, "subscription_required")
        if self._at_once + self.others_at_once >= self.allowed_at_once:
            return refusal(429, "too_many_concurrent_requests", legacy=True)
        sound = spoken(id, content["text"], int(rate))
        data = encode_mulaw(sound) if name == "ulaw" else sound.to_int16()
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self._tell()
        headers = {
            "request-id": f"request{next(self._numbers)}",
            "current-concurrent-requests": str(self._at_once + self.others_at_once),
            "maximum-concurrent-requests": str(self.allowed_at_once),
        }
        return SpeechResponse(self._stream(data, act), headers=headers, media_type=f"audio/{name}", ended=self._ended)

    async def _stream(self, data: bytes, act: Act) -> AsyncIterator[bytes]:
        for start in range(0, len(data), _WITHOUT_A_GATE):
            await self.streaming.passage()
            for at in range(start, min(len(data), start + _WITHOUT_A_GATE), _ODD_CHUNK):
                if act.broken_after is not None and at >= act.broken_after:
                    raise Broken
                yield data[at : min(at + _ODD_CHUNK, start + _WITHOUT_A_GATE)]

    def _ended(self, whole: bool) -> None:
        self._at_once -= 1
        if not whole:
            self.abandoned += 1
        self._tell()

    async def _preview(self, request: Request) -> Response:
        return Response(b"ID3", media_type="audio/mpeg")

    def _counts(self) -> tuple[int, int]:
        return (
            int(self.subscription.get("voice_slots_used", len(self.clones))),
            int(self.subscription.get("voice_add_edit_counter", len(self.made))),
        )

    def _shown(self, voice: StoredVoice) -> dict[str, Any]:
        return {
            "voice_id": voice.voice_id,
            "name": voice.name,
            "category": voice.category,
            "labels": voice.labels,
            "description": voice.description,
            "created_at_unix": voice.created,
            "preview_url": f"{self.url}/preview/{voice.voice_id}.mp3" if voice.category == "premade" else None,
            "voice_verification": {
                "requires_verification": voice.wants_verification,
                "is_verified": False,
                "verification_failures": [],
                "verification_attempts_count": 0,
            },
        }


@asynccontextmanager
async def elevenlabs_standin() -> AsyncIterator[StandIn]:
    """One that runs, in the test's own event loop."""
    listening, url = listen("127.0.0.1", 0)
    eleven = StandIn()
    eleven.url = url
    config = uvicorn.Config(eleven.app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
    async with served(InProcess(config), listening):
        try:
            yield eleven
        finally:
            eleven.streaming.open()
            for gates in eleven.gates.values():
                gates.before.open()
                gates.after.open()


def spoken(voice_id: str, text: str, rate: int) -> Pcm:
    """What a voice says: a tone of a pitch that is its own, longer for a longer text."""
    return tone(200.0 + sum(voice_id.encode()) % 50 * 10, len(text) * SECONDS_PER_CHARACTER, rate)


async def _content(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        async with request.form() as form:
            return {name: value if isinstance(value, str) else await value.read() for name, value in form.items()}
    if kind.startswith("application/json"):
        found = await request.json()
        return dict(found) if isinstance(found, dict) else {}
    return {}
