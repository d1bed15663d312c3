"""SQLite, and another process that holds the lock for longer than anybody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from strawberry.relay import GlobalID

from studio.cloning import clone_workflow
from studio.states import CloneStatus
from studio.studio import Studio, StudioSettings
from studio.tables import User
from tests.api.service import Service, running_service
from tests.infrastructure.troubles import locked, refusals, voices
from tests.providers.tone import ToneProvider
from tests.studio.people import PATIENCE, clone_when, new_take, workflow_over
from tests.telephony.calls import front_of, telephony_settings


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.database._SQLITE_BUSY_MS", 50)


async def test_a_clone_waits_for_its_turn(studio: Studio, user: User, provider: ToneProvider) -> None:
    provider.cloning.hold()
    clone = await new_take(studio, user, CloneStatus.CLONING)
    await studio.workflows.start(clone_workflow, clone.id)
    await asyncio.wait_for(provider.cloning.reached(), PATIENCE)
    with refusals() as refused, locked(studio.settings.data_dir / "deadringer.sqlite"):
        provider.cloning.open()
        for _ in range(3):
            await refused.of("database is locked")
    await clone_when(studio, clone, CloneStatus.READY)
    await workflow_over(clone.id)
    assert len(await voices(studio)) == 1
    assert {request.label for request in provider.cloned} == {clone.id}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path) as running:
        yield running


async def test_who_asks_for_something_is_told_and_may_ask_again(service: Service) -> None:
    person = await service.person()
    low = GlobalID("Voice", "tone:low")
    say = f'mutation {{ synthesize(input: {{voiceId: "{low}", text: "one"}}) {{ userErrors {{ code }} }} }}'
    with locked(service.settings.data_dir / "deadringer.sqlite"):
        (error,) = await service.errors(say, person)
        assert error["extensions"] == {"code": "UNAVAILABLE"}
        assert "Try again" in error["message"]
        assert (await service.ask("{ viewer { email } }", person))["viewer"] == {"email": person.email}
        assert (await service.http.get("/readyz")).status_code == 200, "it can be read"
    assert (await service.ask(say, person))["synthesize"] == {"userErrors": []}


async def test_a_workflow_that_cannot_be_noted_yet_is_begun_afterwards(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.workflows._START_SECONDS", 0.05)
    person = await service.person()
    with locked(service.settings.data_dir / "deadringer.sqlite.workflows"):
        synthesis = await service.speak(person, "one")
        assert service.provider.spoken == []
    await service.spoken(synthesis)
    assert len(service.provider.spoken) == 1


async def test_a_webhook_waits_and_then_twilio_comes_again(
    settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with front_of(settings, telephony_settings()) as phones:
        call = await phones.place()
        with refusals() as refused:
            with locked(settings.data_dir / "deadringer.sqlite"):
                answering = asyncio.create_task(call.answer())
                await refused.of("database is locked")
            assert (await answering).gather, "one that is over soon is waited for"
            monkeypatch.setattr("telephony.webhooks._AWAY_SECONDS", 0.1)
            with locked(settings.data_dir / "deadringer.sqlite"):
                assert (await call.report("in-progress")).status_code == 500
                goodbye = await call.fail_over(call.urls.answer)
                assert goodbye.verbs[-1] == "Hangup"
        assert (await call.report("in-progress")).status_code == 204
        assert (await call.clone()).status is CloneStatus.ANSWERED
