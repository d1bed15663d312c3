"""Clones that need no call: from a file, and from the recording of a clone that failed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from audio.pcm import Pcm
from audio.wav import read_wav
from providers.contract import Quota, QuotaExceeded, Refused
from providers.manager import ProviderRegistry
from studio.cloning import clone_workflow
from studio.mistakes import MistakeCode
from studio.states import CallStatus, CloneStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Clone, Consent, Recording, User, now
from studio.takes import KEPT_FOR
from tests.providers.tone import ToneProvider
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, call_when, clone_when, new_take, new_user, workflow_over
from tests.studio.sounds import murmur, silence, spoken
from tests.studio.troubles import code_of

WORDING = "The speaker was told, and agreed."


def sound(data: bytes | None = None) -> Pcm:
    return read_wav(data or spoken())


def files(settings: StudioSettings) -> list[Path]:
    return [path for path in (settings.data_dir / "blobs").rglob("*") if path.is_file()]


async def consent_of(studio: Studio, clone: Clone) -> Consent | None:
    async with studio.database.reading() as session:
        return (await session.exec(select(Consent).where(Consent.clone_id == clone.id))).first()


async def take_of(studio: Studio, clone: Clone) -> Recording | None:
    async with studio.database.reading() as session:
        return (await session.exec(select(Recording).where(Recording.clone_id == clone.id))).first()


async def failed(studio: Studio, user: User, provider: ToneProvider) -> Clone:
    """One that the provider refused, by telephone, and all of its workflow done."""
    provider.failing = Refused("Not today.")
    clone = await new_take(studio, user, CloneStatus.CLONING)
    async with studio.database.transaction() as unit:
        unit.add(Consent(user_id=user.id, clone_id=clone.id, how="pressed 1", wording="May we?"))
    await studio.workflows.start(clone_workflow, clone.id)
    clone = await clone_when(studio, clone, CloneStatus.FAILED)
    await workflow_over(clone.id)
    provider.failing = None
    return clone


async def test_a_file_becomes_a_voice(studio: Studio, user: User, provider: ToneProvider) -> None:
    started = await studio.clones.from_audio(user.id, " My  voice ", sound(), True, WORDING)
    assert (started.name, started.call_id) == ("My voice", None)
    done = await clone_when(studio, started, CloneStatus.READY)
    (request,) = provider.cloned
    assert (request.label, request.tried_before) == (started.id, False)
    assert request.recording.seconds == pytest.approx(4.0)
    consent = await consent_of(studio, done)
    assert consent is not None
    assert (consent.how, consent.wording) == ("given with the file", WORDING)
    take = await take_of(studio, done)
    assert take is not None
    assert take.kept
    assert take.speech_seconds > 2
    await workflow_over(done.id)
    assert await studio.voices.find(user.id, done.voice_id or "") is not None


@pytest.mark.parametrize("heard", [silence, murmur])
async def test_a_file_without_enough_speech(
    studio: Studio, user: User, provider: ToneProvider, settings: StudioSettings, heard: object
) -> None:
    assert callable(heard)
    started = await studio.clones.from_audio(user.id, "Me", sound(heard()), True, WORDING)
    over = await clone_when(studio, started, CloneStatus.FAILED)
    assert over.failure_code == "too_little_speech"
    await workflow_over(over.id)
    assert provider.cloned == []
    assert files(settings) == []


async def test_without_consent_nothing_is_stored(studio: Studio, user: User, settings: StudioSettings) -> None:
    assert await code_of(studio.clones.from_audio(user.id, "Me", sound(), False, WORDING)) is MistakeCode.REQUIRED
    assert files(settings) == []
    assert (await studio.clones.page(user.id, 10, None)).items == []


async def test_what_stands_in_the_way_is_said_before_anything_is_stored(
    studio: Studio, user: User, provider: ToneProvider, settings: StudioSettings
) -> None:
    provider.quota = Quota(3, 3, "voices")
    assert await code_of(studio.clones.from_audio(user.id, "Me", sound(), True, WORDING)) is MistakeCode.QUOTA
    assert await code_of(studio.clones.from_audio(user.id, "", sound(), True, WORDING)) is MistakeCode.REQUIRED
    assert files(settings) == []


async def test_a_file_whose_workflow_was_never_started_is_found(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_studio(settings, providers, carrier) as studio:
        user = await new_user(studio)

        async def dies(*_: object) -> None:
            raise SystemError("the process dies here")

        monkeypatch.setattr(studio.workflows, "start", dies)
        with pytest.raises(SystemError):
            await studio.clones.from_audio(user.id, "Me", sound(), True, WORDING)
        (clone,) = (await studio.clones.page(user.id, 10, None)).items
    async with open_studio(settings, providers, carrier) as studio:
        await clone_when(studio, clone, CloneStatus.READY)


async def test_trying_again_takes_the_recording_along(studio: Studio, user: User, provider: ToneProvider) -> None:
    last = await failed(studio, user, provider)
    kept = await take_of(studio, last)
    assert kept is not None
    assert kept.keep_until is not None
    assert now() < kept.keep_until <= now() + KEPT_FOR
    clone = await studio.clones.retry(user.id, last.id)
    assert (clone.name, clone.provider, clone.call_id, clone.retry_of) == (last.name, "tone", None, last.id)
    done = await clone_when(studio, clone, CloneStatus.READY)
    assert [request.label for request in provider.cloned] == [last.id, done.id]
    assert await take_of(studio, last) is None
    taken = await take_of(studio, done)
    assert taken is not None
    assert (taken.id, taken.keep_until) == (kept.id, None)
    first, second = await consent_of(studio, last), await consent_of(studio, done)
    assert first is not None
    assert second is not None
    assert (second.given_at, second.how, second.wording) == (first.given_at, first.how, first.wording)
    assert (await studio.clones.get(user.id, last.id)) == last, "what happened stays on record"


async def test_once_is_enough(studio: Studio, user: User, provider: ToneProvider) -> None:
    last = await failed(studio, user, provider)
    clone = await studio.clones.retry(user.id, last.id)
    assert await code_of(studio.clones.retry(user.id, last.id)) is MistakeCode.WRONG_STATE
    done = await clone_when(studio, clone, CloneStatus.READY)
    assert await code_of(studio.clones.retry(user.id, done.id)) is MistakeCode.WRONG_STATE


async def test_a_try_that_fails_is_tried_again_in_its_turn(studio: Studio, user: User, provider: ToneProvider) -> None:
    last = await failed(studio, user, provider)
    provider.failing = QuotaExceeded("No room.")
    second = await studio.clones.retry(user.id, last.id)
    await clone_when(studio, second, CloneStatus.FAILED)
    await workflow_over(second.id)
    provider.failing = None
    third = await studio.clones.retry(user.id, second.id)
    await clone_when(studio, third, CloneStatus.READY)


async def test_without_a_recording_the_phone_rings_again(studio: Studio, user: User, carrier: ScriptedCarrier) -> None:
    last = await studio.clones.start(user.id, "Me", "+14155550101")
    call = await call_when(studio, last, CallStatus.INITIATED)
    assert await code_of(studio.clones.retry(user.id, last.id)) is MistakeCode.WRONG_STATE
    assert call.sid is not None
    carrier.statuses[call.sid] = CallStatus.BUSY
    await clone_when(studio, last, CloneStatus.FAILED)
    clone = await studio.clones.retry(user.id, last.id)
    assert clone.call_id is not None
    await call_when(studio, clone, CallStatus.INITIATED)
    assert [order.phone for order in carrier.orders] == ["+14155550101"] * 2


async def test_a_file_that_is_not_kept_is_asked_for_again(studio: Studio, user: User) -> None:
    started = await studio.clones.from_audio(user.id, "Me", sound(silence()), True, WORDING)
    await clone_when(studio, started, CloneStatus.FAILED)
    await workflow_over(started.id)
    assert await code_of(studio.clones.retry(user.id, started.id)) is MistakeCode.WRONG_STATE


async def test_a_recording_is_not_kept_for_ever(
    studio: Studio, user: User, provider: ToneProvider, settings: StudioSettings
) -> None:
    last = await failed(studio, user, provider)
    take = await take_of(studio, last)
    assert take is not None
    assert len(files(settings)) == 1
    async with studio.database.transaction() as unit:
        row = await unit.get_one(Recording, take.id)
        row.keep_until = now() - timedelta(seconds=1)
    with studio.hub.watch(f"clone:{last.id}") as watch:
        while await studio.clones.recordings(user.id, [last.id]):  # the sweep begins with taking it out of reach
            assert await watch.changed(PATIENCE)
    await workflow_over(take.id)
    assert files(settings) == []
    row_left = await take_of(studio, last)
    assert row_left is not None
    assert (row_left.blob, row_left.keep_until) == (None, None)
