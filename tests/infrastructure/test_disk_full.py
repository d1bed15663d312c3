"""A disk without room: what is half written is not taken for whole, what is under way waits, and is told in words."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from strawberry.relay import GlobalID

from providers.contract import SpeechOptions
from providers.manager import ProviderRegistry
from studio.blobs import Blobs, StorageFull
from studio.desk import Choose
from studio.mistakes import FailureCode
from studio.speaking import Speaking
from studio.states import AudioFormat, CloneStatus, SynthesisStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Synthesis, User
from tests.api.service import Service, running_service
from tests.infrastructure.conftest import Disk
from tests.infrastructure.troubles import refusals
from tests.providers.tone import ToneProvider
from tests.studio.caller import ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, clone_when, new_user, speech_over, workflow_over
from tests.studio.sounds import spoken
from tests.telephony.calls import Heard, front_of, telephony_settings


class Files:
    """Files of ours, for which there is room or not: what is written then comes as far as the disk, and no further."""

    def __init__(self) -> None:
        self.full = False
        self.refused = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._sync = os.fsync

    def sync(self, file: int) -> None:
        if self.full:
            self._loop.call_soon_threadsafe(self.refused.set)
            raise OSError(errno.ENOSPC, "No space left on device")
        self._sync(file)

    async def refuse(self) -> None:
        """Wait until something could not be written."""
        await asyncio.wait_for(self.refused.wait(), PATIENCE)


@pytest.fixture
async def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    files = Files()
    monkeypatch.setattr("os.fsync", files.sync)
    return files


def stored(studio: Studio) -> list[Path]:
    """What can be read; what is just being tried is none of it."""
    return [path for path in (studio.settings.data_dir / "blobs").glob("*/*") if path.suffix != ".partial"]


# ── a clone ──────────────────────────────────────────────────────────────────


async def test_a_recording_waits_for_room_and_stays_at_the_carrier_meanwhile(
    studio: Studio, user: User, carrier: ScriptedCarrier, files: Files
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    files.full = True
    await caller.speak(spoken())
    await files.refuse()
    assert stored(studio) == []
    assert list(carrier.recordings) == caller.takes
    files.full = False
    assert isinstance(await caller.listened(), Choose), "it goes on by itself"
    await caller.choose("1")
    await caller.hang_up()
    await clone_when(studio, clone, CloneStatus.READY)
    await workflow_over(clone.id)
    assert carrier.fetched == caller.takes, "once"
    assert carrier.deleted == caller.takes
    (take,) = await studio.clones.recordings(user.id, [clone.id])
    assert take.blob is not None
    assert await studio.blobs.get(take.blob) == spoken()


async def test_who_hangs_up_on_a_full_disk_gets_a_voice_all_the_same(
    studio: Studio, user: User, carrier: ScriptedCarrier, files: Files
) -> None:
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    files.full = True
    await caller.speak(spoken())
    await files.refuse()
    await caller.hang_up()
    assert carrier.deleted == []
    files.full = False
    await clone_when(studio, clone, CloneStatus.READY)


async def test_a_disk_that_stays_full_is_told_in_words(
    studio: Studio, user: User, carrier: ScriptedCarrier, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.takes.STORAGE_SECONDS", 0.0)
    clone, caller = await ring(studio, carrier, user)
    await caller.agree()
    files.full = True
    await caller.speak(spoken())
    failed = await clone_when(studio, clone)
    assert (failed.failure_code, failed.failure_retryable) == (FailureCode.STORAGE_FULL, True)
    assert "room" in str(failed.failure_message)
    await caller.hang_up()
    await workflow_over(clone.id)
    assert stored(studio) == []
    assert carrier.recordings == {}


# ── a synthesis ──────────────────────────────────────────────────────────────


async def speak(studio: Studio, user: User) -> Synthesis:
    return await studio.speech.start(user.id, "tone:low", "one two three", AudioFormat.WAV, SpeechOptions())


async def test_speech_waits_for_room_and_is_made_once(
    studio: Studio, user: User, provider: ToneProvider, files: Files
) -> None:
    provider.speaking.hold()
    provider.speaking.let(1)
    synthesis = await speak(studio, user)
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    files.full = True
    provider.speaking.open()
    await files.refuse()
    files.full = False
    done = await speech_over(studio, synthesis)
    assert done.status is SynthesisStatus.DONE
    assert done.seconds == pytest.approx(0.3)
    assert [piece.number for piece in await studio.speech.pieces(synthesis.id)] == [1, 2, 3]
    assert len(stored(studio)) == 3
    assert len(provider.spoken) == 1, "a provider that is paid is asked once"


async def test_speech_for_which_there_stays_no_room_fails_in_words(
    studio: Studio, user: User, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.speaking.STORAGE_SECONDS", 0.0)
    files.full = True
    failed = await speech_over(studio, await speak(studio, user))
    assert (failed.status, failed.failure_code) == (SynthesisStatus.FAILED, FailureCode.STORAGE_FULL)
    files.full = False
    assert (await speech_over(studio, await speak(studio, user))).status is SynthesisStatus.DONE


# ── the whole disk, the databases too ────────────────────────────────────────


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough on a small disk."""
    monkeypatch.setattr("studio.blobs.ROOM", 1 << 16)


