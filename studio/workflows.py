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
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import text
from sqlmodel import col, delete, select

from studio.database import Database, Unit
from studio.tables import Executor

# Constant, so that a new release goes on with the workflows of the last one. Changed steps need `DBOS.patch`.
APPLICATION_VERSION = "deadringer-1"
HEARTBEAT_SECONDS = 2.0
DEAD_AFTER_SECONDS = 12.0
_THREADS = 16
_REAPER_LOCK = 0x0DEAD218
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

    async def open(self) -> None:
        config = DBOSConfig(
            name="deadringer",
            system_database_url=_system_database(self._database),
            application_version=APPLICATION_VERSION,
            executor_id=self.executor_id,
            serializer=DBOSPortableJSONSerializer(),
            max_executor_threads=_THREADS,
            notification_listener_polling_interval_sec=0.25,
            log_level="WARNING",
        )
        DBOS(config=config)
        DBOS.launch()  # on this thread: workflows run in the event loop of the thread that launches
        await self._beat()
        self._keeper = asyncio.create_task(self._keep())

    async def aclose(self) -> None:
        """Stop. What was running goes on in another process, or when this one is started again."""
        tasks = [task for task in (self._keeper, *self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(1)
        await loop.run_in_executor(pool, DBOS.destroy)
        # DBOS lends its threads to the loop and takes them away again.
        loop.set_default_executor(ThreadPoolExecutor())
        pool.shutdown(wait=False)
        async with self._database.transaction() as unit:
            await unit.exec(delete(Executor).where(col(Executor.id) == self.executor_id))

    async def start(self, workflow: Callable[[str], Coroutine[Any, Any, None]], row_id: str) -> None:
        """Run a workflow for a row, here and now. Its id is the row's: it is never run twice."""
        with SetWorkflowID(row_id):
            await DBOS.start_workflow_async(workflow, row_id)

    async def unfinished(self, ids: Sequence[str]) -> bool:
        """Whether a workflow of one of these rows still has something to do."""
        found = await DBOS.list_workflows_async(workflow_ids=list(ids), load_input=False, load_output=False)
        return any(workflow.status in ("PENDING", "ENQUEUED", "DELAYED") for workflow in found)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Around a workflow's work: so that closing can stop it without ending it."""
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
        try:
            yield
        finally:
            if task is not None:
                self._running.discard(task)

    # ── staying alive, and taking over ───────────────────────────────────────

    async def _keep(self) -> None:
        while True:
            try:
                await self._beat()
                await self._take_over()
            except Exception as problem:
                _log.warning("workflows.heartbeat_failed", problem=repr(problem))
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _beat(self) -> None:
        async with self._database.transaction() as unit:
            seen = await self._clock(unit)
            row = await unit.get(Executor, self.executor_id)
            if row is None:
                row = Executor(id=self.executor_id, host=socket.gethostname(), pid=os.getpid(), seen=seen)
                unit.add(row)
            row.seen = seen

    async def _take_over(self) -> None:
        """Resume what dead processes were running, and start what no process began."""
        async with self._database.transaction() as unit:
            # One process at a time: resuming what another has just resumed would run it twice.
            if not self._database.sqlite and not await self._lock(unit):
                return
            seen = await self._clock(unit)
            executors = (await unit.exec(select(Executor))).all()
            dead = [one for one in executors if _is_dead(one, seen) and one.id != self.executor_id]
            alive = {one.id for one in executors} - {one.id for one in dead}
            pending = await DBOS.list_workflows_async(status="PENDING", load_input=False, load_output=False)
            for workflow in pending:
                if workflow.executor_id not in alive:
                    _log.info("workflows.taken_over", workflow=workflow.workflow_id, executor=workflow.executor_id)
                    await DBOS.resume_workflow_async(workflow.workflow_id)
            for one in dead:
                await unit.delete(one)
        await self._start_orphans()

    async def _start_orphans(self) -> None:
        wanted = {row_id: workflow for workflow, row_id in await self._orphans()}
        if not wanted:
            return
        known = await DBOS.list_workflows_async(workflow_ids=list(wanted), load_input=False, load_output=False)
        for row_id in wanted.keys() - {workflow.workflow_id for workflow in known}:
            _log.info("workflows.orphan_started", row=row_id)
            await self.start(wanted[row_id], row_id)

    async def _clock(self, unit: Unit) -> float:
        """The database's clock: processes on several machines must agree on who is late."""
        if self._database.sqlite:
            return time.time()
        result = await (await unit.connection()).execute(text("SELECT extract(epoch FROM clock_timestamp())"))
        return float(result.scalar_one())

    async def _lock(self, unit: Unit) -> bool:
        result = await (await unit.connection()).execute(
            text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _REAPER_LOCK}
        )
        return bool(result.scalar_one())


def _is_dead(one: Executor, seen: float) -> bool:
    if one.host == socket.gethostname():
        # On our own machine there is no need to wait. A process with our own number is our predecessor's.
        return one.pid == os.getpid() or not _runs(one.pid)
    return seen - one.seen > DEAD_AFTER_SECONDS


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
