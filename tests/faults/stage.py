"""Where a story is told in spite of a fault: the processes behind a balancer, what is outside, and what the database
holds in the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, text

from studio.calling import CallTimes
from tests.faults.balancer import Balancer, balanced
from tests.faults.deployment import ACCOUNT, TOKEN, Service, free_port
from tests.faults.failpoints import Failpoints
from tests.faults.front import WITHIN, Front, front_of
from tests.faults.service import Pace, Plan
from tests.providers.elevenlabs.standin import StandIn, elevenlabs_standin

TIMES = CallTimes(ring=600, limit=3600, poll=5.0, fetch=15.0, late=1.0, uncertain=5.0)
_AT_REST = "SUCCESS"
_LOOKS = 0.1  # seconds between two


class Rows:
    """The database, as somebody sees it who is not of the service."""

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url)
        self._sqlite = url.get_backend_name() == "sqlite"
        driver = "sqlite" if self._sqlite else "postgresql+psycopg"
        self._engine = create_engine(url.set(drivername=driver))
        workflows = url.set(database=f"{url.database}.workflows") if self._sqlite else self._engine.url
        self._workflows = create_engine(workflows)

    async def of(self, query: str, **values: object) -> list[Any]:
        return await asyncio.to_thread(self._ask, self._engine, query, values)

    async def workflows(self) -> list[str]:
        """The statuses of all."""
        table = "workflow_status" if self._sqlite else "dbos.workflow_status"
        rows = await asyncio.to_thread(self._ask, self._workflows, f"SELECT status FROM {table}", {})
        return [row.status for row in rows]

    def close(self) -> None:
        self._engine.dispose()
        self._workflows.dispose()

    def _ask(self, engine: Engine, query: str, values: dict[str, object]) -> list[Any]:
        with engine.connect() as connection:
            return list(connection.execute(text(query), values).all())


@dataclass(frozen=True)
class Stage:
    """One story at a time is told here."""

    services: Sequence[Service]
    balancer: Balancer
    front: Front
    eleven: StandIn
    failpoints: Failpoints
    rows: Rows

    @property
    def url(self) -> str:
        """Under which people and the carrier reach the service."""
        return self.balancer.url

    @property
    def logs(self) -> str:
        return "\n".join(service.log for service in self.services)

    async def struck(self) -> Service:
        """Wait for the fault: the process that it hit."""
        while (pid := self.failpoints.struck()) is None:  # noqa: ASYNC110  (it is another process)
            await asyncio.sleep(_LOOKS)
        [victim] = [service for service in self.services if service.pid == pid]
        async with asyncio.timeout(WITHIN):
            while not (victim.gone or victim.suspended):  # noqa: ASYNC110
                await asyncio.sleep(_LOOKS)
        self.balancer.down(victim.url)
        return victim

    async def restart(self, victim: Service) -> None:
        await victim.start()
        self.balancer.up(victim.url)

    async def lives(self) -> set[str]:
        return {row.life for row in await self.rows.of("SELECT life FROM executors")}

    async def wake(self, victim: Service, lives: set[str]) -> None:
        """Once it has been taken for dead. `lives` are those that there were before."""

        async def buried() -> bool:
            rows = await self.rows.of("SELECT life FROM executors WHERE pid = :pid", pid=victim.pid)
            return not lives & {row.life for row in rows}

        await until(buried, "a suspended process is taken for dead")
        os.kill(victim.pid, SIGCONT)
        await self.noticed(victim)
        self.balancer.up(victim.url)

    async def noticed(self, victim: Service) -> None:
        """Wait until a process that was replaced has noticed it, and done all that it does then."""
        seen: set[float] = set()

        async def went_round() -> bool:
            rows = await self.rows.of("SELECT seen FROM executors WHERE pid = :pid", pid=victim.pid)
            seen.update(row.seen for row in rows)
            return len(seen) > 2  # then it has looked after its work since

        await until(went_round, "a process that was woken goes on")

    async def at_rest(self) -> None:
        """Wait until nothing is left to do."""

        async def done() -> bool:
            return set(await self.rows.workflows()) <= {_AT_REST}

        await until(done, "the workflows come to their end")


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(WITHIN):
            while not await holds():  # noqa: ASYNC110  (others bring it about)
                await asyncio.sleep(_LOOKS)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN:.0f} s: {what}") from None


@asynccontextmanager
async def stage_of(exchange: str, folder: Path, database_url: str, pace: Pace, processes: int) -> AsyncIterator[Stage]:
    """So many `processes` are up and can be used; their `folder` is there."""
    failpoints = Failpoints(folder)
    ports = [free_port() for _ in range(processes)]
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(front_of(exchange))
        eleven = await stack.enter_async_context(elevenlabs_standin())
        eleven.subscription |= {"voice_limit": 1000, "max_voice_add_edits": 1000}
        balancer = await stack.enter_async_context(balanced([f"http://127.0.0.1:{port}" for port in ports]))
        services = [
            Service(
                Plan(
                    port=port,
                    data_dir=folder / "data",
                    database_url=_with_pace(database_url, pace),
                    public_base_url=balancer.url,
                    front=front.url,
                    account_sid=ACCOUNT,
                    auth_token=TOKEN,
                    times=TIMES,
                    log=folder / f"service-{number}.log",
                    pace=pace,
                    failpoints=failpoints,
                    elevenlabs=eleven.url,
                )
            )
            for number, port in enumerate(ports)
        ]
        rows = Rows(database_url)
        stack.callback(rows.close)
        stage = Stage(services, balancer, front, eleven, failpoints, rows)
        for service in services:
            stack.push_async_callback(service.kill)
            await stage.restart(service)
        yield stage


def _with_pace(database_url: str, pace: Pace) -> str:
    """PostgreSQL gives up transactions a little before a process is taken for dead."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return database_url
    options = f"-cidle_in_transaction_session_timeout={round(pace.dead_after * 10_000 / 12)}"
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False)