@pytest.mark.usefixtures("little_room")
async def test_what_cannot_even_be_noted_goes_on_when_there_is_room(
    on_disk: StudioSettings, disk: Disk, providers: ProviderRegistry, provider: ToneProvider, carrier: ScriptedCarrier
) -> None:
    async with open_studio(on_disk, providers, carrier) as studio:
        user = await new_user(studio)
        provider.speaking.hold()
        synthesis = await speak(studio, user)
        await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
        with refusals() as refused:
            disk.fill()
            provider.speaking.open()
            await refused.of("database or disk is full")
            with pytest.raises(StorageFull):
                await speak(studio, user)
            disk.clear()
        done = await speech_over(studio, synthesis)
        assert done.status is SynthesisStatus.DONE
        assert done.seconds == pytest.approx(0.3)
        await workflow_over(synthesis.id)


async def test_a_checkpoint_that_finds_no_room_is_not_lost(
    on_disk: StudioSettings,
    disk: Disk,
    providers: ProviderRegistry,
    carrier: ScriptedCarrier,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DBOS would give the workflow up, and leave it as one that still runs."""
    monkeypatch.setattr("studio.blobs.ROOM", 0)
    speak_all = Speaking.speak

    async def speak_and_fill(self: Speaking, synthesis_id: str) -> None:
        await speak_all(self, synthesis_id)
        disk.fill()

    monkeypatch.setattr(Speaking, "speak", speak_and_fill)
    async with open_studio(on_disk, providers, carrier) as studio:
        user = await new_user(studio)
        with refusals() as refused:
            synthesis = await speak(studio, user)
            await refused.of("operation_outputs")
            monkeypatch.setattr(Speaking, "speak", speak_all)
            disk.clear()
        await workflow_over(synthesis.id)


@pytest.fixture
async def service(disk: Disk) -> AsyncIterator[Service]:
    async with running_service(disk.folder / "data") as running:
        yield running


@pytest.mark.usefixtures("little_room")
async def test_who_asks_for_something_is_told_before_anything_begins(service: Service, disk: Disk) -> None:
    person = await service.person()
    clone = 'mutation { startClone(input: {name: "Me"}) { clone { status } userErrors { code } } }'
    low = GlobalID("Voice", "tone:low")
    say = f'mutation {{ synthesize(input: {{voiceId: "{low}", text: "one"}}) {{ userErrors {{ code }} }} }}'
    disk.fill()
    for mutation in (clone, say):
        (error,) = await service.errors(mutation, person)
        assert error["extensions"] == {"code": "STORAGE_FULL"}
        assert "room" in error["message"]
    assert service.carrier.placed == []
    ready = await service.http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["storage"] == "only 0 MiB are free in DATA_DIR"
    disk.clear()
    assert (await service.http.get("/readyz")).status_code == 200
    assert (await service.ask(say, person))["synthesize"] == {"userErrors": []}


async def test_a_caller_hears_words(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twilio is asked to come again; and at its last try, the fallback, the caller is told."""
    monkeypatch.setattr("telephony.webhooks._AWAY_SECONDS", 0.3)
    async with front_of(StudioSettings(disk.folder / "data"), telephony_settings()) as phones:
        call = await phones.place()
        disk.fill()
        assert (await call.send(call.urls.answer, {"CallStatus": "in-progress"})).status_code == 500
        goodbye = await call.fail_over(call.urls.answer)
        assert goodbye.verbs[-1] == "Hangup"
        assert goodbye.words
        disk.clear()
        assert isinstance(await call.answer(), Heard)
        assert (await call.clone()).status is CloneStatus.ANSWERED


async def test_a_blob_is_whole_or_not_there(disk: Disk, rows_only: Studio) -> None:
    blobs = Blobs(disk.folder / "blobs", rows_only.database)
    await blobs.put(b"first", "wav")
    before = {path: path.read_bytes() for path in disk.folder.rglob("*") if path.is_file()}
    with pytest.raises(StorageFull):
        await blobs.put(bytes(9 << 20), "wav")
    assert {path: path.read_bytes() for path in disk.folder.rglob("*") if path.is_file()} == before
    await blobs.put(bytes(4 << 20), "wav")
