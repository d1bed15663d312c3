"""A voice is cloned over the telephone: the real exchange rings a scripted phone, the real SDK places the call, real
speech is recorded, and the workflow makes a voice of it. Only the provider is one of tests: it needs no models."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import pytest
import uvicorn
from fastapi import FastAPI
from sqlmodel import SQLModel, select
from starlette.types import ASGIApp

from audio.pcm import Pcm
from audio.wav import read_audio_file
from providers.manager import ProviderRegistry
from studio.calling import CallTimes
from studio.mistakes import FailureCode
from studio.states import CallStatus, CloneStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Call, Clone, Consent, ReceivedWebhook, Recording, User, Voice, now
from telephony.carrier import TwilioCarrier
from telephony.exchange.app import exchange_app, listen
from telephony.exchange.exchange import Exchange
from telephony.exchange.exchange import Settings as ExchangeSettings
from telephony.exchange.protocol import FromExchange, FromPhone, Played, Said
from telephony.exchange.scripted import Script, run_script
from telephony.script import PAUSE_SECONDS
from telephony.settings import TelephonySettings
from telephony.webhooks import router
from tests.providers.tone import ToneProvider
from tests.telephony.between import Failing, NotYet, twice
from tests.telephony.exchange.harness import ACCOUNT, CALLER, NUMBER, TOKEN, InProcess, served

SPEED = 100.0
WITHIN = 60.0  # real seconds: nothing takes that long unless it never comes
READER = Path(__file__).parents[2] / "deadringer" / "data" / "caller.flac"
Wrapper = Callable[[ASGIApp], ASGIApp]
Row = TypeVar("Row", bound=SQLModel)


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return read_audio_file(READER).cut(0, 12)


@dataclass
class Town:
    """Everything that runs."""

    studio: Studio
    exchange: str
    provider: ToneProvider
    owner: str
    heard: list[FromExchange | FromPhone] = field(default_factory=list)
    seen: list[CloneStatus] = field(default_factory=list)

    async def clone(self, script: Script) -> Clone:
        """Start a clone, be the person at the phone, and wait for its end."""
        started = await self.studio.clones.start(self.owner, "My voice", NUMBER)
        return await self.take_call(started, script)

    async def take_call(self, started: Clone, script: Script) -> Clone:
        clone = started
        async with asyncio.timeout(WITHIN):
            phone = asyncio.create_task(run_script(self.exchange, NUMBER, script, listener=self.heard.append))
            async for now_it_is in self.studio.clones.follow(self.owner, started.id):
                clone = now_it_is
                if clone.status not in self.seen:
                    self.seen.append(clone.status)
            await phone
        return clone

    @property
    def said(self) -> str:
        return " ".join(message.text for message in self.heard if isinstance(message, Said))

    async def rows(self, table: type[Row]) -> list[Row]:
        async with self.studio.database.reading() as session:
            return list((await session.exec(select(table))).all())

    async def forget_that_the_number_is_proven(self) -> None:
        async with self.studio.database.transaction() as unit:
            (await unit.get_one(User, self.owner)).phone_proven_at = None

    async def until_tidied(self, clone: Clone) -> list[Recording]:
        """The takes, once nothing of them is left at the carrier."""
        async with asyncio.timeout(WITHIN):
            with self.studio.hub.watch(f"clone:{clone.id}") as watch:
                while True:
                    takes = sorted(await self.rows(Recording), key=lambda take: take.take)
                    if all(take.deleted_there_at for take in takes):
                        return takes
                    await watch.changed(0.1)


@asynccontextmanager
async def town(
    data: Path, at_twilio: Wrapper = lambda app: app, at_ours: Wrapper = lambda app: app
) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        listening, exchange_url = listen("127.0.0.1", 0)
        settings = ExchangeSettings(ACCOUNT, TOKEN, data / "exchange", exchange_url, speed=SPEED)
        exchange = await stack.enter_async_context(Exchange(settings))
        await stack.enter_async_context(served(_server(at_twilio(exchange_app(exchange))), listening))

        our_socket, our_url = listen("127.0.0.1", 0)
        telephony = TelephonySettings.model_validate(
            {
                "twilio_account_sid": ACCOUNT,
                "twilio_auth_token": TOKEN,
                "twilio_caller_id": CALLER,
                "twilio_api_url": exchange_url,
                "public_base_url": our_url,
            }
        )
        carrier = await stack.enter_async_context(TwilioCarrier(telephony))
        provider = ToneProvider()
        providers = ProviderRegistry({provider.name: provider})
        stack.push_async_callback(providers.aclose)
        times = CallTimes(poll=1.0)
        studio = await stack.enter_async_context(
            open_studio(
                StudioSettings(data, default_clone_provider=provider.name, call_times=times), providers, carrier
            )
        )
        app = FastAPI()
        app.include_router(router(studio, telephony))
        await stack.enter_async_context(served(_server(at_ours(app)), our_socket))

        user = User(email="ann@example.com", password_hash="-", phone=NUMBER, phone_proven_at=now())
        async with studio.database.transaction() as unit:
            unit.add(user)
        yield Town(studio, exchange_url, provider, user.id)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated time runs a hundred times faster than the listening to a take: the hold loop must last for it."""
    monkeypatch.setattr("studio.desk.MAX_WAITS", 900)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path) as it:
        yield it


