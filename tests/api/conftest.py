"""The service, shared by the tests of a module: each makes people of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.api.service import Person, Service, running_service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def ann(service: Service) -> Person:
    return await service.person()


@pytest_asyncio.fixture(loop_scope="module")
async def bob(service: Service) -> Person:
    return await service.person()
