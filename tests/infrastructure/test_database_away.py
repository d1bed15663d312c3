"""PostgreSQL, stopped and started again, or cutting everybody off, in the middle of everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.settings import Settings
from providers.contract import SpeechOptions
from providers.manager import ProviderRegistry
from studio.calling import CallTimes
from studio.desk import Choose
from studio.speaking import Speaking
from studio.speech import SpeechPiece
from studio.states import AudioFormat, CloneStatus, SynthesisStatus
from studio.studio import Studio, StudioSettings, open_studio
from telephony.settings import TelephonySettings
from tests.api.service import serving
from tests.infrastructure.server import Server
from tests.infrastructure.troubles import refusals, voices
from tests.providers.tone import ToneProvider
from tests.studio.caller import Caller, ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, clone_when, new_user, workflow_over
from tests.studio.sounds import spoken


@pytest.fixture
def settings(settings: StudioSettings, server: Server) -> StudioSettings:
    patient = CallTimes(poll=0.5, fetch=30.0, late=5.0, uncertain=30.0)
    return replace(settings, database_url=server.url, call_times=patient)


@pytest.fixture
async def studio(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> AsyncIterator[Studio]:
    async with open_studio(settings, providers, carrier) as opened:
        yield opened


async def test_a_clone_outlives_restarts_at_every_point(
    studio: Studio, server: Server, carrier: ScriptedCarrier, provider: ToneProvider
) -> None:
    user = await new_user(studio, "+14155550101", proven=True)
    seen: list[CloneStatus] = []

    carrier.placing.hold()
    clone = await studio.clones.start(user.id, "Me")

    async def follow() -> None:
        seen.extend([row.status async for row in studio.clones.follow(user.id, clone.id)])

    following = asyncio.create_task(follow())
    with refusals() as refused:
        await asyncio.wait_for(carrier.placing.reached(), PATIENCE)
        async with server.away():  # between the intent and the order
            carrier.placing.open()
            await refused.of("connection")
        call = await studio.calls.get(user.id, str(clone.call_id))
        async for call in studio.calls.follow(user.id, str(clone.call_id)):
            if call.sid is not None:
                break
        assert call is not None
        assert call.sid is not None
        caller = Caller(studio, carrier, clone, call.sid)
        await caller.agree()

        carrier.fetching.hold()
        await caller.speak(spoken())
        await asyncio.wait_for(carrier.fetching.reached(), PATIENCE)
        async with server.away():  # while the recording is brought over
            carrier.fetching.open()
            await refused.of("connection")
        assert isinstance(await caller.listened(), Choose)

        provider.cloning.hold()
        await caller.choose("1")
        await server.cut_everybody_off()
        await caller.hang_up()
        await asyncio.wait_for(provider.cloning.reached(), PATIENCE)
        async with server.away():  # while the voice is made
            provider.cloning.open()
            await refused.of("connection")
    await clone_when(studio, clone, CloneStatus.READY)
    await asyncio.wait_for(following, PATIENCE)
    assert seen == [status for status in CloneStatus if status in seen], "in order, and each once"
    assert seen[-1] is CloneStatus.READY
    assert len(carrier.orders) == 1
    assert len(await voices(studio)) == 1
    assert {request.label for request in provider.cloned} == {clone.id}
    await workflow_over(clone.id)
    assert carrier.recordings == {}


async def test_speech_and_who_listens_outlive_a_restart(studio: Studio, server: Server, provider: ToneProvider) -> None:
    user = await new_user(studio)
    provider.speaking.hold()
    provider.speaking.let(1)
    started = await studio.speech.start(user.id, "tone:low", "one two three", AudioFormat.WAV, SpeechOptions())
    heard: list[int] = []

    async def listen() -> None:
        events = studio.speech.follow(user.id, started.id)
        heard.extend([event.cursor async for event in events if isinstance(event, SpeechPiece)])

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
    with refusals() as refused:
        async with server.away():
            provider.speaking.open()
            await refused.of("connection")
    await asyncio.wait_for(listening, PATIENCE)
    assert heard == [1, 2, 3]
    done = await studio.speech.get(user.id, started.id)
    assert done is not None
    assert done.status is SynthesisStatus.DONE
    assert done.seconds == pytest.approx(0.3)


async def test_a_checkpoint_that_finds_nobody_is_not_lost(
    studio: Studio, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DBOS waits for servers that refuse a connection in one way, and gives the workflow up where it is another."""
    speak = Speaking.speak

    async def speak_and_stop(self: Speaking, synthesis_id: str) -> None:
        await speak(self, synthesis_id)
        await server.stop()

    monkeypatch.setattr(Speaking, "speak", speak_and_stop)
    user = await new_user(studio)
    with refusals() as refused:
        synthesis = await studio.speech.start(user.id, "tone:low", "one", AudioFormat.WAV, SpeechOptions())
        await refused.of("connection")
        monkeypatch.setattr(Speaking, "speak", speak)
        await server.start()
    await workflow_over(synthesis.id)


async def test_clients_are_told_and_nothing_hangs(studio: Studio, server: Server, tmp_path: Path) -> None:
    """Also not a health check that is asked again and again."""
    user = await new_user(studio)
    _, token = await studio.accounts.create_token(user.id, "tests")
    app = create_app(Settings(data_dir=tmp_path), TelephonySettings(), studio=studio)
    headers = {"Authorization": f"Bearer {token}"}
    query = {"query": "{ viewer { email } }"}
    async with (
        serving(app, Settings(data_dir=tmp_path)) as (_, url),
        httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE) as client,
    ):
        async with server.away():
            answers = await asyncio.gather(*(client.get("/readyz") for _ in range(30)))
            assert {answer.status_code for answer in answers} == {503}
            assert answers[0].json()["database"] == "cannot be reached (OperationalError)"
            refused = await client.post("/graphql", json=query)
            assert refused.status_code == 503
            assert refused.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
            assert (await client.get("/healthz")).status_code == 200
        async with asyncio.timeout(PATIENCE):
            while not (await client.get("/readyz")).is_success:  # noqa: ASYNC110  (it is asked like this)
                await asyncio.sleep(0.05)
        assert (await client.post("/graphql", json=query)).json()["data"]["viewer"] == {"email": user.email}


async def test_it_can_be_stopped_while_the_server_is_away(
    settings: StudioSettings,
    server: Server,
    providers: ProviderRegistry,
    provider: ToneProvider,
    carrier: ScriptedCarrier,
) -> None:
    async with open_studio(settings, providers, carrier) as studio:
        user = await new_user(studio, "+14155550101", proven=True)
        clone, _ = await ring(studio, carrier, user)
        provider.speaking.hold()
        await studio.speech.start(user.id, "tone:low", "one", AudioFormat.WAV, SpeechOptions())
        await asyncio.wait_for(provider.speaking.reached(), PATIENCE)
        await server.stop()
    await server.start()
    async with open_studio(settings, providers, carrier) as studio:
        row = await studio.clones.get(user.id, clone.id)
        assert row is not None
        assert row.status is CloneStatus.CALLING
