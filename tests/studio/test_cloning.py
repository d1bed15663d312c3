"""Cloning a voice by phone: the story as it should be, and every way in which a caller can leave it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlmodel import col, select

from audio.wav import read_wav
from providers.contract import Artefact
from providers.manager import ProviderRegistry
from studio.cloning import clone_workflow
from studio.desk import MAX_TAKES, AskConsent, Choose, Goodbye, GoodbyeReason, Hold, Record, RecordWhy
from studio.mistakes import FailureCode
from studio.states import CallPurpose, CallStatus, CloneStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Clone, Recording, User, now
from tests.providers.tone import ToneProvider, pitch_of
from tests.studio.caller import WORDS, ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import clone_when, new_take, new_user, workflow_over
from tests.studio.sounds import murmur, silence, spoken


async def takes_of(studio: Studio, clone: Clone) -> list[Recording]:
    async with studio.database.reading() as session:
        statement = select(Recording).where(Recording.clone_id == clone.id).order_by(col(Recording.take))
        return list((await session.exec(statement)).all())


async def test_the_whole_story(
    settings: StudioSettings,
    providers: ProviderRegistry,
    provider: ToneProvider,
    carrier: ScriptedCarrier,
    database_url: str,
) -> None:
    async with open_studio(replace(settings, database_url=database_url), providers, carrier) as studio:
        provider.recipient = "Tones Ltd."
        user = await new_user(studio, "+14155550101", proven=True)
        clone, caller = await ring(studio, carrier, user)
        seen: list[CloneStatus] = []

        async def follow() -> None:
            seen.extend([row.status async for row in studio.clones.follow(user.id, clone.id)])

        following = asyncio.create_task(follow())
        await caller.status(CallStatus.RINGING)
        assert await caller.answer() == AskConsent("Me", code_digits=None, attempt=1, recipient="Tones Ltd.")
        assert await caller.press("1") == Record(take=1, why=RecordWhy.FIRST)
        assert await caller.speak(spoken()) == Hold(waited=0)
        offered = await caller.listened()
        assert isinstance(offered, Choose)
        assert offered.speech_seconds == pytest.approx(3.8, abs=0.5)
        assert await caller.choose("1") == Goodbye(GoodbyeReason.KEPT)
        await caller.hang_up()
        done = await clone_when(studio, clone)
        assert done.status is CloneStatus.READY
        await asyncio.wait_for(following, 10)
        assert seen[-1] is CloneStatus.READY
        order = [status for status in CloneStatus if status in seen]
        assert seen == order, "the states come in their order, each once"

        # The voice is theirs, of the provider they asked, with the pitch of what they said.
        assert done.voice_id is not None
        voice = await studio.voices.find(user.id, done.voice_id)
        assert voice is not None
        assert (voice.name, voice.provider, voice.clone_id, voice.similarity) == ("Me", "tone", clone.id, 0.75)
        speakable = await studio.voices.speakable(user.id, done.voice_id)
        assert speakable is not None
        _, artefact = speakable
        assert isinstance(artefact, Artefact)
        assert float(artefact.data) == pytest.approx(pitch_of(read_wav(spoken())))

        # What was agreed to is kept, in the words that were said.
        (consent,) = await studio.clones.consents(user.id, [clone.id])
        assert consent.wording == WORDS
        assert "pressed 1" in consent.how

        # The recording is measured, and kept here but not at the carrier.
        await workflow_over(clone.id)
        (take,) = await studio.clones.recordings(user.id, [clone.id])
        assert take.kept
        assert take.seconds == pytest.approx(4.0, abs=0.01)
        assert take.loudness_dbfs < -10
        assert take.blob is not None
        assert await studio.blobs.get(take.blob) == spoken()
        assert take.deleted_there_at is not None
        assert carrier.recordings == {}
        (placed,) = carrier.orders
        assert (placed.phone, placed.call_id, placed.purpose) == (user.phone, clone.call_id, CallPurpose.CLONE)
        assert carrier.hung_up == []
        row = await caller.row()
        assert (row.status, row.failure_code) == (CallStatus.COMPLETED, None)
        assert row.seconds is not None


async def test_a_good_take_is_heard_again_and_then_another_is_kept(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(spoken(4.0))
    first = await caller.listened()
    assert isinstance(first, Choose)
    assert await caller.choose("2") == replace(first, play=True)
    assert await studio.desk.replay_audio(caller.call_id, first.recording_id) == spoken(4.0)
    assert await studio.desk.replay_audio("another call", first.recording_id) is None
    assert await caller.choose("7") == replace(first, attempt=2)
    assert await caller.choose("3") == Record(take=2, why=RecordWhy.AGAIN)
    await caller.speak(spoken(3.0))
    second = await caller.listened()
    assert isinstance(second, Choose)
    assert second.recording_id != first.recording_id
    await caller.choose("1")
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.READY)
    await workflow_over(clone.id)
    rejected, kept = await takes_of(studio, clone)
    assert (rejected.kept, kept.kept) == (False, True)
    assert rejected.blob is None, "a take that nobody wanted is not kept"
    assert set(carrier.deleted) == set(caller.takes)


async def test_who_says_nothing_to_the_choice_keeps_the_take(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(spoken())
    await caller.listened()
    assert isinstance(await caller.choose(None, 1), Choose)
    assert isinstance(await caller.choose(None, 2), Choose)
    assert await caller.choose(None, 3) == Goodbye(GoodbyeReason.KEPT)
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.ANALYZING)


async def test_too_little_speech_is_said_and_a_good_take_follows(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(murmur())
    again = await caller.listened()
    assert isinstance(again, Record)
    assert (again.take, again.why) == (2, RecordWhy.TOO_LITTLE)
    assert 0 < again.heard_seconds < 1
    await caller.speak(spoken())
    assert isinstance(await caller.listened(), Choose)
    await caller.choose("1")
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.ANALYZING)


async def test_the_last_take_cannot_be_recorded_again(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    for _ in range(1, MAX_TAKES):
        await caller.stay_silent()
    await caller.speak(spoken())
    offered = await caller.listened()
    assert isinstance(offered, Choose)
    assert await caller.choose("3") == replace(offered, attempt=2)
    await caller.choose("1", 2)
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.ANALYZING)


async def test_the_take_that_was_chosen_is_used_whatever_turns_up_later(studio: Studio, user: User) -> None:
    clone = await new_take(studio, user, CloneStatus.RECORDED)
    async with studio.database.transaction() as unit:
        stray = Recording(user_id=user.id, clone_id=clone.id, take=2, judged_at=now())
        unit.add(stray)
    await studio.workflows.start(clone_workflow, clone.id)
    await clone_when(studio, clone, CloneStatus.ANALYZING)
    assert [take.kept for take in await takes_of(studio, clone)] == [True, False]


async def test_silence_into_the_phone_ends_after_enough_takes(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    for take in range(1, MAX_TAKES):
        assert await caller.stay_silent() == Record(take=take + 1, why=RecordWhy.SILENT)
    assert await caller.stay_silent() == Goodbye(GoodbyeReason.TOO_LITTLE)
    await caller.hang_up()
    assert (await clone_when(studio, clone, CloneStatus.FAILED)).failure_code == FailureCode.TOO_LITTLE_SPEECH


async def test_recorded_silence_ends_after_enough_takes(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    for _ in range(1, MAX_TAKES):
        await caller.speak(silence())
        assert isinstance(await caller.listened(), Record)
    await caller.speak(silence())
    assert await caller.listened() == Goodbye(GoodbyeReason.TOO_LITTLE)
    await caller.hang_up()
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert failed.failure_code == FailureCode.TOO_LITTLE_SPEECH
    assert failed.failure_retryable
    await workflow_over(clone.id)
    assert len(carrier.deleted) == MAX_TAKES
    assert all(take.blob is None for take in await takes_of(studio, clone))


@pytest.mark.parametrize(
    ("digits", "reason", "code"),
    [
        (None, GoodbyeReason.NO_KEY, FailureCode.NO_KEY_PRESSED),
        ("2", GoodbyeReason.REFUSED, FailureCode.NOT_AGREED),
    ],
)
async def test_without_agreement_nothing_is_recorded(
    studio: Studio,
    carrier: ScriptedCarrier,
    user: User,
    digits: str | None,
    reason: GoodbyeReason,
    code: FailureCode,
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.answer()
    assert await caller.press(digits, 1) == AskConsent("Me", code_digits=None, attempt=2)
    assert await caller.press(digits, 2) == AskConsent("Me", code_digits=None, attempt=3)
    assert await caller.press(digits, 3) == Goodbye(reason)
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert (failed.failure_code, failed.failure_message is not None) == (code, True)
    assert await caller.press("1", 3) == Goodbye(reason), "it is too late to agree"
    assert await studio.clones.consents(user.id, [clone.id]) == []
    await caller.hang_up()


async def test_a_new_number_keys_in_the_code_and_is_proven_by_it(studio: Studio, carrier: ScriptedCarrier) -> None:
    stranger = await new_user(studio, "+14155550102")
    clone, caller = await ring(studio, carrier, stranger)
    code = (await caller.row()).confirmation_code
    assert code is not None
    assert await caller.answer() == AskConsent("Me", code_digits=4, attempt=1)
    assert await caller.press("1") == AskConsent("Me", code_digits=4, attempt=2)
    assert await caller.press(code, 2) == Record(take=1, why=RecordWhy.FIRST)
    proven = await studio.accounts.user(stranger.id)
    assert proven is not None
    assert proven.phone_proven_at is not None
    assert (await caller.row()).confirmation_code is None, "a code is good for once"
    (consent,) = await studio.clones.consents(stranger.id, [clone.id])
    assert "code" in consent.how
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.FAILED)


async def test_a_wrong_code_three_times_ends_the_call(studio: Studio, carrier: ScriptedCarrier) -> None:
    stranger = await new_user(studio, "+14155550102")
    clone, caller = await ring(studio, carrier, stranger)
    code = (await caller.row()).confirmation_code
    wrong = "0000" if code != "0000" else "1111"
    await caller.answer()
    await caller.press(wrong, 1)
    await caller.press(wrong, 2)
    assert await caller.press(wrong, 3) == Goodbye(GoodbyeReason.WRONG_CODE)
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert failed.failure_code == FailureCode.WRONG_CODE
    row = await studio.accounts.user(stranger.id)
    assert row is not None
    assert row.phone_proven_at is None
    await caller.hang_up()


async def test_hanging_up_before_the_recording(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.answer()
    await caller.hang_up()
    assert (await clone_when(studio, clone, CloneStatus.FAILED)).failure_code == FailureCode.HUNG_UP_EARLY


async def test_hanging_up_while_speaking_keeps_what_was_said(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    sid = carrier.record(caller.sid, spoken())  # the carrier lists it, and no webhook ever tells of it
    await caller.hang_up()
    assert (await clone_when(studio, clone)).status is CloneStatus.READY
    await workflow_over(clone.id)
    assert set(carrier.deleted) == {sid}


async def test_hanging_up_while_speaking_without_a_recording(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.hang_up()
    assert (await clone_when(studio, clone, CloneStatus.FAILED)).failure_code == FailureCode.HUNG_UP_EARLY


async def test_hanging_up_after_the_recording_keeps_it(studio: Studio, carrier: ScriptedCarrier, user: User) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(spoken())
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.ANALYZING)


async def test_a_second_take_that_was_cut_off_is_looked_for(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    """The first take, which was too short, is no reason not to wait for the second."""
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(murmur())
    assert isinstance(await caller.listened(), Record)
    carrier.record(caller.sid, spoken(), late=True)
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.ANALYZING)
    assert [take.kept for take in await takes_of(studio, clone)] == [False, True]


async def test_calls_that_come_to_nothing(studio: Studio, carrier: ScriptedCarrier) -> None:
    for status, code in {
        CallStatus.BUSY: FailureCode.BUSY,
        CallStatus.NO_ANSWER: FailureCode.NO_ANSWER,
        CallStatus.FAILED: FailureCode.CALL_FAILED,
        CallStatus.CANCELED: FailureCode.CALL_LOST,
        CallStatus.COMPLETED: FailureCode.CALL_LOST,
    }.items():
        user = await new_user(studio, "+14155550101", proven=True)
        clone, caller = await ring(studio, carrier, user)
        await caller.status(status)
        failed = await clone_when(studio, clone, CloneStatus.FAILED)
        assert failed.failure_code == code
        assert failed.failure_message
        assert (await caller.row()).status is status
