"""The process that works for the service."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from studio import helper
from studio.helper import NICENESS, Helper, HelperDied
from tests.conftest import ROOT
from tests.studio.people import PATIENCE

pytestmark = pytest.mark.processes


@pytest.fixture
async def worker() -> AsyncIterator[Helper]:
    found = Helper()
    yield found
    await found.aclose()


async def test_it_works_elsewhere_and_gives_way(worker: Helper) -> None:
    assert await worker.ask(os.getpid) != os.getpid()
    assert await worker.ask(os.nice, 0) == min(19, os.nice(0) + NICENESS)


async def test_it_is_started_once(worker: Helper) -> None:
    assert len({await worker.ask(os.getpid) for _ in range(3)}) == 1


async def test_it_does_one_thing_after_the_other(worker: Helper, tmp_path: Path) -> None:
    log = tmp_path / "log"
    await asyncio.gather(*(worker.ask(_noted, log, name) for name in "abc"))
    assert sorted(log.read_text().split(">")) == ["", "<a", "<b", "<c"]


async def test_large_sounds_go_there_and_back(worker: Helper) -> None:
    sound = os.urandom(5_000_000)
    assert await worker.ask(bytes, sound) == sound


async def test_what_it_raises_is_raised_here(worker: Helper) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        await worker.ask(divmod, 1, 0)
    assert "helper.py" in raised.value.__notes__[0], "its traceback is told"
    assert await worker.ask(len, "it goes on") == 10


async def test_what_cannot_be_sent_is_an_error(worker: Helper) -> None:
    with pytest.raises(ValueError, match="cannot be pickled"):
        await worker.ask(ctypes.c_char_p, b"a pointer")
    with pytest.raises(RuntimeError, match="it is pedantic"):
        await worker.ask(_complains)
    assert await worker.ask(len, "it goes on") == 10


async def test_what_it_prints_does_not_come_between(worker: Helper) -> None:
    await worker.ask(_prints)
    assert await worker.ask(len, "it goes on") == 10


async def test_one_that_was_killed_is_replaced(worker: Helper) -> None:
    first = await worker.ask(os.getpid)
    os.kill(first, signal.SIGKILL)
    assert await worker.ask(os.getpid) != first


async def test_what_it_dies_of_is_tried_once_more(worker: Helper, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(HelperDied):
        await worker.ask(_dies, log)
    assert log.read_text() == "died died "
    assert await worker.ask(len, "it goes on") == 10


async def test_what_never_ends_is_ended(worker: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await worker.ask(os.getpid)
    monkeypatch.setattr(helper, "LIMIT_SECONDS", 0.1)
    with pytest.raises(TimeoutError):
        await worker.ask(signal.pause)
    monkeypatch.undo()
    assert await worker.ask(os.getpid) != first
    assert not _runs(first)


async def test_what_nobody_waits_for_is_finished(worker: Helper, tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = await worker.ask(os.getpid)
    left = asyncio.create_task(worker.ask(_noted, log, "left"))
    await asyncio.sleep(0)
    left.cancel()
    assert await worker.ask(os.getpid) == first
    assert log.read_text() == "<left>"


async def test_closing_does_not_wait() -> None:
    worker = Helper()
    pid = await worker.ask(os.getpid)
    asked = asyncio.create_task(worker.ask(signal.pause))
    await asyncio.sleep(0)
    await asyncio.wait_for(worker.aclose(), PATIENCE)
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert not _runs(pid)


async def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, cwd=ROOT, stdout=PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    os.kill(child, signal.SIGINT)  # as a Ctrl-C in the terminal does, to both
    assert _runs(child)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(PATIENCE):
        while _runs(child):  # noqa: ASYNC110  (it is another process)
            await asyncio.sleep(0.02)


_PARENT = """
import asyncio, os
from studio.helper import Helper

async def main():
    print(await Helper().ask(os.getpid), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def _noted(log: Path, name: str) -> None:
    for piece in ("<", name, ">"):
        with log.open("a") as file:
            file.write(piece)


def _dies(log: Path) -> None:
    with log.open("a") as file:
        file.write("died ")
    os.kill(os.getpid(), signal.SIGKILL)


class _Pedantic(Exception):
    def __init__(self, *, what: str) -> None:
        super().__init__(f"it is {what}")


def _complains() -> None:
    raise _Pedantic(what="pedantic")


def _prints() -> None:
    print("some library greets its users", flush=True)
    os.write(1, b"and so does another\n")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it was opened, or before it was read
        return False
