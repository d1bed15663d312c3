"""Deleting voices and accounts: everywhere, and whatever goes wrong meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlmodel import SQLModel, func, select

from providers.contract import Gone, SpeechOptions, Transient
from studio.cloning import clone_workflow
from studio.mistakes import Mistake, MistakeCode
from studio.ports import CarrierUnavailable
from studio.states import AudioFormat, CloneStatus
from studio.studio import Studio, StudioSettings
from studio.tables import Executor, Recording, User
from tests.providers.tone import ToneProvider
from tests.studio.caller import ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, clone_when, new_take, new_user, new_voice, speech_over, workflow_over
from tests.studio.sounds import spoken
from tests.studio.troubles import fail_first

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.workflows._PAUSES", (0.01,) * 100)


async def rows(studio: Studio) -> dict[str, int]:
    """How many rows each table has, the empty ones left out."""
    async with studio.database.reading() as session:
        counted = {
            name: (await session.exec(select(func.count()).select_from(table))).one()
            for name, table in SQLModel.metadata.tables.items()
            if name != Executor.__tablename__
        }
    return {name: count for name, count in counted.items() if count}


def blobs(settings: StudioSettings) -> list[Path]:
    return [path for path in (settings.data_dir / "blobs").rglob("*") if path.is_file()]


async def cloned(studio: Studio, user: User) -> str:
    """A voice that was cloned from a kept take."""
    clone = await new_take(studio, user, CloneStatus.CLONING)
    await studio.workflows.start(clone_workflow, clone.id)
    done = await clone_when(studio, clone, CloneStatus.READY)
    await workflow_over(clone.id)
    assert done.voice_id is not None
    return done.voice_id


async def test_a_deleted_voice_is_gone_at_once_and_then_everywhere(
    studio: Studio,
    user: User,
    settings: StudioSettings,
    provider: ToneProvider,
    carrier: ScriptedCarrier,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    voice_id = await cloned(studio, user)
    assert len(blobs(settings)) == 1
    async with studio.database.transaction() as unit:
        (take,) = (await unit.exec(select(Recording))).all()
        take.deleted_there_at = None  # as if the carrier had not been reached then
    carrier.fail("delete_recording", CarrierUnavailable("not now"), times=1)
    forgotten = fail_first(monkeypatch, provider, "delete_voice", Transient("not now"), RuntimeError("a surprise"))
    await studio.voices.delete(user.id, voice_id)
    assert await studio.voices.find(user.id, voice_id) is None
    assert (await studio.voices.cloned(user.id, 10, None)).items == []
    with pytest.raises(Mistake) as caught:
        await studio.voices.delete(user.id, voice_id)
    assert caught.value.code is MistakeCode.NOT_FOUND
    await workflow_over(voice_id)
    assert forgotten.is_set()
    assert [artefact.kind for artefact in provider.deleted] == ["tone-pitch"]
    assert carrier.deleted[-1] == take.sid
    assert blobs(settings) == []
    left = await rows(studio)
    assert "voices" not in left
    assert "artefacts" not in left
    assert left["clones"] == 1, "what happened stays on record"


async def test_a_voice_that_the_provider_has_lost_already(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_: object) -> None:
        raise Gone("it is gone")

    monkeypatch.setattr(provider, "delete_voice", gone)
    voice = await new_voice(studio, user)
    await studio.voices.delete(user.id, voice.id)
    await workflow_over(voice.id)
    assert "voices" not in await rows(studio)


async def test_a_deleted_account_leaves_nothing(
    studio: Studio, settings: StudioSettings, provider: ToneProvider, carrier: ScriptedCarrier
) -> None:
    """Though a call is in progress, and a text is being spoken."""
    bystander = await new_user(studio, "+14155550102", proven=True)
    await new_voice(studio, bystander, 330.0)
    before = await rows(studio)

    user = await studio.accounts.sign_up("ada@example.com", PASSWORD, "+14155550101")
    async with studio.database.transaction() as unit:
        (await unit.get_one(User, user.id)).phone_proven_at = user.created_at
    await cloned(studio, user)
    secret = await studio.accounts.open_session(user.id)
    _, token = await studio.accounts.create_token(user.id, "script")
    done = await studio.speech.start(user.id, "tone:low", "one two", AudioFormat.WAV, SpeechOptions())
    await speech_over(studio, done)
    provider.speaking.hold()
    await studio.speech.start(user.id, "tone:low", "three four", AudioFormat.WAV, SpeechOptions())
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    _, caller = await ring(studio, carrier, user)
    await caller.agree()
    await caller.speak(spoken(2.0))
    await caller.listened()

    with pytest.raises(Mistake) as caught:
        await studio.accounts.delete_account(user.id, "wrong horse")
    assert caught.value.code is MistakeCode.NOT_ALLOWED
    assert await studio.accounts.user_of_session(secret) is not None

    await studio.accounts.delete_account(user.id, PASSWORD)
    assert await studio.accounts.user_of_session(secret) is None
    assert await studio.accounts.user_of_token(token) is None
    assert await studio.accounts.user(user.id) is None
    assert await studio.accounts.sign_up("ada@example.com", PASSWORD, None), "the address is free at once"
    for attempt in (
        studio.clones.start(user.id, "Me"),
        studio.speech.start(user.id, "tone:low", "five", AudioFormat.WAV, SpeechOptions()),
        studio.accounts.create_token(user.id, "another"),
    ):
        with pytest.raises(Mistake) as caught:
            await attempt
        assert caught.value.code is MistakeCode.NOT_FOUND

    provider.speaking.open()
    await workflow_over(user.id)
    assert caller.sid in carrier.hung_up
    assert set(caller.takes) <= set(carrier.deleted)
    assert len(provider.deleted) == 1
    assert blobs(settings) == []
    after = await rows(studio)
    assert after == before | {"users": before["users"] + 1}
