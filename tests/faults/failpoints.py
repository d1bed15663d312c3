"""Places at which a process of the service can be killed or suspended: before and after each of its effects outside,
and each of its commits that changes something.

The code of the service knows nothing of them. What it works with outside is wrapped (`FailingCarrier`,
`FailingProvider`), and SQLAlchemy tells of its commits (`watch_commits`). A test arms one place at a time by a file;
who comes there takes the file away, so that a fault happens once, whichever process it hits.

An effect is known by its name ("place_call"); a commit by the step of a workflow that it belongs to and its number
there ("judge 2"), by its webhook ("webhook answer"), or by the tables that a request changes ("request voices").
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from signal import SIGKILL, SIGSTOP
from typing import Any

from dbos import DBOS, StepOptions
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session

from providers.contract import Artefact, ClonedVoice, CloneRequest
from providers.elevenlabs.clones import Patience
from providers.elevenlabs.provider import ElevenLabsProvider
from providers.elevenlabs.settings import ElevenLabsSettings
from studio.ports import CallOrder
from studio.tables import Executor, ReceivedWebhook
from telephony.carrier import TwilioCarrier
from telephony.settings import TelephonySettings


class Fault(StrEnum):
    KILLED = "killed"
    SUSPENDED = "suspended"


_SIGNALS = {Fault.KILLED: SIGKILL, Fault.SUSPENDED: SIGSTOP}


@dataclass(frozen=True)
class Failpoints:
    """All of a deployment's, in a folder that its processes and the test share."""

    folder: Path

    def arm(self, place: str, fault: Fault) -> None:
        """The next process that comes to a place meets with a fault there."""
        self._struck.unlink(missing_ok=True)
        draft = self.folder / "draft"
        draft.write_text(f"{fault} {place}")
        draft.rename(self._armed)

    def disarm(self) -> None:
        self._armed.unlink(missing_ok=True)

    def strike(self, pid: int, fault: Fault) -> None:
        """A process meets with a fault where it is.

        Raises:
            FileExistsError: another has met with one.
        """
        self._struck.symlink_to(str(pid))
        self.disarm()
        os.kill(pid, _SIGNALS[fault])

    def struck(self) -> int | None:
        """The id of the process that met with the fault."""
        return int(self._struck.readlink().name) if self._struck.is_symlink() else None

    def passed(self) -> Sequence[str]:
        """The places that were passed so far, in order."""
        return self._passed.read_text().splitlines() if self._passed.exists() else []

    def at(self, place: str) -> None:
        """A place: whoever has armed it ends or suspends this process here."""
        with self._passed.open("a") as passed:
            passed.write(f"{place}\n")
        try:
            fault, _, armed = self._armed.read_text().partition(" ")
        except FileNotFoundError:
            return
        if armed != place:
            return
        try:
            self.strike(os.getpid(), Fault(fault))
        except FileExistsError:
            return  # another was here first

    @asynccontextmanager
    async def around(self, effect: str) -> AsyncIterator[None]:
        self.at(f"before {effect}")
        yield
        self.at(f"after {effect}")

    @property
    def _armed(self) -> Path:
        return self.folder / "armed"

    @property
    def _struck(self) -> Path:
        return self.folder / "struck"

    @property
    def _passed(self) -> Path:
        return self.folder / "passed"


class FailingCarrier(TwilioCarrier):
    def __init__(self, settings: TelephonySettings, failpoints: Failpoints) -> None:
        super().__init__(settings)
        self._failpoints = failpoints

    async def place_call(self, order: CallOrder) -> str:
        async with self._failpoints.around("place_call"):
            return await super().place_call(order)

    async def hang_up(self, sid: str) -> None:
        async with self._failpoints.around("hang_up"):
            await super().hang_up(sid)

    async def fetch_recording(self, sid: str) -> bytes:
        async with self._failpoints.around("fetch_recording"):
            return await super().fetch_recording(sid)

    async def delete_recording(self, sid: str) -> None:
        async with self._failpoints.around("delete_recording"):
            await super().delete_recording(sid)


class FailingProvider(ElevenLabsProvider):
    def __init__(self, settings: ElevenLabsSettings, patience: Patience, failpoints: Failpoints) -> None:
        super().__init__(settings, patience)
        self._failpoints = failpoints

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        async with self._failpoints.around("clone"):
            return await super().clone(request)

    async def delete_voice(self, artefact: Artefact) -> None:
        async with self._failpoints.around("delete_voice"):
            await super().delete_voice(artefact)

    async def discard(self, label: str) -> None:
        async with self._failpoints.around("discard"):
            await super().discard(label)


@dataclass
class _Step:
    """A step of a workflow that runs, and how many commits it has made."""

    name: str
    commits: int = 0


_step: ContextVar[_Step | None] = ContextVar("step", default=None)


def watch_commits(failpoints: Failpoints) -> None:
    """Have a place before and after each commit of this process that changes anything but the processes' own rows."""
    _note_steps()
    event.listen(Session, "before_flush", _note_changes)
    event.listen(Session, "do_orm_execute", _note_statement)

    @event.listens_for(Session, "before_commit")
    def before(session: Session) -> None:
        session.flush()
        session.info["commit"] = _name(session)
        if session.info["commit"] is not None:
            failpoints.at(f"before {session.info['commit']}")

    @event.listens_for(Session, "after_commit")
    def after(session: Session) -> None:
        name = session.info.pop("commit", None)
        if name is not None:
            failpoints.at(f"after {name}")


def _note_steps() -> None:
    run = DBOS.run_step_async

    async def run_noted(options: StepOptions, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async def noted() -> Any:
            _step.set(_Step(str(options["name"])))
            return await work()

        return await run(options, noted)

    DBOS.run_step_async = run_noted  # type: ignore[method-assign, assignment]


def _note_changes(session: Session, _context: object, _instances: object) -> None:
    changed = [*session.new, *session.deleted, *(row for row in session.dirty if session.is_modified(row))]
    _changes(session).update(type(row).__tablename__ for row in changed)


def _note_statement(executed: ORMExecuteState) -> None:
    if executed.is_update or executed.is_delete or executed.is_insert:
        mapper = executed.bind_mapper
        assert mapper is not None, "a statement that changes rows is of a table"
        _changes(executed.session).add(str(mapper.local_table))


def _changes(session: Session) -> set[str]:
    """The tables that a session has changed."""
    found: set[str] = session.info.setdefault("changes", set())
    return found


def _name(session: Session) -> str | None:
    """What a commit is called; None if it changes nothing that is anybody's."""
    webhook = next((row for row in session.identity_map.values() if isinstance(row, ReceivedWebhook)), None)
    if webhook is not None:
        event = webhook.key.rpartition("/")[2] if webhook.kind in ("status", "recording") else ""
        return f"webhook {webhook.kind} {event}".strip()
    changes = _changes(session) - {Executor.__tablename__}
    if not changes:
        return None
    step = _step.get()
    if step is None:
        return f"request {' '.join(sorted(changes))}"
    step.commits += 1
    return f"{step.name} {step.commits}"
