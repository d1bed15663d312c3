"""The stand-in, providers in front of it, and a person's recording."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from audio.pcm import Pcm
from audio.resample import resample
from audio.wav import read_audio_file
from providers.contract import CloneRequest
from providers.elevenlabs.clones import Patience
from providers.elevenlabs.provider import ElevenLabsProvider
from providers.elevenlabs.settings import ElevenLabsSettings
from tests.conftest import ROOT
from tests.providers.elevenlabs.standin import KEY, StandIn, elevenlabs_standin

LABEL = "0123456789abcdef0123456789abcdef"
PATIENCE = Patience(creating=20.0, appearing=3.0, second=0.0)

MakeProvider = Callable[..., ElevenLabsProvider]


@pytest.fixture
async def eleven() -> AsyncIterator[StandIn]:
    async with elevenlabs_standin() as running:
        yield running


@pytest.fixture
async def make(eleven: StandIn) -> AsyncIterator[MakeProvider]:
    """Another provider with the same account: what a second process would be."""
    async with AsyncExitStack() as stack:

        def made(patience: Patience = PATIENCE, key: str = KEY, url: str | None = None) -> ElevenLabsProvider:
            settings = ElevenLabsSettings.model_validate({"api_key": key, "api_url": url or eleven.url})
            provider = ElevenLabsProvider(settings, patience)
            stack.push_async_callback(provider.aclose)
            return provider

        yield made


@pytest.fixture
def provider(make: MakeProvider) -> ElevenLabsProvider:
    return make()


@pytest.fixture(scope="session")
def caller() -> Pcm:
    """Half a minute of a person, as a telephone delivers it: 8 kHz."""
    return resample(read_audio_file(ROOT / "deadringer" / "data" / "caller.flac"), 8000)


@pytest.fixture
def request_(caller: Pcm) -> CloneRequest:
    return CloneRequest(label=LABEL, name="Ann", recording=caller)
