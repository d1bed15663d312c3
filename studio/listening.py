"""Listening to recordings: heavy work, which must neither hold up the event loop nor take the processor from it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from typing import TypeVar

from audio.clean import Each, clean, clean_if_it_helps, prepare
from audio.dnsmos import dnsmos
from audio.pcm import Pcm
from audio.quality import Quality, measure
from audio.vad import Segment, speech_segments

_HANDS = 2  # threads that share the work of one analysis
_NICENESS = 10  # more than the rest of the process has
_SILENCE = Pcm.silence(1.0, 8000)
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Findings:
    """`cleaned` is there where cleaning helps."""

    quality: Quality
    cleaned: Pcm | None


class Listeners:
    """Threads of low priority.

    A caller waits to hear whether they spoke long enough: that is quick, and never queues behind an analysis.
    Recordings are analysed one after the other, each by all hands: so the first is ready soonest, and the last no
    later. Close it with `close`.
    """

    def __init__(self) -> None:
        self._ears = _threads("ears", 1)
        self._analyst = _threads("analyst", 1)
        self._hands = [_threads("hand", 1) for _ in range(_HANDS)]

    async def warm_up(self) -> None:
        """Load the models, so that the first recording does not wait for it."""
        await asyncio.get_running_loop().run_in_executor(self._analyst, _load)
        self._prepare()

    async def speech(self, pcm: Pcm) -> list[Segment]:
        """Where somebody speaks."""
        return await asyncio.get_running_loop().run_in_executor(self._ears, speech_segments, pcm)

    async def analysis(self, pcm: Pcm, speech: Sequence[Segment]) -> Findings:
        """How good a recording is, and a better one where that can be had."""
        found = await asyncio.get_running_loop().run_in_executor(self._analyst, _analyze, pcm, speech, self._at_once)
        if found.cleaned is not None:
            self._prepare()
        return found

    def close(self) -> None:
        """What has not begun is dropped; what has begun ends soon, and nobody waits for it."""
        for threads in (self._ears, self._analyst, *self._hands):
            threads.shutdown(wait=False, cancel_futures=True)

    def _at_once(self, work: Callable[[A], B], parts: Iterable[A]) -> list[B]:
        """Each hand takes every other part."""
        begun = [hand.submit(work, part) for hand, part in zip(cycle(self._hands), parts, strict=False)]
        return [each.result() for each in begun]

    def _prepare(self) -> None:
        """For the next recording, once this one is on its way."""
        for hand in self._hands:
            hand.submit(prepare)


@cache
def _load() -> None:
    """Once in a process."""
    speech_segments(_SILENCE)
    dnsmos(_SILENCE)
    clean(_SILENCE)


def _analyze(pcm: Pcm, speech: Sequence[Segment], at_once: Each) -> Findings:
    quality = measure(pcm, speech)
    cleaned, helped = clean_if_it_helps(pcm, quality, at_once)
    return Findings(quality, cleaned if helped else None)


def _threads(name: str, count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix=name, initializer=_give_way)


def _give_way() -> None:
    if sys.platform == "linux":  # where niceness is a thread's own
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS))
