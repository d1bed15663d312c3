"""Whether it lives, and whether it can work."""

from __future__ import annotations

import pytest

from tests.api.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_it_lives_and_is_ready(service: Service) -> None:
    assert (await service.http.get("/healthz")).json() == {"status": "alive"}
    ready = await service.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "database": "ok", "workflows": "ok", "storage": "ok"}


async def test_what_is_missing_is_said_without_what_is_secret(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable() -> None:
        raise ConnectionRefusedError("postgresql://user:password@host")

    monkeypatch.setattr(service.studio.database, "check", unreachable)
    ready = await service.http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {
        "status": "not ready",
        "database": "cannot be reached (ConnectionRefusedError)",
        "workflows": "ok",
        "storage": "ok",
    }
    assert (await service.http.get("/healthz")).status_code == 200
