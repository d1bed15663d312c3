"""Whether the process lives, and whether it can work."""

from __future__ import annotations

from collections.abc import Awaitable

import structlog
from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from studio.blobs import StorageFull
from studio.database import AWAY
from studio.studio import Studio

_log = structlog.get_logger()


def router(studio: Studio) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/healthz")
    async def alive() -> Response:
        return JSONResponse({"status": "alive"})

    @routes.get("/readyz")
    async def ready() -> Response:
        checks = {
            "database": await _problem("database", studio.database.check()),
            "workflows": None if studio.workflows.alive else "have not said for a while that they run",
            "storage": await _problem("storage", studio.blobs.check()),
        }
        well = all(problem is None for problem in checks.values())
        report = {name: problem or "ok" for name, problem in checks.items()}
        return JSONResponse({"status": "ready" if well else "not ready", **report}, 200 if well else 503)

    return routes


async def _problem(name: str, check: Awaitable[object]) -> str | None:
    try:
        await check
    except StorageFull as problem:
        return str(problem)
    except Exception as problem:
        _log.warning("readiness.failed", check=name, problem=repr(problem), exc_info=not isinstance(problem, AWAY))
        # Its text may name hosts and users: that stays in the log.
        return f"cannot be reached ({type(problem).__name__})"
    return None
