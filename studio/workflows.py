"""Durable workflows: started at once in the process that has the request, taken over when that process dies.

DBOS keeps a checkpoint of every step, so that a workflow goes on where it was. Three things are added to it here, with
its public interface only: every process has an executor id of its own and says every two seconds that it lives; the
workflows of a process that has stopped saying so are resumed by another; and rows whose workflow was never started,
because the process died between the two, are found by a sweep.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from studio.database import Database, Unit
from studio.retrying import retried
from studio.tables import Executor

# Constant, so that a new release goes on with the workflows of the last one. Changed steps need `DBOS.patch`.
APPLICATION_VERSION = "deadringer-1"
HEARTBEAT_SECONDS = 2.0
DEAD_AFTER_SECONDS = 12.0
_THREADS = 16
_REAPER_LOCK = 0x0DEAD218
_DATABASE_SECONDS = 3600.0  # how long a step waits for a database that is away
_MANY = 500  # ids in one question
T = TypeVar("T")
_log = structlog.get_logger()

Orphans = Callable[[], Awaitable[Sequence[tuple[Callable[[str], Coroutine[Any, Any, None]], str]]]]


class Workflows:
    """The workflow runtime of this process. One at a time: DBOS is a singleton."""

    def __init__(self, database: Database, orphans: Orphans) -> None:
        self._database = database
        self._orphans = orphans
        self.executor_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._running: set[asyncio.Task[Any]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        config = DBOSConfig(
            name="deadringer",
            system_database_url=_system_database(self._database),
            application_version=APPLICATION_VERSION,
            executor_id=self.executor_id,
            serializer=DBOSPortableJSONSerializer(),
            max_executor_threads=_THREADS,
            notification_listener_polling_interval_sec=0.25,
            log_level="ERROR",
        )
        await self._beat()  # first, so that nobody takes what we run for a dead process's
        DBOS(config=config)
        DBOS.launch()  # on this thread: workflows run in the event loop of the thread that launches
        self._keeper = asyncio.create_task(self._keep())

    async def aclose(self) -> None:
        """Stop. What was running goes on in another process, or when this one is started again."""
        self._closing = True
        await self._stop([self._keeper] if self._keeper is not None else [])
        await self._stop(self._running)
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(1)
        await loop.run_in_executor(pool, DBOS.destroy)
        # DBOS lends its threads to the loop and takes them away again.
        loop.set_default_executor(ThreadPoolExecutor())
        pool.shutdown(wait=False)
        with contextlib.suppress(SQLAlchemyError):  # where it is away, others notice by our silence
            async with self._database.transaction() as unit:
                await unit.exec(delete(Executor).where(col(Executor.id) == self.executor_id))

    async def start(self, workflow: Callable[[str], Coroutine[Any, Any, None]], row_id: str) -> None:
        """Run a workflow for a row, here and now. Its id is the row's: it is never run twice."""
        with SetWorkflowID(row_id):
            await DBOS.start_workflow_async(workflow, row_id)

    async def unfinished(self, ids: Sequence[str]) -> bool:
        """Whether a workflow of one of these rows still has something to do."""
        return any(status in ("PENDING", "ENQUEUED", "DELAYED") for status in (await self._statuses(ids)).values())

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Around a workflow's work: so that closing can stop it without ending it."""
        task = asyncio.current_task()
        assert task is not None, "workflows are tasks"
        if self._closing:
            raise asyncio.CancelledError  # begun while we stop: it goes on elsewhere
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)

    # ── staying alive, and taking over ───────────────────────────────────────

    async def _keep(self) -> None:
        while True:
            try:
                if not await self._beat():
                    await self._start_over()
                await self._take_over()
                await self._start_orphans()
            except Exception as problem:
                _log.warning("workflows.heartbeat_failed", problem=repr(problem))
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _beat(self) -> bool:
        """Say that we live. False if nobody believed it any more."""
        async with self._database.transaction() as unit:
            seen = await self._clock(unit)
            row = await unit.get(Executor, self.executor_id)
            if row is None:
                unit.add(Executor(id=self.executor_id, host=_here(), pid=os.getpid(), seen=seen))
                return False
            row.seen = seen
            return True

    async def _start_over(self) -> None:
        """We were so late that others took us for dead: what they run now ends here, and what they did not see of
        ours goes on."""
        _log.warning("workflows.replaced", executor=self.executor_id)
        await self._stop(self._running)
        ours = await DBOS.list_workflows_async(
            status="PENDING", executor_id=self.executor_id, load_input=False, load_output=False
        )
        for workflow in ours:
            await DBOS.resume_workflow_async(workflow.workflow_id)

    async def _stop(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        stopping = list(tasks)
        for task in stopping:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)

    async def _take_over(self) -> None:
        """Resume what dead processes were running."""
        async with self._database.reading() as session:
            dead, left = await self._left_behind(session)
        if not dead and not left:
            return
        async with self._database.transaction() as unit:
            # One process at a time, and looking again: resuming what another has just resumed would run it twice.
            if not await self._lock(unit):
                return
            dead, left = await self._left_behind(unit)
            for workflow_id in left:
                _log.info("workflows.taken_over", workflow=workflow_id)
                await DBOS.resume_workflow_async(workflow_id)
            await unit.exec(delete(Executor).where(col(Executor.id).in_(dead)))

    async def _left_behind(self, session: AsyncSession) -> tuple[list[str], list[str]]:
        """The ids of dead processes, and of the workflows that nobody runs any more."""
        # In this order: a process that starts meanwhile has said that it lives before it runs anything.
        pending = await DBOS.list_workflows_async(status="PENDING", load_input=False, load_output=False)
        others = (await session.exec(select(Executor).where(Executor.id != self.executor_id))).all()
        seen = await self._clock(session)
        dead = [one.id for one in others if _is_dead(one, seen)]
        alive = {one.id for one in others}.difference(dead) | {self.executor_id}
        return dead, [workflow.workflow_id for workflow in pending if workflow.executor_id not in alive]

    async def _start_orphans(self) -> None:
        """Start what no process began."""
        wanted = {row_id: workflow for workflow, row_id in await self._orphans()}
        for row_id in wanted.keys() - (await self._statuses(list(wanted))).keys():
            _log.info("workflows.orphan_started", row=row_id)
            await self.start(wanted[row_id], row_id)

    async def _statuses(self, ids: Sequence[str]) -> dict[str, str]:
        """What DBOS says of these workflows; those that were never started are missing."""
        found: dict[str, str] = {}
        for start in range(0, len(ids), _MANY):
            some = list(ids[start : start + _MANY])
            listed = await DBOS.list_workflows_async(workflow_ids=some, load_input=False, load_output=False)
            found |= {workflow.workflow_id: workflow.status for workflow in listed}
        return found

    async def _clock(self, session: AsyncSession) -> float:
        """The database's clock: processes on several machines must agree on who is late."""
        if self._database.sqlite:
            return time.time()
        result = await (await session.connection()).execute(text("SELECT extract(epoch FROM clock_timestamp())"))
        return float(result.scalar_one())

    async def _lock(self, unit: Unit) -> bool:
        if self._database.sqlite:
            return True  # a transaction that writes is alone there
        result = await (await unit.connection()).execute(
            text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _REAPER_LOCK}
        )
        return bool(result.scalar_one())


async def step(name: str, work: Callable[[str], Awaitable[T]], row_id: str) -> T:
    """One checkpointed step of a workflow: what it returned is not done again when the workflow goes on elsewhere.

    While the database is away the step is tried again."""
    away = (OperationalError, InterfaceError, NoConnection)

    async def attempt() -> T:
        return await retried(lambda: work(row_id), away, _DATABASE_SECONDS)

    return await DBOS.run_step_async({"name": name}, attempt)


def _is_dead(one: Executor, seen: float) -> bool:
    # On our own machine there is no need to wait. A process with our own number is our predecessor.
    gone = one.host == _here() and (one.pid == os.getpid() or not _runs(one.pid))
    return gone or seen - one.seen > DEAD_AFTER_SECONDS


def _here() -> str:
    """Where our process number means something: containers may share a host's name, but count their own processes."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _system_database(database: Database) -> str:
    """Where DBOS keeps its checkpoints: in PostgreSQL's schema `dbos`, or in an SQLite file of its own, so that its
    writes do not wait for ours."""
    if database.sqlite:
        return f"sqlite:///{database.url.database}.workflows"
    return database.url.set(drivername="postgresql").render_as_string(hide_password=False)
