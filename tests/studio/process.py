"""A process with a studio of its own, for tests that kill it. What it does to the outside it writes on its output:

    placing <call>   calls are placed         cloning <clone>   a voice is begun       speaking <text>   a text is begun
    placed <call>                             cloned <clone>    and made               spoken <word>     a word of it
    ready            the studio is open

Usage: python -m tests.studio.process DATABASE_URL DATA_DIR [HELD ...]; each HELD is the beginning of a line after which
it waits for ever.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from audio.pcm import Pcm
from providers.contract import ClonedVoice, CloneRequest, SpeechRequest
from providers.manager import ProviderRegistry
from studio.calling import CallTimes
from studio.ports import CallOrder
from studio.states import CallStatus
from studio.studio import StudioSettings, open_studio
from tests.providers.tone import ToneProvider
from tests.studio.carrier import ScriptedCarrier
from tests.studio.sounds import spoken

RECORDING = "RE-of-the-only-take"


class Diary:
    def __init__(self, held: list[str]) -> None:
        self._held = held

    async def note(self, line: str) -> None:
        print(line, flush=True)
        if any(line.startswith(each) for each in self._held):
            await asyncio.Event().wait()


class NotedCarrier(ScriptedCarrier):
    def __init__(self, diary: Diary) -> None:
        super().__init__()
        self._diary = diary
        self.statuses.default_factory = lambda: CallStatus.IN_PROGRESS
        self.recordings[RECORDING] = spoken(2.0)

    async def place_call(self, order: CallOrder) -> str:
        await self._diary.note(f"placing {order.call_id}")
        await self._diary.note(f"placed {order.call_id}")
        return "CA-of-the-only-call"


class NotedProvider(ToneProvider):
    def __init__(self, diary: Diary) -> None:
        super().__init__()
        self._diary = diary

    async def clone(self, request: CloneRequest) -> ClonedVoice:
        await self._diary.note(f"cloning {request.label}")
        voice = await super().clone(request)
        await self._diary.note(f"cloned {request.label}")
        return voice

    async def synthesize(self, request: SpeechRequest) -> AsyncIterator[Pcm]:
        await self._diary.note(f"speaking {request.text}")
        words = iter(request.text.split())
        async for piece in super().synthesize(request):
            yield piece
            await self._diary.note(f"spoken {next(words)}")


async def main(database_url: str, data_dir: str, held: list[str]) -> None:
    diary = Diary(held)
    times = CallTimes(poll=0.5, fetch=5.0, late=0.5, uncertain=30.0)
    settings = StudioSettings(Path(data_dir), database_url, default_clone_provider="tone", call_times=times)
    async with open_studio(settings, ProviderRegistry({"tone": NotedProvider(diary)}), NotedCarrier(diary)):
        await diary.note("ready")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
