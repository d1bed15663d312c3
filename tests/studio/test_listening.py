"""What recordings are heard by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from audio.vad import Segment, speech_segments
from audio.wav import read_wav
from studio.analysis import analyze
from studio.listening import Listeners
from tests.studio.people import PATIENCE
from tests.studio.sounds import spoken

pytestmark = pytest.mark.processes


@pytest.fixture
async def listeners() -> AsyncIterator[Listeners]:
    found = Listeners()
    yield found
    await found.aclose()


async def test_a_verdict_does_not_wait_for_an_analysis(listeners: Listeners) -> None:
    pcm = read_wav(spoken(4.0))
    await listeners.warm_up()
    analyses = [asyncio.create_task(listeners.analysis(pcm, [Segment(0.0, 4.0)])) for _ in range(20)]
    await asyncio.wait_for(listeners.speech(pcm), PATIENCE)
    assert not any(analysis.done() for analysis in analyses[1:])
    for analysis in analyses:
        analysis.cancel()


async def test_they_find_what_is_found_here(listeners: Listeners) -> None:
    pcm = read_wav(spoken(4.0))
    speech = await listeners.speech(pcm)
    assert speech == speech_segments(pcm)
    found, here = await listeners.analysis(pcm, speech), analyze(pcm, speech)
    assert found.quality == here.quality
    assert (found.cleaned is None) is (here.cleaned is None)
