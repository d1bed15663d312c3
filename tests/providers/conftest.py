"""What tests of providers share: the real local models, loaded once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.local.kokoro import Kokoro
from providers.local.provider import LocalProvider
from providers.local.settings import LocalSettings
from tests.conftest import ROOT


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Where `make setup` left the models."""
    return Path(os.environ.get("MODELS_DIR", ROOT / "data" / "models"))


@pytest.fixture(scope="session")
def kokoro(models_dir: Path) -> Kokoro:
    return Kokoro(models_dir, threads=2)


@pytest.fixture(scope="session")
def local(models_dir: Path) -> Iterator[LocalProvider]:
    provider = LocalProvider(LocalSettings(models_dir=models_dir))
    yield provider
    asyncio.run(provider.aclose())
