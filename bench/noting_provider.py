"""A provider for benchmarks, found as an installed plugin: it tells `BENCH_NOTES` when it is asked for a clone."""

from __future__ import annotations

import os

import httpx

from providers.contract import Artefact, ClonedVoice, CloneRequest, Health, Quota
from providers.hookspecs import Register, hookimpl


class NotingProvider:
    name = "noting"
    title = "Notes when it is asked"
    version = "1.0"
    minimum_speech = 6.0
    recipient = None

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(trust_env=False)

    async def health(self) -> Health:
        return Health(available=True)

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None:
        await self._http.aclose()

    async def clone_quota(self) -> Quota | None:
        return None

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        await request.permit()
        cleaned = request.cleaned is not None
        await self._http.post(os.environ["BENCH_NOTES"], json={"label": request.label, "cleaned": cleaned})
        return ClonedVoice(Artefact("nothing", b""))

    async def delete_voice(self, artefact: Artefact) -> None: ...

    async def discard(self, label: str) -> None: ...


@hookimpl
def register_providers(register: Register) -> None:
    register(NotingProvider())
