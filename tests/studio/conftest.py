"""A studio with a provider of tones and a scripted carrier."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from providers.manager import ProviderRegistry
from studio.calling import CallTimes
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import User
from tests.providers.tone import ToneProvider
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import new_user

# What is lost is not waited for long, and the carrier is asked often.
QUICK = CallTimes(poll=0.1, fetch=0.3, late=0.3, uncertain=0.5)


@pytest.fixture(autouse=True)
def quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left behind is found soon."""
    monkeypatch.setattr("studio.workflows.HEARTBEAT_SECONDS", 0.25)


@pytest.fixture
def carrier() -> ScriptedCarrier:
    return ScriptedCarrier()


@pytest.fixture
def provider() -> ToneProvider:
    return ToneProvider()


@pytest.fixture
def providers(provider: ToneProvider) -> ProviderRegistry:
    return ProviderRegistry({provider.name: provider})


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a studio that was opened and closed: copying it is quicker than migrating again and again."""
    folder = tmp_path_factory.mktemp("empty")

    async def open_and_close() -> None:
        async with open_studio(StudioSettings(folder), ProviderRegistry(), ScriptedCarrier()):
            pass

    asyncio.run(open_and_close())
    return folder


@pytest.fixture
def settings(empty: Path, tmp_path: Path) -> StudioSettings:
    data = shutil.copytree(empty, tmp_path / "data")
    return StudioSettings(data, default_clone_provider="tone", call_times=QUICK)


@pytest.fixture
async def studio(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> AsyncIterator[Studio]:
    async with open_studio(settings, providers, carrier) as opened:
        yield opened


@pytest.fixture
async def rows_only(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> AsyncIterator[Studio]:
    """A studio that runs no workflows: quicker to open, and enough where only rows are read and written."""
    studio = Studio(settings, providers, carrier)
    await studio.database.open()
    yield studio
    await studio.database.aclose()


@pytest.fixture
async def user(studio: Studio) -> User:
    """Somebody whose number is proven to be theirs."""
    return await new_user(studio, "+14155550101", proven=True)
