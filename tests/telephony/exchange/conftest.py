from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.telephony.exchange import harness
from tests.telephony.exchange.harness import Application, ExchangeUnderTest


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[ExchangeUnderTest]:
    """An exchange where a second lasts ten milliseconds."""
    async with harness.exchange(tmp_path / "exchange") as running:
        yield running


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    async with harness.application() as running:
        yield running