async def test_the_whole_story(here: Town, speech: Pcm) -> None:
    clone = await here.clone(Script(keys=("1", "1", "2", "1"), speech=(speech,)))

    assert clone.status is CloneStatus.READY
    assert here.seen[0] in (CloneStatus.REQUESTED, CloneStatus.CALLING)
    assert [status for status in CloneStatus if status in here.seen] == here.seen
    assert here.seen[-3:] == [CloneStatus.ANALYZING, CloneStatus.CLONING, CloneStatus.READY]

    for words in ("automated call", "press 1", "After the beep", "I heard", "I have your recording"):
        assert words in here.said
    assert any(isinstance(message, Played) for message in here.heard)

    [take] = await here.until_tidied(clone)
    assert take.kept
    assert take.seconds == pytest.approx(speech.seconds, abs=1.5)
    [consent], [voice], [call] = await here.rows(Consent), await here.rows(Voice), await here.rows(Call)
    assert consent.wording.startswith("Hello. This is an automated call from Deadringer.")
    assert voice.name == "My voice"
    assert (call.status, call.sid is not None) == (CallStatus.COMPLETED, True)
    assert await here.studio.carrier.recordings_of(str(call.sid)) == []
    assert len(here.provider.cloned) == 1


@pytest.mark.parametrize(
    ("pick_up", "failure", "status"),
    [
        ("busy", FailureCode.BUSY, CallStatus.BUSY),
        ("failed", FailureCode.CALL_FAILED, CallStatus.FAILED),
        ("ignore", FailureCode.NO_ANSWER, CallStatus.NO_ANSWER),
    ],
)
async def test_a_call_that_is_not_taken(
    here: Town, pick_up: Literal["busy", "failed", "ignore"], failure: FailureCode, status: CallStatus
) -> None:
    clone = await here.clone(Script(pick_up=pick_up))
    assert (clone.status, clone.failure_code) == (CloneStatus.FAILED, failure)
    assert clone.failure_message
    [call] = await here.rows(Call)
    assert call.status is status


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (Script(), FailureCode.NO_KEY_PRESSED),
        (Script(keys=("2", "3", "4")), FailureCode.NOT_AGREED),
        (Script(keys=("1",), hang_up_after="answer"), FailureCode.HUNG_UP_EARLY),
        (Script(keys=("1",), hang_up_after="consent"), FailureCode.HUNG_UP_EARLY),
        (Script(keys=("1",)), FailureCode.TOO_LITTLE_SPEECH),  # agrees, and says nothing each time
    ],
)
async def test_a_call_that_comes_to_nothing(here: Town, script: Script, failure: FailureCode) -> None:
    clone = await here.clone(script)
    assert (clone.status, clone.failure_code) == (CloneStatus.FAILED, failure)
    assert here.provider.cloned == []


async def test_the_code_of_the_app_proves_the_number(here: Town, speech: Pcm) -> None:
    await here.forget_that_the_number_is_proven()
    started = await here.studio.clones.start(here.owner, "My voice", NUMBER)
    [call] = await here.rows(Call)
    assert call.confirmation_code is not None
    script = Script(keys=(_other_than(call.confirmation_code), call.confirmation_code, "1", "1"), speech=(speech,))
    assert (await here.take_call(started, script)).status is CloneStatus.READY
    assert "4 digits" in here.said
    [user] = await here.rows(User)
    assert user.phone_proven_at is not None


async def test_the_wrong_code_three_times(here: Town) -> None:
    await here.forget_that_the_number_is_proven()
    started = await here.studio.clones.start(here.owner, "My voice", NUMBER)
    [call] = await here.rows(Call)
    wrong = _other_than(str(call.confirmation_code))
    clone = await here.take_call(started, Script(keys=(wrong,) * 4))
    assert (clone.status, clone.failure_code) == (CloneStatus.FAILED, FailureCode.WRONG_CODE)


@pytest.mark.parametrize("point", ["speaking", "recording"])
async def test_hanging_up_keeps_what_was_said_well_enough(
    here: Town, speech: Pcm, point: Literal["speaking", "recording"]
) -> None:
    clone = await here.clone(Script(keys=("1", "1"), speech=(speech,), hang_up_after=point))
    assert clone.status is CloneStatus.READY
    [take] = await here.until_tidied(clone)
    whole = speech.seconds if point == "recording" else speech.seconds / 2
    assert take.seconds == pytest.approx(whole, abs=2.0)


