"""Exchanges that all tests of faults share, and a service for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from audio.pcm import Pcm
from audio.wav import read_audio_file
from tests.faults.deployment import Deployment, deployed, running_exchange

READER = Path(__file__).parents[2] / "deadringer" / "data" / "caller.flac"


@pytest.fixture(scope="session")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a call takes a second."""
    with running_exchange(tmp_path_factory.mktemp("exchange"), speed=50) as url:
        yield url


@pytest.fixture(scope="session")
def slow_exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the caller still listens or speaks when the service is there again."""
    with running_exchange(tmp_path_factory.mktemp("slow-exchange"), speed=4) as url:
        yield url


@pytest.fixture(scope="session")
def patient_exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a call takes a few seconds: the caller can be asked whether to keep what a busy machine has fetched."""
    with running_exchange(tmp_path_factory.mktemp("patient-exchange"), speed=10) as url:
        yield url


@pytest.fixture(scope="session")
def speech() -> Pcm:
    """Six seconds of a person who reads aloud."""
    return read_audio_file(READER).cut(0, 6)


@pytest.fixture(scope="session")
def long_speech() -> Pcm:
    """As long as ElevenLabs wants it."""
    return read_audio_file(READER).cut(0, 13)


@pytest.fixture
async def deployment(exchange: str, tmp_path: Path, database_url: str) -> AsyncIterator[Deployment]:
    async with deployed(exchange, tmp_path, database_url) as running:
        yield running


@pytest.fixture
async def slow_deployment(slow_exchange: str, tmp_path: Path, database_url: str) -> AsyncIterator[Deployment]:
    async with deployed(slow_exchange, tmp_path, database_url) as running:
        yield running
