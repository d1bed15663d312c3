"""A studio behind the webhooks, and a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.telephony.calls import CallUnderTest, Front, front, make_empty_studio, telephony_settings


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("empty")
    asyncio.run(make_empty_studio(data))
    return data


@pytest.fixture
async def phones(tmp_path: Path, empty: Path) -> AsyncIterator[Front]:
    async with front(tmp_path, empty, telephony_settings()) as it:
        yield it


@pytest.fixture
async def call(phones: Front) -> CallUnderTest:
    return await phones.place()
