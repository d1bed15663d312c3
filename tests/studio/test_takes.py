"""Takes, listened to with the real detectors: a real person's voice from the phone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from audio.pcm import Pcm
from audio.vad import Segment
from audio.wav import read_wav, write_wav
from studio.analysis import Findings
from studio.blobs import Blobs
from studio.database import Database
from studio.hub import ChangeHub
from studio.listening import Listeners
from studio.mistakes import FailureCode
from studio.ports import RecordingNotThere
from studio.retrying import retried
from studio.states import CallPurpose, CloneStatus
from studio.tables import Call, Clone, Recording, User, now
from studio.takes import Takes
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE
from tests.studio.sounds import RATE, murmur, spoken


class House:
    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder / 'deadringer.sqlite'}", ChangeHub())
        self.blobs = Blobs(folder / "blobs", self.database)
        self.carrier = ScriptedCarrier()
        self.listeners = Listeners()
        self.takes = Takes(self.database, self.blobs, self.carrier, self.listeners, fetch_seconds=0.1)
        self.clone = Clone(user_id="1", name="Me", provider="tone", call_id="1", status=CloneStatus.REVIEWING)

    async def furnish(self) -> None:
        await self.database.open()
        async with self.database.transaction() as unit:
            unit.add(User(id="1", email="a@example.com", password_hash=""))
            await unit.flush()
            unit.add(Call(id="1", user_id="1", purpose=CallPurpose.CLONE, phone="+14155550101"))
            await unit.flush()
            unit.add(self.clone)

    async def take(self, sound: bytes, number: int = 1) -> Recording:
        sid = self.carrier.record("CA", sound)
        row = Recording(user_id="1", clone_id=self.clone.id, take=number, sid=sid, available_at=now())
        async with self.database.transaction() as unit:
            unit.add(row)
        return row

    async def row(self, take: Recording) -> Recording:
        async with self.database.reading() as session:
            return await session.get_one(Recording, take.id)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.furnish()
    yield house
    await house.takes.aclose()
    await house.listeners.aclose()
    await house.database.aclose()


async def test_a_good_take_is_fetched_once_and_measured(house: House) -> None:
    take = await house.take(spoken(4.0))
    await house.takes.judge(take.id, 1.0)
    await house.takes.judge(take.id, 1.0)
    assert house.carrier.fetched == [take.sid]
    judged = await house.row(take)
    assert judged.problem is None
    assert judged.seconds == pytest.approx(4.0, abs=0.01)
    assert 2.5 < judged.speech_seconds <= 4.0
    await house.takes.analyze(take.id)
    measured = await house.row(take)
    assert measured.signal_to_noise_db > 5
    assert -40 < measured.loudness_dbfs < -10
    assert measured.quality_score is not None
    assert 1 < measured.quality_score < 5
    recorded, cleaned = await house.takes.sound(measured)
    assert len(recorded) == len(read_wav(spoken(4.0)))
    assert (cleaned is not None) is measured.cleaned


async def test_a_noisy_take_is_kept_as_it_is_with_a_cleaned_one_beside_it(house: House) -> None:
    voice = read_wav(spoken(6.0))
    noise = np.random.default_rng(1).normal(0, 0.05, len(voice)).astype(np.float32)
    noisy = write_wav(Pcm(voice.samples + noise, RATE))
    take = await house.take(noisy)
    await house.takes.judge(take.id, 1.0)
    await house.takes.analyze(take.id)
    row = await house.row(take)
    assert row.cleaned
    assert row.blob is not None
    assert await house.blobs.get(row.blob) == noisy
    recorded, cleaned = await house.takes.sound(row)
    assert cleaned is not None
    assert (cleaned.rate, len(cleaned)) == (recorded.rate, len(recorded))


async def test_too_little_speech_is_measured_against_what_the_provider_wants(house: House) -> None:
    for number, (minimum, problem) in enumerate([(1.0, FailureCode.TOO_LITTLE_SPEECH), (0.1, None)], start=1):
        take = await house.take(murmur(), number)
        await house.takes.judge(take.id, minimum)
        row = await house.row(take)
        assert row.problem == problem
        assert 0.1 < row.speech_seconds < 1.0


async def test_a_take_that_was_fetched_before_a_crash_is_not_fetched_again(house: House) -> None:
    take = await house.take(spoken(2.0))
    blob = await house.blobs.put(spoken(2.0), "wav")
    async with house.database.transaction() as unit:
        row = await unit.get_one(Recording, take.id)
        row.blob = blob
    await house.takes.judge(take.id, 1.0)
    assert house.carrier.fetched == []
    assert (await house.row(take)).problem is None


async def test_a_take_is_analysed_while_its_caller_is_asked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    analysed = []
    analysis = house.listeners.analysis

    async def counted(pcm: Pcm, speech: Sequence[Segment]) -> Findings:
        analysed.append(pcm)
        return await analysis(pcm, speech)

    monkeypatch.setattr(house.listeners, "analysis", counted)
    take = await house.take(spoken(4.0))
    await house.takes.judge(take.id, 1.0)
    await asyncio.sleep(0)
    assert len(analysed) == 1, "it has begun before anybody asked"
    await house.takes.analyze(take.id)
    assert len(analysed) == 1
    first = await house.row(take)
    # Another process knows nothing of it.
    heirs = Takes(house.database, house.blobs, house.carrier, house.listeners, fetch_seconds=0.1)
    await heirs.judge(take.id, 1.0)
    await heirs.analyze(take.id)
    assert len(analysed) == 2
    assert (await house.row(take)).model_dump() == first.model_dump()


async def test_a_take_without_enough_speech_is_not_analysed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.listeners, "analysis", None)
    take = await house.take(murmur())
    await house.takes.judge(take.id, 1.0)
    assert (await house.row(take)).problem == FailureCode.TOO_LITTLE_SPEECH


@pytest.mark.parametrize("ending", ["forget", "aclose"])
async def test_an_analysis_that_nobody_wants_any_more_ends(
    house: House, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    ended = asyncio.Event()

    async def endless(pcm: Pcm, speech: Sequence[Segment]) -> Findings:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    monkeypatch.setattr(house.listeners, "analysis", endless)
    take = await house.take(spoken(4.0))
    await house.takes.judge(take.id, 1.0)
    await asyncio.sleep(0)  # it has begun
    await (house.takes.forget(house.clone.id) if ending == "forget" else house.takes.aclose())
    await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_the_word_that_a_recording_is_there_is_not_slept_through(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.takes.retried", partial(retried, first_pause=10_000.0))
    takes = Takes(house.database, house.blobs, house.carrier, house.listeners, fetch_seconds=100_000.0)
    house.carrier.fail("fetch_recording", RecordingNotThere("404"), times=1)
    house.carrier.fetching.hold()
    take = await house.take(spoken(4.0))
    judging = asyncio.create_task(takes.judge(take.id, 1.0))
    await asyncio.wait_for(house.carrier.fetching.reached(), PATIENCE)
    house.carrier.fetching.open()
    house.database.hub.publish([f"clone:{house.clone.id}"])
    await asyncio.wait_for(judging, PATIENCE)
    assert (await house.row(take)).problem is None
    await takes.aclose()


async def test_only_what_a_voice_was_made_of_is_kept(house: House) -> None:
    takes = [await house.take(spoken(2.0), number) for number in (1, 2)]
    for take in takes:
        await house.takes.judge(take.id, 1.0)
    async with house.database.transaction() as unit:
        (await unit.get_one(Recording, takes[1].id)).kept = True
        (await unit.get_one(Clone, house.clone.id)).status = CloneStatus.READY
    blobs = [(await house.row(take)).blob for take in takes]
    await house.takes.forget(house.clone.id)
    await house.takes.forget(house.clone.id)
    assert [(await house.row(take)).blob for take in takes] == [None, blobs[1]]
    assert blobs[0] is not None
    assert blobs[1] is not None
    with pytest.raises(FileNotFoundError):
        await house.blobs.get(blobs[0])
    assert await house.blobs.get(blobs[1]) == spoken(2.0)
