"""Speaking: pieces while they are made, in order, each sample once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from audio.pcm import Pcm
from providers.contract import AtCapacity, QuotaExceeded, SpeechOptions, SpeechRequest, Transient
from providers.manager import ProviderRegistry
from studio.mistakes import FailureCode, Mistake, MistakeCode
from studio.speaking import speak_workflow
from studio.speech import MAX_TEXT, SpeechPiece, SpeechProgress
from studio.states import AudioFormat, SynthesisStatus
from studio.studio import Studio, StudioSettings
from studio.tables import Segment, Synthesis, User, new_id
from tests.providers.tone import PITCHES, RATE, WORD_SECONDS, ToneProvider, pitch_of, tone
from tests.studio.people import PATIENCE, new_voice, speech_over, workflow_over
from tests.studio.troubles import code_of

WORD = Pcm.from_int16(tone(PITCHES["low"], WORD_SECONDS).to_int16(), RATE)


async def start(
    studio: Studio, user: User, text: str, voice: str = "tone:low", options: SpeechOptions | None = None
) -> Synthesis:
    return await studio.speech.start(user.id, voice, text, AudioFormat.WAV, options or SpeechOptions())


async def begin(studio: Studio, user: User, text: str, voice: str = "tone:low") -> Synthesis:
    """A row that no workflow has been started for."""
    synthesis = Synthesis(user_id=user.id, voice_key=voice, text=text)
    async with studio.database.transaction() as unit:
        unit.add(synthesis)
    return synthesis


async def follow(studio: Studio, synthesis: Synthesis, after: int = 0) -> list[SpeechProgress | SpeechPiece]:
    async with asyncio.timeout(PATIENCE):
        return [event async for event in studio.speech.follow(synthesis.user_id, synthesis.id, after)]


def pieces_of(events: list[SpeechProgress | SpeechPiece]) -> list[SpeechPiece]:
    return [event for event in events if isinstance(event, SpeechPiece)]


def files_in(settings: StudioSettings) -> list[Path]:
    return [path for path in (settings.data_dir / "blobs").rglob("*") if path.is_file()]


# ── following ────────────────────────────────────────────────────────────────


async def test_every_piece_in_order(studio: Studio, user: User) -> None:
    synthesis = await start(studio, user, "one two three")
    events = await follow(studio, synthesis)
    assert isinstance(events[0], SpeechProgress)
    pieces = pieces_of(events)
    assert [piece.cursor for piece in pieces] == [1, 2, 3]
    assert [piece.start_ms for piece in pieces] == pytest.approx([0, 100, 200])
    for piece in pieces:
        assert piece.pcm.rate == RATE
        np.testing.assert_array_equal(piece.pcm.samples, WORD.samples)
    last = events[-1]
    assert isinstance(last, SpeechProgress)
    assert (last.cursor, last.synthesis.status) == (3, SynthesisStatus.DONE)
    assert last.synthesis.seconds == pytest.approx(0.3)
    assert last.synthesis.sample_rate == RATE
    assert last.synthesis.first_audio_ms is not None


async def test_a_cloned_voice_speaks_with_its_own_pitch(studio: Studio, user: User) -> None:
    voice = await new_voice(studio, user, 330.0)
    events = await follow(studio, await start(studio, user, "one two", voice.id))
    assert pitch_of(Pcm.join(piece.pcm for piece in pieces_of(events))) == pytest.approx(330, abs=5)


async def test_pieces_can_be_heard_while_others_are_made(studio: Studio, user: User, provider: ToneProvider) -> None:
    provider.speaking.hold()
    synthesis = await start(studio, user, "one two three")
    heard: asyncio.Queue[SpeechProgress | SpeechPiece] = asyncio.Queue()

    async def listen() -> None:
        async for event in studio.speech.follow(user.id, synthesis.id):
            heard.put_nowait(event)

    listening = asyncio.create_task(listen())

    async def next_piece() -> SpeechPiece:
        while not isinstance(event := await asyncio.wait_for(heard.get(), PATIENCE), SpeechPiece):
            pass
        return event

    for cursor in (1, 2, 3):
        await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
        assert len(await studio.speech.pieces(synthesis.id)) == cursor - 1
        provider.speaking.let()
        assert (await next_piece()).cursor == cursor
    await asyncio.wait_for(listening, PATIENCE)


async def test_a_listener_comes_back_after_the_last_cursor(studio: Studio, user: User) -> None:
    synthesis = await start(studio, user, "one two three four")
    await speech_over(studio, synthesis)
    for after, expected in [(0, [1, 2, 3, 4]), (2, [3, 4]), (4, []), (99, []), (-5, [1, 2, 3, 4])]:
        events = await follow(studio, synthesis, after)
        assert [piece.cursor for piece in pieces_of(events)] == expected
        assert isinstance(events[0], SpeechProgress)
        assert events[0].cursor == max(0, after)
    (third, _) = pieces_of(await follow(studio, synthesis, 2))
    assert third.start_ms == pytest.approx(200)


async def test_a_needless_notice_tells_nobody_anything(studio: Studio, user: User, provider: ToneProvider) -> None:
    provider.speaking.hold()
    synthesis = await start(studio, user, "one")
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    events: list[SpeechProgress | SpeechPiece] = []
    async with asyncio.timeout(PATIENCE):
        async for event in studio.speech.follow(user.id, synthesis.id):
            events.append(event)
            studio.hub.publish([f"synthesis:{synthesis.id}"])
            provider.speaking.open()
    told = [event.synthesis for event in events if isinstance(event, SpeechProgress)]
    assert len(pieces_of(events)) == 1
    assert all(before != after for before, after in pairwise(told))
    assert told[-1].status is SynthesisStatus.DONE


async def test_long_sound_is_cut_into_seconds(studio: Studio, user: User) -> None:
    synthesis = await start(studio, user, "long", options=SpeechOptions(speed=0.04))
    pieces = pieces_of(await follow(studio, synthesis))
    assert [piece.pcm.seconds for piece in pieces] == pytest.approx([1.0, 1.0, 0.5])
    assert [piece.start_ms for piece in pieces] == pytest.approx([0, 1000, 2000])
    whole = tone(PITCHES["low"], 2.5)
    np.testing.assert_allclose(Pcm.join(piece.pcm for piece in pieces).samples, whole.samples, atol=1e-4)


# ── stopping ─────────────────────────────────────────────────────────────────


async def test_canceling_stops_the_work(studio: Studio, user: User, provider: ToneProvider) -> None:
    provider.speaking.hold()
    provider.speaking.let(1)
    synthesis = await start(studio, user, "one two three")
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    canceled = await studio.speech.cancel(user.id, synthesis.id)
    assert canceled.status is SynthesisStatus.CANCELED
    provider.speaking.let(1)  # a piece was on its way: it is not kept, and no other is asked for
    await workflow_over(synthesis.id)
    events = await follow(studio, synthesis)
    assert [piece.cursor for piece in pieces_of(events)] == [1]
    last = events[-1] if isinstance(events[-1], SpeechProgress) else events[0]
    assert isinstance(last, SpeechProgress)
    assert last.synthesis.status is SynthesisStatus.CANCELED
    assert await code_of(studio.speech.cancel(user.id, synthesis.id)) is MistakeCode.WRONG_STATE


async def test_deleting_while_it_is_spoken(
    studio: Studio, user: User, provider: ToneProvider, settings: StudioSettings
) -> None:
    provider.speaking.hold()
    provider.speaking.let(1)
    synthesis = await start(studio, user, "one two three")
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    listening = asyncio.create_task(follow(studio, synthesis))
    await studio.speech.delete(user.id, synthesis.id)
    with pytest.raises(Mistake, match="no such synthesis"):
        await listening
    provider.speaking.open()
    await workflow_over(synthesis.id)
    assert files_in(settings) == []
    assert await studio.speech.pieces(synthesis.id) == []
    assert await code_of(studio.speech.delete(user.id, synthesis.id)) is MistakeCode.NOT_FOUND


async def test_deleting_what_is_done(studio: Studio, user: User, settings: StudioSettings) -> None:
    synthesis = await start(studio, user, "one two")
    await speech_over(studio, synthesis)
    assert len(files_in(settings)) == 2
    await studio.speech.delete(user.id, synthesis.id)
    assert files_in(settings) == []
    assert await studio.speech.get(user.id, synthesis.id) is None


# ── troubles ─────────────────────────────────────────────────────────────────


async def test_an_error_midway_keeps_what_was_spoken(studio: Studio, user: User, provider: ToneProvider) -> None:
    provider.speaking.hold()
    provider.speaking.let(2)
    synthesis = await start(studio, user, "one two three")
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    provider.failing = QuotaExceeded("No characters are left this month.")
    provider.speaking.open()
    done = await speech_over(studio, synthesis)
    assert done.status is SynthesisStatus.FAILED
    assert (done.failure_code, done.failure_message) == (
        FailureCode.PROVIDER_QUOTA,
        "No characters are left this month.",
    )
    assert [piece.cursor for piece in pieces_of(await follow(studio, synthesis))] == [1, 2]


@pytest.mark.parametrize("problem", [Transient("not now"), AtCapacity("busy"), RuntimeError("a surprise")])
async def test_an_error_at_once(
    studio: Studio, user: User, provider: ToneProvider, problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(request: SpeechRequest) -> AsyncIterator[Pcm]:
        raise problem
        yield WORD

    monkeypatch.setattr(provider, "synthesize", fail)
    monkeypatch.setattr("studio.speaking._BUSY_SECONDS", 0.0)
    done = await speech_over(studio, await start(studio, user, "one"))
    surprise = isinstance(problem, RuntimeError)
    assert done.failure_code == (FailureCode.INTERNAL if surprise else FailureCode.PROVIDER_UNAVAILABLE)
    assert ("a surprise" in (done.failure_message or "")) is False


async def test_what_passes_before_anything_is_heard_is_waited_out(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize = provider.synthesize
    troubles = [Transient("not now"), AtCapacity("busy", retry_after=0.1)]

    async def fail_first(request: SpeechRequest) -> AsyncIterator[Pcm]:
        if troubles:
            raise troubles.pop(0)
        async for piece in synthesize(request):
            yield piece

    monkeypatch.setattr(provider, "synthesize", fail_first)
    done = await speech_over(studio, await start(studio, user, "one two"))
    assert done.status is SynthesisStatus.DONE
    assert troubles == []


async def test_speech_that_breaks_off_is_not_patched_up(studio: Studio, user: User, provider: ToneProvider) -> None:
    """Two tries need not sound the same."""
    provider.speaking.hold()
    provider.speaking.let(1)
    synthesis = await start(studio, user, "one two")
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    provider.failing = Transient("The connection broke.")
    provider.speaking.open()
    done = await speech_over(studio, synthesis)
    assert (done.status, done.failure_message) == (SynthesisStatus.FAILED, "The connection broke.")
    assert len(provider.spoken) == 1


async def test_a_provider_that_falls_silent(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.speaking._PROVIDER_SECONDS", 0.05)
    provider.speaking.hold()
    done = await speech_over(studio, await start(studio, user, "one"))
    assert done.failure_code == FailureCode.PROVIDER_UNAVAILABLE


async def test_a_provider_that_makes_no_sound(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(request: SpeechRequest) -> AsyncIterator[Pcm]:
        return
        yield WORD

    monkeypatch.setattr(provider, "synthesize", nothing)
    done = await speech_over(studio, await start(studio, user, "…"))
    assert (done.status, done.failure_code) == (SynthesisStatus.FAILED, FailureCode.PROVIDER_REFUSED)


async def test_a_voice_that_was_deleted_before_its_turn(studio: Studio, user: User) -> None:
    synthesis = await begin(studio, user, "one", new_id())
    await studio.workflows.start(speak_workflow, synthesis.id)
    assert (await speech_over(studio, synthesis)).failure_code == FailureCode.VOICE_GONE


async def test_a_provider_that_was_removed(studio: Studio, user: User, providers: ProviderRegistry) -> None:
    voice = await new_voice(studio, user)
    synthesis = await begin(studio, user, "one", voice.id)
    providers.providers.clear()
    await studio.workflows.start(speak_workflow, synthesis.id)
    assert (await speech_over(studio, synthesis)).failure_code == FailureCode.PROVIDER_NOT_CONFIGURED


async def test_what_was_stored_before_a_crash_is_not_spoken_twice(studio: Studio, user: User) -> None:
    """The dead process had stored a word and a part of the next."""
    synthesis = await begin(studio, user, "one two three")
    whole = Pcm.join([WORD, WORD, WORD])
    position = 0
    segments = []
    for number, samples in ((1, 2400), (2, 1000)):
        piece = Pcm(whole.samples[position : position + samples], RATE)
        # Straight from the numbers: `to_int16` scales by 32767, and would not give the same bytes again.
        blob = await studio.blobs.put((piece.samples * 32768).astype("<i2").tobytes(), "pcm")
        segments.append(
            Segment(
                synthesis_id=synthesis.id,
                number=number,
                start_sample=position,
                samples=samples,
                sample_rate=RATE,
                blob=blob,
            )
        )
        position += samples
    async with studio.database.transaction() as unit:
        row = await unit.get_one(Synthesis, synthesis.id)
        row.status, row.sample_rate = SynthesisStatus.SYNTHESIZING, RATE
        unit.add_all(segments)
    await studio.workflows.start(speak_workflow, synthesis.id)
    pieces = pieces_of(await follow(studio, synthesis))
    assert [len(piece.pcm) for piece in pieces] == [2400, 1000, 1400, 2400]
    assert [round(piece.start_ms * RATE / 1000) for piece in pieces] == [0, 2400, 3400, 4800]
    np.testing.assert_array_equal(Pcm.join(piece.pcm for piece in pieces).samples, whole.samples)
    async with studio.database.reading() as session:
        assert [row.number for row in (await session.exec(select(Segment).order_by("number"))).all()] == [1, 2, 3, 4]


# ── what is asked ────────────────────────────────────────────────────────────


async def test_options_are_passed_on_and_unknown_ones_refused(
    studio: Studio, user: User, provider: ToneProvider
) -> None:
    await speech_over(studio, await start(studio, user, "one", options=SpeechOptions(speed=2.0)))
    assert provider.spoken[-1].options == SpeechOptions(speed=2.0)
    with pytest.raises(Mistake) as caught:
        await start(studio, user, "one", options=SpeechOptions(speed=2.0, temperature=0.5))
    assert caught.value.code is MistakeCode.INVALID
    assert caught.value.field == ("options", "temperature")
    assert "speed" in caught.value.message


async def test_what_cannot_be_spoken(studio: Studio, user: User) -> None:
    for text, voice, code in (
        ("", "tone:low", MistakeCode.REQUIRED),
        (" \n", "tone:low", MistakeCode.REQUIRED),
        ("x" * (MAX_TEXT + 1), "tone:low", MistakeCode.TOO_LONG),
        ("nul\0l", "tone:low", MistakeCode.INVALID),
        ("one", "tone:nobody", MistakeCode.NOT_FOUND),
        ("one", "nobody:low", MistakeCode.NOT_FOUND),
        ("one", new_id(), MistakeCode.NOT_FOUND),
    ):
        assert await code_of(start(studio, user, text, voice)) is code


async def test_a_provider_that_cannot_work_says_why(studio: Studio, user: User, provider: ToneProvider) -> None:
    provider.unavailable = "its weights are not installed"
    with pytest.raises(Mistake, match="weights are not installed") as caught:
        await start(studio, user, "one")
    assert caught.value.code is MistakeCode.NOT_CONFIGURED


async def test_so_many_at_once_and_no_more(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.speech._AT_ONCE", 2)
    provider.speaking.hold()
    first = await start(studio, user, "one")
    await start(studio, user, "two")
    assert await code_of(start(studio, user, "three")) is MistakeCode.AT_CAPACITY
    await studio.speech.cancel(user.id, first.id)
    await start(studio, user, "three")
