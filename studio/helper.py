"""A process that works for this one, where a thread would hold up the event loop: whatever shares its interpreter
takes the interpreter's lock, thousands of times a second if it runs small models.

Here and not from a library: `concurrent.futures` has no time-out that ends the work, and its processes outlive a parent
that is killed; `anyio.to_process` has one pool for all, where each process comes to hold every model.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import traceback
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog

NICENESS: Final = 10
"""So much more than the service has."""
LIMIT_SECONDS: Final = 300.0
"""For one piece of work."""
_LENGTH: Final = 8  # bytes, before each message: a pickle
_BUFFER: Final = 1 << 20
_log = structlog.get_logger()
T = TypeVar("T")


class HelperDied(Exception):
    """It ended in the middle of its work."""


class Helper:
    """One process of low priority, started when it is first asked, which does one thing after the other. It ends with
    this one, also when this one is killed. Close it with `aclose`."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._asked: set[asyncio.Task[Any]] = set()

    async def ask(self, work: Callable[..., T], *values: object) -> T:
        """What `work`, a function of a module, makes of the values. When nobody waits for it any more, it is done all
        the same: a process that is stopped has to load everything again.

        Raises:
            HelperDied: twice, the second time in a new process. The work is to blame.
            TimeoutError: after `LIMIT_SECONDS`.
            Exception: what the work raised.
        """
        asked = asyncio.create_task(self._ask(work, values))
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        found: T = await asyncio.shield(asked)
        return found

    async def aclose(self) -> None:
        """Whatever it does is dropped."""
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        await self._stop()

    async def _ask(self, work: Callable[..., object], values: tuple[object, ...]) -> Any:
        request = await asyncio.to_thread(pickle.dumps, (work, values), pickle.HIGHEST_PROTOCOL)
        async with self._turn:
            try:
                answer = await self._answer(request)
            except HelperDied:
                _log.warning("helper.died", work=work.__name__)
                answer = await self._answer(request)
        done, found = await asyncio.to_thread(pickle.loads, answer)
        if not done:
            raise found
        return found

    async def _answer(self, request: bytes) -> bytes:
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                process.stdin.writelines((len(request).to_bytes(_LENGTH), request))
                await process.stdin.drain()
                length = int.from_bytes(await process.stdout.readexactly(_LENGTH))
                return await process.stdout.readexactly(length)
        except BaseException as end:
            await self._stop()  # what it may still answer is not for the next
            if isinstance(end, (asyncio.IncompleteReadError, ConnectionError)):
                raise HelperDied from end
            raise

    async def _running(self) -> Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "studio.helper"), stdin=PIPE, stdout=PIPE, limit=_BUFFER
            )
        return self._process

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()


def main() -> None:
    """The other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is the service's to act on
    os.nice(NICENESS)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed must not come between the answers
    while length := requests.read(_LENGTH):
        answer = _answer(requests.read(int.from_bytes(length)))
        try:
            answers.write(len(answer).to_bytes(_LENGTH) + answer)
            answers.flush()
        except BrokenPipeError:
            os._exit(0)  # nobody is there any more


def _answer(request: bytes) -> bytes:
    try:
        work, values = pickle.loads(request)
        return pickle.dumps((True, work(*values)), pickle.HIGHEST_PROTOCOL)
    except Exception as problem:
        problem.add_note(traceback.format_exc())  # which a pickle would lose
        try:
            answer = pickle.dumps((False, problem))
            pickle.loads(answer)  # which some exceptions do not survive
            return answer
        except Exception:
            return pickle.dumps((False, RuntimeError("".join(traceback.format_exception(problem)))))


if __name__ == "__main__":
    main()
