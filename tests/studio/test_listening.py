"""The threads that hear recordings."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from audio.vad import Segment
from audio.wav import read_wav
from studio import listening
from studio.listening import Listeners
from tests.studio.people import PATIENCE
from tests.studio.sounds import spoken


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    found = Listeners()
    yield found
    found.close()


async def test_a_verdict_does_not_wait_for_an_analysis(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def measure(*_: object) -> None:
        begun.set()
        assert ended.wait(PATIENCE)
        raise InterruptedError

    monkeypatch.setattr(listening, "measure", measure)
    pcm = read_wav(spoken(4.0))
    analyses = [asyncio.create_task(listeners.analysis(pcm, [])) for _ in range(3)]
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    assert await asyncio.wait_for(listeners.speech(pcm), PATIENCE)
    ended.set()
    found = await asyncio.gather(*analyses, return_exceptions=True)
    assert [type(each) for each in found] == [InterruptedError] * 3


async def test_the_models_are_loaded_once(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    for name in ("speech_segments", "dnsmos", "clean"):
        monkeypatch.setattr(listening, name, lambda *_, name=name: used.append(name))
    listening._load.cache_clear()
    await listeners.warm_up()
    await listeners.warm_up()
    assert used == ["speech_segments", "dnsmos", "clean"]


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no niceness of its own here")
async def test_listening_gives_way_to_all_else(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def niceness(*_: object) -> list[Segment]:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return []

    monkeypatch.setattr(listening, "speech_segments", niceness)
    niceness()
    await listeners.speech(read_wav(spoken()))
    assert found[1] == min(19, found[0] + 10)