async def test_three_seconds_of_speech_are_recorded_again(here: Town, speech: Pcm) -> None:
    here.provider.minimum_speech = 8.0
    clone = await here.clone(Script(keys=("1", "1", "1", "1"), speech=(speech.cut(0, 3), speech)))
    assert clone.status is CloneStatus.READY
    assert "and I need about 20" in here.said
    takes = await here.until_tidied(clone)
    assert [take.problem for take in takes] == [FailureCode.TOO_LITTLE_SPEECH, None]
    assert len(here.provider.cloned) == 1


async def test_recording_again_and_ending_by_silence(here: Town, speech: Pcm) -> None:
    """The first take ends because the reader stops, the second by the key."""
    clone = await here.clone(Script(keys=("1", "", "3", "1", "1"), speech=(speech.cut(0, 10), speech)))
    assert clone.status is CloneStatus.READY
    assert "once more" in here.said
    takes = await here.until_tidied(clone)
    assert [take.kept for take in takes] == [False, True]
    assert takes[0].seconds == pytest.approx(10 + PAUSE_SECONDS, abs=1.5)


async def test_cancelling_in_the_app_ends_the_call(here: Town, speech: Pcm) -> None:
    started = await here.studio.clones.start(here.owner, "My voice", NUMBER)
    script = Script(keys=("1",) * 9, speech=(speech,))
    async with asyncio.timeout(WITHIN):
        phone = asyncio.create_task(run_script(here.exchange, NUMBER, script))
        async for clone in here.studio.clones.follow(here.owner, started.id):
            if clone.status is CloneStatus.RECORDING:
                await here.studio.clones.cancel(here.owner, clone.id)
        [end] = await phone
    assert end.status == "completed"
    [row] = await here.rows(Clone)
    assert row.status is CloneStatus.CANCELED
    assert here.provider.cloned == []


async def test_a_recording_that_is_not_there_for_a_while(tmp_path: Path, speech: Pcm) -> None:
    late = NotYet(times=2)
    async with town(tmp_path, at_twilio=late.before) as here:
        clone = await here.clone(Script(keys=("1", "1", "1"), speech=(speech,)))
        assert clone.status is CloneStatus.READY
        assert late.times == 0


async def test_every_webhook_delivered_twice(tmp_path: Path, speech: Pcm) -> None:
    async with town(tmp_path, at_ours=twice) as here:
        clone = await here.clone(Script(keys=("1", "1", "3", "1", "1"), speech=(speech.cut(0, 10), speech)))
        assert clone.status is CloneStatus.READY
        assert len(await here.until_tidied(clone)) == 2
        assert len(here.provider.cloned) == 1
        assert Counter(webhook.kind for webhook in await here.rows(ReceivedWebhook))["take"] == 2


async def test_every_webhook_is_tried_again(tmp_path: Path, speech: Pcm) -> None:
    """The first attempt at each is acted on and its answer lost, the second comes to nothing, the third is answered."""
    async with town(tmp_path, at_ours=Failing(2).before) as here:
        clone = await here.clone(Script(keys=("1", "1", "1"), speech=(speech,)))
        assert clone.status is CloneStatus.READY
        assert len(await here.until_tidied(clone)) == 1
        kinds = Counter(webhook.kind for webhook in await here.rows(ReceivedWebhook))
        assert (kinds["consent"], kinds["take"], kinds["choice"], kinds["fallback"]) == (1, 1, 1, 0)


@pytest.mark.parametrize("place", ["answer", "consent", "choice"])
async def test_a_document_that_cannot_be_had_does_not_end_the_call(tmp_path: Path, speech: Pcm, place: str) -> None:
    async with town(tmp_path, at_ours=Failing(3, place).before) as here:
        clone = await here.clone(Script(keys=("1",) * 5, speech=(speech,)))
        assert clone.status is CloneStatus.READY
        assert Counter(webhook.kind for webhook in await here.rows(ReceivedWebhook))["fallback"] == 1
        assert len(here.provider.cloned) == 1


async def test_an_answering_machine_is_hung_up_on(here: Town) -> None:
    clone = await here.clone(Script(picked_up_by="machine"))
    assert (clone.status, clone.failure_code) == (CloneStatus.FAILED, FailureCode.ANSWERING_MACHINE)
    assert await here.rows(Recording) == []
    [call] = await here.rows(Call)
    async with asyncio.timeout(WITHIN):
        [*_, call] = [each async for each in here.studio.calls.follow(here.owner, call.id)]
    assert call.status is CallStatus.COMPLETED
    assert "Goodbye" not in here.said  # it did not wait for a key


def _server(app: ASGIApp) -> InProcess:
    return InProcess(uvicorn.Config(app, lifespan="off", log_level="warning", ws="websockets-sansio"))


def _other_than(code: str) -> str:
    return "0000" if code != "0000" else "1111"
