"""Listening to recordings: heavy work, which must neither hold up the event loop nor take the processor from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from audio.pcm import Pcm
from audio.vad import Segment, speech_segments
from studio.analysis import Findings, analyze, load
from studio.helper import Helper

_SILENCE = Pcm.silence(1.0, 8000)


class Listeners:
    """Two processes.

    A caller waits to hear whether they spoke long enough: that is quick, and never queues behind an analysis.
    Recordings are analysed one after the other, each with all that the process has: so the first is ready soonest, and
    the last no later. Close it with `aclose`.
    """

    def __init__(self) -> None:
        self._ears = Helper()
        self._analyst = Helper()

    async def warm_up(self) -> None:
        """Load the models, so that the first recording does not wait for it."""
        await asyncio.gather(self._ears.ask(speech_segments, _SILENCE), self._analyst.ask(load))

    async def speech(self, pcm: Pcm) -> list[Segment]:
        """Where somebody speaks."""
        return await self._ears.ask(speech_segments, pcm)

    async def analysis(self, pcm: Pcm, speech: Sequence[Segment]) -> Findings:
        """How good a recording is, and a better one where that can be had."""
        return await self._analyst.ask(analyze, pcm, speech)

    async def aclose(self) -> None:
        """Whatever they do is dropped."""
        await asyncio.gather(self._ears.aclose(), self._analyst.aclose())
