"""The service as a process that a test can kill: wired as in production, but for a provider that asks the test before
it works."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import create_app, studio_settings
from api.logs import set_up_logs
from api.server import uvicorn_options
from api.settings import Settings
from audio.pcm import Pcm
from providers.contract import ClonedVoice, CloneRequest, SpeechRequest
from providers.manager import ProviderRegistry
from studio.calling import CallTimes
from studio.studio import open_studio
from telephony.carrier import TwilioCarrier
from telephony.settings import TelephonySettings
from tests.providers.tone import ToneProvider


@dataclass(frozen=True)
class Plan:
    """How to run one process.

    `front` is the base of what `tests.faults.front` serves: the carrier's API, and the gates of the provider.
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
    settings = Settings(
        data_dir=plan.data_dir,
        database_url=plan.database_url,
        secret_key="one secret for all of the processes",  # type: ignore[arg-type]  # becomes a SecretStr
        public_base_url=plan.public_base_url,
        default_clone_provider="tone",
        port=plan.port,
    )
    server = uvicorn.Server(uvicorn.Config(_app(plan, settings), **uvicorn_options(settings)))
    asyncio.run(server.serve())


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
        provider = AskingProvider(plan.front)
        providers = ProviderRegistry({provider.name: provider})
        async with AsyncExitStack() as stack:
            stack.push_async_callback(providers.aclose)
            carrier = await stack.enter_async_context(TwilioCarrier(telephony))
            patient = replace(studio_settings(settings), call_times=plan.times)
            studio = await stack.enter_async_context(open_studio(patient, providers, carrier))
            inner = create_app(settings, telephony, studio=studio)
            await stack.enter_async_context(inner.router.lifespan_context(inner))
            outer.mount("", inner)
            yield

    return FastAPI(lifespan=lifespan, openapi_url=None)
