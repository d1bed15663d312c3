"""How the local provider shares its thread: pieces as they are made, one ahead, in turns, and no more than wanted.

The real models speak; each piece waits at a gate, so that what happens when is certain.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from audio.pcm import Pcm
from providers.contract import AtCapacity, NotConfigured, SpeechRequest, Transient
from providers.local.kokoro import Kokoro, Style
from providers.local.provider import LocalProvider
from providers.local.settings import LocalSettings

# Sentences of a piece each, told apart by their first phonemes.
FIRST = "Apples are red and sweet. Bananas are long and yellow. Cherries are small and round. Dates are brown and dry."
SECOND = "Every road is wet tonight. Foxes run through the garden. Grass grows under the snow. Houses stand in a row."


class Gate:
    """Lets a counted number of pieces be made, and remembers which were begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._permits = threading.Semaphore(0)
        self._changed = threading.Condition()

    def let(self, pieces: int) -> None:
        self._permits.release(pieces)

    def open(self) -> None:
        self.let(1000)

    def enter(self, phonemes: str) -> None:
        with self._changed:
            self.begun.append(phonemes[:3])
            self._changed.notify_all()
        self._permits.acquire()

    async def until(self, begun: int) -> None:
        """Wait until so many pieces were begun."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: len(self.begun) >= begun, timeout=60)

        assert await asyncio.to_thread(wait)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    speak = Kokoro.speak

    def held(self: Kokoro, phonemes: str, style: Style, speed: float = 1.0) -> Pcm:
        gate.enter(phonemes)
        return speak(self, phonemes, style, speed)

    monkeypatch.setattr(Kokoro, "speak", held)
    yield gate
    gate.open()


@pytest.fixture
async def provider(models_dir: Path, gate: Gate) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(LocalSettings(models_dir=models_dir))
    yield provider
    gate.open()
    await provider.aclose()


async def idle(provider: LocalProvider) -> None:
    """Until the speaking thread has done all that was asked of it."""
    await provider._speaking.run(lambda: None)


async def test_the_first_piece_arrives_before_the_second_is_made(provider: LocalProvider, gate: Gate) -> None:
    gate.let(1)
    async with aclosing(provider.synthesize(SpeechRequest(FIRST, "af_heart"))) as speech:
        first = await asyncio.wait_for(anext(speech), 60)
        assert first.seconds > 0.5
        await gate.until(2)  # the second is being made meanwhile, and waits at the gate
        assert len(gate.begun) == 2
        gate.open()
        assert len([piece async for piece in speech]) == 3


async def test_no_more_than_one_piece_is_made_ahead(provider: LocalProvider, gate: Gate) -> None:
    gate.open()
    async with aclosing(provider.synthesize(SpeechRequest(FIRST, "af_heart"))) as speech:
        await anext(speech)
        await idle(provider)
        assert len(gate.begun) == 2
        await anext(speech)
        await idle(provider)
        assert len(gate.begun) == 3


async def test_closing_stops_after_the_piece_being_made(provider: LocalProvider, gate: Gate) -> None:
    gate.let(1)
    speech = provider.synthesize(SpeechRequest(FIRST, "af_heart"))
    await anext(speech)
    await gate.until(2)
    await speech.aclose()
    gate.open()
    await idle(provider)
    assert len(gate.begun) == 2


async def test_cancelling_the_listener_takes_its_waiting_piece_out(provider: LocalProvider, gate: Gate) -> None:
    async def listen(text: str) -> list[Pcm]:
        return [piece async for piece in provider.synthesize(SpeechRequest(text, "af_heart"))]

    staying = asyncio.create_task(listen(FIRST))
    await gate.until(1)
    leaving = asyncio.create_task(listen(SECOND))
    await asyncio.sleep(0)  # its first step is queued behind the other's
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    gate.open()
    assert len(await staying) == 4
    assert len(gate.begun) == 4


async def test_two_texts_are_spoken_in_turns(provider: LocalProvider, gate: Gate) -> None:
    async def listen(text: str) -> list[Pcm]:
        return [piece async for piece in provider.synthesize(SpeechRequest(text, "af_heart"))]

    one = asyncio.create_task(listen(FIRST))
    await gate.until(1)
    other = asyncio.create_task(listen(SECOND))
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(one, other)
    turns = ["one" if begun in {"ˈæp", "bən", "ʧˈɛ", "dˈA"} else "other" for begun in gate.begun]
    assert sorted(turns) == ["one"] * 4 + ["other"] * 4
    # The other waits for the piece being made and the one ahead of it; from then on they alternate.
    assert "other" in turns[:3]
    assert all(turns[i] != turns[i + 1] for i in range(2, 6)), turns


async def test_shutting_down_tells_who_waits(models_dir: Path, gate: Gate) -> None:
    provider = LocalProvider(LocalSettings(models_dir=models_dir))
    gate.let(1)
    async with aclosing(provider.synthesize(SpeechRequest(FIRST, "af_heart"))) as speech:
        await anext(speech)
        await gate.until(2)
        closing = asyncio.create_task(provider.aclose())
        await asyncio.sleep(0)
        gate.open()
        await closing
        with pytest.raises(Transient, match="shut down"):
            await anext(speech)
    with pytest.raises(Transient, match="shut down"):
        await anext(provider.synthesize(SpeechRequest(FIRST, "af_heart")))


async def test_too_many_at_once_are_told_to_come_again(provider: LocalProvider, gate: Gate) -> None:
    async def begin() -> Pcm:
        async with aclosing(provider.synthesize(SpeechRequest("Hello.", "af_heart"))) as speech:
            return await anext(speech)

    waiting = [asyncio.create_task(begin()) for _ in range(32)]
    await gate.until(1)
    with pytest.raises(AtCapacity) as refused:
        await begin()
    assert refused.value.retry_after > 0
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    gate.open()
    assert (await begin()).seconds > 0


@pytest.mark.parametrize(
    "damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"\0" * 522_240)], ids=["missing", "damaged"]
)
async def test_a_bad_voice_file_is_named_with_what_to_run(
    models_dir: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    folder = tmp_path / "kokoro-voices"
    shutil.copytree(models_dir / "kokoro-voices", folder)
    provider = LocalProvider(LocalSettings(models_dir=tmp_path))
    assert (await provider.health()).available
    damage(folder / "af_sky.bin")
    with pytest.raises(NotConfigured, match=r"af_sky\.bin is .* providers\.local\.fetch"):
        await anext(provider.synthesize(SpeechRequest("Hello.", "af_sky")))
    await provider.aclose()


async def test_health_says_what_to_run_where_the_voices_are_missing(tmp_path: Path) -> None:
    provider = LocalProvider(LocalSettings(models_dir=tmp_path))
    health = await provider.health()
    assert not health.available
    assert health.reason is not None
    assert "providers.local.fetch" in health.reason
    await provider.aclose()
