"""Durable workflows: started at once in the process that has the request, taken over when that process dies.

DBOS keeps a checkpoint of every step, so that a workflow goes on where it was. Three things are added to it here, with
its public interface only: every process has an executor id of its own and says every two seconds that it lives; the
workflows of a process that has stopped saying so are resumed by another; and rows whose workflow was never started,
because the process died between the two, are found by a sweep.

A process that was only suspended wakes up in the middle of what another has taken over. So each process holds a fencing
token, its row's `life`: whoever takes it for dead takes the token away first, and no run goes outside without looking
whether it is still there (`Workflows.permit`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import Engine, ExceptionContext, and_, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from studio.database import AWAY, Database, Unit
from studio.retrying import retried, stretched
from studio.tables import Executor, new_id

# Constant, so that a new release goes on with the workflows of the last one. Changed steps need `DBOS.patch`.
APPLICATION_VERSION = "deadringer-1"
HEARTBEAT_SECONDS = 2.0
DEAD_AFTER_SECONDS = 12.0
_THREADS = 16
_REAPER_LOCK = 0x0DEAD218
_DATABASE_SECONDS = 3 * 24 * 3600.0  # how long a step waits for a database that is away: nothing can be said meanwhile
_PERMIT_SECONDS = 60.0
_START_SECONDS = 5.0  # how long whoever wants a workflow waits for its start
_SQLITE_TROUBLES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_MANY = 500  # ids in one question
_PAUSES = (1.0, 10.0, 60.0, 600.0, *([3600.0] * 72))  # between attempts at what must not be forgotten: for three days
T = TypeVar("T")
_life_of_run: ContextVar[str] = ContextVar("life_of_run")
_log = structlog.get_logger()

Orphans = Callable[[], Awaitable[Sequence[tuple[Callable[[str], Coroutine[Any, Any, None]], str]]]]


class Replaced(asyncio.CancelledError):
    """Another process has taken over what this one was running: this run ends where it is."""


class Workflows:
    """The workflow runtime of this process. One at a time: DBOS is a singleton."""

    def __init__(self, database: Database, orphans: Orphans) -> None:
        self._database = database
        self._orphans = orphans
        self.executor_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._running: set[asyncio.Task[Any]] = set()
        self._starting: set[asyncio.Task[Any]] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._life = ""
        self._settled_life = ""  # the one in which what we left behind before has been resumed
        self._beaten_at = -math.inf
        self._unchanged: dict[str, tuple[float, int]] = {}  # what others said last, and how often we read just that
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
        self._settled_life = self._life
        DBOS(config=config)
        DBOS.launch()  # on this thread: workflows run in the event loop of the thread that launches
        # Two, since DBOS holds up who asks while its database is away, and for a while after.
        self._keepers = [asyncio.create_task(self._keep(duty)) for duty in (self._beat, self._look_after)]

    async def aclose(self) -> None:
        """Stop. What was running goes on in another process, or when this one is started again."""
        self._closing = True
        await self._stop(self._keepers)
        await self._stop(self._running | self._starting)
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(1)
        await loop.run_in_executor(pool, DBOS.destroy)
        # DBOS lends its threads to the loop and takes them away again.
        loop.set_default_executor(ThreadPoolExecutor())
        pool.shutdown(wait=False)
        with contextlib.suppress(SQLAlchemyError):  # where it is away, others notice by our silence
            async with self._database.transaction() as unit:
                await unit.exec(delete(Executor).where(col(Executor.id) == self.executor_id))

    @property
    def alive(self) -> bool:
        """Whether this process could say lately that it lives."""
        return time.monotonic() - self._beaten_at < DEAD_AFTER_SECONDS

    async def start(self, workflow: Callable[[str], Coroutine[Any, Any, None]], row_id: str) -> None:
        """Run a workflow for a row, here and now. Its id is the row's: it is never run twice.

        Nobody who has committed the row waits long for a database that is away since: it is started afterwards."""

        async def begin() -> None:
            with SetWorkflowID(row_id):
                await DBOS.start_workflow_async(workflow, row_id)

        starting = asyncio.create_task(begin())
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        await asyncio.wait([starting], timeout=_START_SECONDS)
        if starting.done():
            starting.result()
        else:
            _log.warning("workflows.start_delayed", row=row_id)

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
        _life_of_run.set(self._life)  # of this task, which ends with the run
        try:
            yield
        finally:
            self._running.discard(task)

    async def permit(self) -> None:
        """Leave for the present run to have an effect outside: the carrier or a provider is asked for something.

        A database that is away is waited for here: to begin the step again would be to have asked before, for all that
        its next run can know.

        Raises:
            Replaced: the work was taken over.
        """

        async def look() -> str | None:
            async with self._database.reading() as session:
                return (await session.exec(select(Executor.life).where(Executor.id == self.executor_id))).first()

        life = await retried(look, AWAY, _PERMIT_SECONDS)
        if life != _life_of_run.get():
            raise Replaced(self.executor_id)

    # ── staying alive, and taking over ───────────────────────────────────────

    async def _keep(self, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await duty()
            except Exception as problem:
                _log.warning("workflows.not_kept", duty=duty.__name__, problem=repr(problem))
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _beat(self) -> None:
        """Say that we live. If nobody believed it any more, another life begins."""
        life = new_id()
        async with self._database.transaction() as unit:
            row = await unit.get(Executor, self.executor_id)
            if row is not None:
                row.seen = time.time()
            else:
                unit.add(Executor(id=self.executor_id, life=life, host=_here(), pid=os.getpid(), seen=time.time()))
        self._beaten_at = time.monotonic()
        if row is None:
            if self._life:
                _log.warning("workflows.replaced", executor=self.executor_id)
            self._life = life

    async def _look_after(self) -> None:
        """Go on with what others have left behind; and with what we have, while they took us for dead."""
        life = self._life
        replaced = life != self._settled_life
        if replaced:
            await self._stop(self._running)
        await self._take_over(ours=replaced)
        self._settled_life = life
        await self._start_orphans()

    async def _stop(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        stopping = list(tasks)
        for task in stopping:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)

    async def _take_over(self, ours: bool) -> None:
        """Resume what dead processes were running; and `ours`, if others have not done so while they took us for
        dead."""
        await self._bury_the_dead()
        async with self._database.reading() as session:
            if not await self._left_behind(session, ours):
                return
        async with self._database.transaction() as unit:
            # One process at a time, and looking again: resuming what another has just resumed would run it twice.
            if not await self._lock(unit):
                return
            for workflow_id in await self._left_behind(unit, ours):
                _log.info("workflows.taken_over", workflow=workflow_id)
                await DBOS.resume_workflow_async(workflow_id)

    async def _bury_the_dead(self) -> None:
        """Take away the tokens of those who have fallen silent, before anybody does their work."""
        async with self._database.reading() as session:
            others = (await session.exec(select(Executor).where(Executor.id != self.executor_id))).all()
        dead = self._dead_among(others)
        if not dead:
            return
        async with self._database.transaction() as unit:
            for one in dead:  # unless it has been heard of meanwhile
                same = and_(col(Executor.id) == one.id, col(Executor.life) == one.life, col(Executor.seen) == one.seen)
                await unit.exec(delete(Executor).where(same))

    def _dead_among(self, others: Iterable[Executor]) -> list[Executor]:
        """Those who are silent, by the count of our own looks: clocks differ and jump, and while the database is away
        nobody is heard."""
        before, self._unchanged = self._unchanged, {}
        for one in others:
            seen, looks = before.get(one.id, (one.seen, 0))
            self._unchanged[one.id] = (one.seen, looks + 1 if seen == one.seen else 0)
        silent = DEAD_AFTER_SECONDS / HEARTBEAT_SECONDS
        return [one for one in others if _is_gone(one) or self._unchanged[one.id][1] >= silent]

    async def _left_behind(self, session: AsyncSession, ours: bool) -> list[str]:
        """The ids of the workflows that nobody runs any more."""
        # In this order: a process that starts meanwhile has said that it lives before it runs anything.
        pending = await DBOS.list_workflows_async(status="PENDING", load_input=False, load_output=False)
        alive = set((await session.exec(select(Executor.id))).all())
        if ours:
            alive.discard(self.executor_id)
        return [workflow.workflow_id for workflow in pending if workflow.executor_id not in alive]

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

    async def attempt() -> T:
        return await retried(lambda: work(row_id), AWAY, _DATABASE_SECONDS)

    return await DBOS.run_step_async({"name": name}, attempt)


async def persistently(name: str, attempt: Callable[[str], Awaitable[bool]], row_id: str) -> bool:
    """Do what must not be forgotten: in steps of a workflow, until `attempt` says that it is done, for three days.
    Whether it was done."""

    async def attempt_safely(row_id: str) -> bool:
        try:
            return await attempt(row_id)
        except Exception:
            _log.exception("attempt.failed_unexpectedly", what=name, row=row_id)
            return False

    for pause in _PAUSES:
        if await step(name, attempt_safely, row_id):
            return True
        await DBOS.sleep_async(stretched(pause))
    _log.error("attempt.given_up", what=name, row=row_id)
    return False


def _is_gone(one: Executor) -> bool:
    """On our own machine there is no need to wait. A process with our own number is our predecessor."""
    return one.host == _here() and (one.pid == os.getpid() or not _runs(one.pid))


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


@event.listens_for(Engine, "handle_error")
def _wait_for_it(error: ExceptionContext) -> None:
    """DBOS waits for a database to which the connection was lost. It should also wait for one that cannot be connected
    to, for whatever reason, and one whose disk is full: else the workflow ends, and nobody can note that it has."""
    problem = error.original_exception
    if error.dialect.is_async:
        return  # ours: `step` waits
    if isinstance(problem, sqlite3.OperationalError):
        error.is_disconnect = (getattr(problem, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_TROUBLES
        if error.is_disconnect and error.connection is not None:
            with contextlib.suppress(sqlite3.Error):  # its lock would stay with whoever still holds a result
                error.connection.connection.rollback()
    elif isinstance(problem, psycopg.OperationalError) and error.connection is None:
        error.is_disconnect = True


def _system_database(database: Database) -> str:
    """Where DBOS keeps its checkpoints: in PostgreSQL's schema `dbos`, or in an SQLite file of its own, so that its
    writes do not wait for ours."""
    if database.sqlite:
        return f"sqlite:///{database.url.database}.workflows"
    return database.url.set(drivername="postgresql").render_as_string(hide_password=False)
