"""The tones that other tests rely on."""

from __future__ import annotations

import asyncio

import pytest

from audio.pcm import Pcm
from providers.contract import (
    Artefact,
    Capability,
    CloneRequest,
    Refused,
    SpeechOptions,
    SpeechRequest,
    capabilities_of,
)
from tests.providers.tone import Gate, ToneProvider, pitch_of, tone


def test_it_is_a_provider_that_clones_and_speaks() -> None:
    assert capabilities_of(ToneProvider()) == {Capability.CLONE, Capability.SYNTHESIZE}


async def test_a_cloned_voice_speaks_at_the_pitch_of_its_recording() -> None:
    provider = ToneProvider()
    cloned = await provider.clone(CloneRequest("label", "Ann", tone(300.0, 2.0, 8000)))
    pieces = [piece async for piece in provider.synthesize(SpeechRequest("one two three", cloned.artefact))]
    assert len(pieces) == 3
    assert pitch_of(Pcm.join(pieces)) == pytest.approx(300.0, abs=10.0)


async def test_speed_shortens_words_and_unknown_voices_are_refused() -> None:
    provider = ToneProvider()
    request = SpeechRequest("word", "low", options=SpeechOptions(speed=2.0))
    assert [piece.seconds async for piece in provider.synthesize(request)] == [0.05]
    for voice in ("none", Artefact("elsewhere", b"")):
        with pytest.raises(Refused):
            await anext(provider.synthesize(SpeechRequest("word", voice)))


async def test_work_waits_at_a_held_gate_until_it_is_let_through() -> None:
    provider = ToneProvider()
    provider.speaking.hold()
    pieces = aiter(provider.synthesize(SpeechRequest("one two three", "low")))
    first = asyncio.ensure_future(anext(pieces))
    await provider.speaking.reached()
    provider.speaking.let()
    assert len(await first)
    second = asyncio.ensure_future(anext(pieces))
    await provider.speaking.reached()
    assert not second.done()
    provider.speaking.open()
    assert len(await second)
    assert len(await anext(pieces))


async def test_a_gate_may_be_opened_from_another_thread() -> None:
    gate = Gate()
    gate.hold()
    passing = asyncio.ensure_future(gate.passage())
    await gate.reached()
    await asyncio.to_thread(gate.open)
    async with asyncio.timeout(5):
        await passing
