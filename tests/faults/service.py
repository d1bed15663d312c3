"""The service as a process that a test can kill: wired as in production, but for what the test has to know of. Voices
are tones, made by a provider that asks the test before it works; or, with failpoints, made by a stand-in of ElevenLabs.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import AsyncMock, patch

import httpx
import uvicorn
import uvloop
from fastapi import FastAPI

from api.app import create_app, studio_settings
from api.logs import set_up_logs
from api.server import uvicorn_options
from api.settings import Settings
from api.throttle import Throttle
from audio import quality
from audio.pcm import Pcm
from providers.contract import ClonedVoice, CloneRequest, Provider, SpeechRequest
from providers.elevenlabs.clones import Patience
from providers.elevenlabs.settings import ElevenLabsSettings
from providers.manager import ProviderRegistry
from studio import workflows
from studio.calling import CallTimes
from studio.helper import Helper
from studio.listening import Listeners
from studio.studio import open_studio
from telephony.carrier import TwilioCarrier
from telephony.settings import TelephonySettings
from tests.conftest import in_a_thread
from tests.faults.failpoints import FailingCarrier, FailingProvider, Failpoints, watch_commits
from tests.providers.elevenlabs.standin import KEY
from tests.providers.tone import ToneProvider

PATIENCE = Patience(creating=20.0, appearing=1.5, second=0.1)
"""The stand-in lists a voice at once."""


@dataclass(frozen=True)
class Pace:
    """Seconds: how often a process says that it lives, and after how long a silence it is taken for dead."""

    heartbeat: float = workflows.HEARTBEAT_SECONDS
    dead_after: float = workflows.DEAD_AFTER_SECONDS


@dataclass(frozen=True)
class Plan:
    """How to run one process.

    `front` is the base of what `tests.faults.front` serves: the carrier's API, and the gates of the provider.
    `failpoints` are there if `elevenlabs`, the base of a stand-in's API, makes the voices.
    """

    port: int
    data_dir: Path
    database_url: str
    public_base_url: str
    front: str
    account_sid: str
    auth_token: str
    times: CallTimes
    log: Path
    pace: Pace = Pace()
    failpoints: Failpoints | None = None
    elevenlabs: str = ""


class AskingProvider(ToneProvider):
    """Tells the test of all it does, and waits until the test lets it."""

    def __init__(self, front: str) -> None:
        super().__init__()
        self._http = httpx.AsyncClient(base_url=front, timeout=None, trust_env=False)

    async def aclose(self) -> None:
        await super().aclose()
        await self._http.aclose()

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        await self._ask("clone-begun", request.label)
        made = await super().clone(request)
        await self._ask("clone-made", request.label)
        return made

    async def synthesize(self, request: SpeechRequest) -> AsyncIterator[Pcm]:
        words = request.text.split()
        number = 0
        async for word in super().synthesize(request):
            await self._ask("word", words[number])
            number += 1
            yield word

    async def _ask(self, what: str, about: str) -> None:
        answer = await self._http.post(f"/provider/{what}", json={"about": about, "pid": os.getpid()})
        answer.raise_for_status()


def serve(plan: Plan) -> None:
    """Run the service until it is told to stop. What it says goes to `plan.log`."""
    with plan.log.open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    set_up_logs("INFO")
    workflows.HEARTBEAT_SECONDS, workflows.DEAD_AFTER_SECONDS = plan.pace.heartbeat, plan.pace.dead_after
    if plan.failpoints is not None:
        watch_commits(plan.failpoints)
        # Scores take more of the processor than all the rest of a story, and nothing here depends on them.
        patch.object(quality, "dnsmos", return_value=None).start()
        patch.object(Listeners, "warm_up", AsyncMock()).start()
        # It is killed so often, and to start its helpers takes longer than a story.
        patch.object(Helper, "ask", in_a_thread).start()
    settings = Settings(
        data_dir=plan.data_dir,
        database_url=plan.database_url,
        secret_key="one secret for all of the processes",  # type: ignore[arg-type]  # becomes a SecretStr
        public_base_url=plan.public_base_url,
        default_clone_provider="elevenlabs" if plan.failpoints is not None else "tone",
        port=plan.port,
    )
    server = uvicorn.Server(uvicorn.Config(_app(plan, settings), **uvicorn_options(settings)))
    uvloop.run(server.serve())


def _app(plan: Plan, settings: Settings) -> FastAPI:
    """`create_app` with other waiting times. The studio lives within the application's life, as in production."""
    telephony = TelephonySettings.model_validate(
        {
            "twilio_account_sid": plan.account_sid,
            "twilio_auth_token": plan.auth_token,
            "twilio_caller_id": "+15005550006",
            "twilio_api_url": plan.front,
            "public_base_url": plan.public_base_url,
        }
    )

    @asynccontextmanager
    async def lifespan(outer: FastAPI) -> AsyncIterator[None]:
        provider = _provider(plan)
        providers = ProviderRegistry({provider.name: provider})
        async with AsyncExitStack() as stack:
            stack.push_async_callback(providers.aclose)
            carrier = await stack.enter_async_context(_carrier(plan, telephony))
            patient = replace(studio_settings(settings), call_times=plan.times)
            studio = await stack.enter_async_context(open_studio(patient, providers, carrier))
            inner = create_app(
                settings, telephony, studio=studio, throttle=Throttle(sign_ups_per_address="999 per hour")
            )
            await stack.enter_async_context(inner.router.lifespan_context(inner))
            outer.mount("", inner)
            yield

    return FastAPI(lifespan=lifespan, openapi_url=None)


def _provider(plan: Plan) -> Provider:
    if plan.failpoints is None:
        return AskingProvider(plan.front)
    account = ElevenLabsSettings.model_validate({"api_key": KEY, "api_url": plan.elevenlabs})
    return FailingProvider(account, PATIENCE, plan.failpoints)


def _carrier(plan: Plan, telephony: TelephonySettings) -> TwilioCarrier:
    return TwilioCarrier(telephony) if plan.failpoints is None else FailingCarrier(telephony, plan.failpoints)
