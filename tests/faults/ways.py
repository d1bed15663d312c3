"""The ways in which a process fails, and others go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import new_database
from tests.faults.failpoints import Fault
from tests.faults.service import Pace
from tests.faults.stage import Stage, stage_of

QUICK = Pace(heartbeat=0.5, dead_after=3.0)
"""As in production, but four times as quick."""


@dataclass(frozen=True)
class Way:
    """`stages`: on how many stories are told at once. One who is suspended for `seconds` wakes up while others do its
    work; by default, when all is over."""

    name: str
    sqlite: bool
    fault: Fault
    stages: int
    pace: Pace = QUICK
    seconds: float | None = None

    def __str__(self) -> str:
        return self.name

    @asynccontextmanager
    async def stage(self, exchange: str, postgres: str, folder: Path) -> AsyncIterator[Stage]:
        """One process on SQLite, or two on PostgreSQL."""
        with ExitStack() as stack:
            file = f"sqlite:///{folder / 'deadringer.sqlite'}"
            url = file if self.sqlite else stack.enter_context(new_database(postgres))
            async with stage_of(exchange, folder, url, self.pace, processes=1 if self.sqlite else 2) as stage:
                try:
                    yield stage
                except Exception as trouble:
                    trouble.add_note(stage.logs)
                    raise


RESTARTED = Way("killed and restarted, sqlite", True, Fault.KILLED, stages=2)
REPLACED = Way("killed and replaced, postgresql", False, Fault.KILLED, stages=2)
SUSPENDED = Way("suspended and replaced, postgresql", False, Fault.SUSPENDED, stages=3)
SUSPENDED_FOR_20_S = Way("suspended for 20 s, postgresql", False, Fault.SUSPENDED, 3, Pace(), 20.0)
