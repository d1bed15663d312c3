"""The webhooks in front of a real studio, calls in any state, and a Twilio that goes where our documents send it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urldefrag, urlencode
from xml.etree import ElementTree

import httpx
import uvicorn
from fastapi import FastAPI
from sqlmodel import SQLModel, select
from starlette.types import ASGIApp
from twilio.request_validator import RequestValidator

from providers.manager import ProviderRegistry
from studio.database import Database
from studio.hub import ChangeHub
from studio.mistakes import FailureCode
from studio.states import CallPurpose, CallStatus, CloneStatus
from studio.studio import Studio, StudioSettings
from studio.tables import Call, Clone, Recording, User, new_id, now
from telephony.carrier import TwilioCarrier
from telephony.exchange.app import listen
from telephony.settings import TelephonySettings
from telephony.urls import CallUrls
from telephony.webhooks import router
from tests.telephony.exchange.harness import InProcess, served

ACCOUNT = "AC" + "1" * 32
TOKEN = "a-very-secret-token"
BASE = "https://voices.example.com"
PHONE = "+14155552671"
DATABASE = "deadringer.sqlite"
ONE, TWO = "RE" + "1" * 32, "RE" + "2" * 32
Row = TypeVar("Row", bound=SQLModel)
Wrapper = Callable[[ASGIApp], ASGIApp]


def telephony_settings(**more: str) -> TelephonySettings:
    given = {
        "twilio_account_sid": ACCOUNT,
        "twilio_auth_token": TOKEN,
        "twilio_caller_id": "+14155550100",
        "public_base_url": BASE,
    }
    return TelephonySettings.model_validate({**given, **more})


class Heard:
    """A document of ours, as Twilio understands it."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/xml")
        self.text = answer.text
        self._root = ElementTree.fromstring(answer.text)

    @property
    def words(self) -> str:
        return " ".join(said.text or "" for said in self._root.iter("Say"))

    @property
    def verbs(self) -> list[str]:
        return [verb.tag for verb in self._root]

    @property
    def gather(self) -> str:
        return self._attribute("Gather", "action")

    @property
    def record(self) -> str:
        return self._attribute("Record", "action")

    @property
    def redirect(self) -> str:
        return self._text("Redirect")

    @property
    def play(self) -> str:
        return self._text("Play")

    def _attribute(self, verb: str, name: str) -> str:
        element = self._root.find(f".//{verb}")
        assert element is not None, self.text
        return element.attrib[name]

    def _text(self, verb: str) -> str:
        element = self._root.find(f".//{verb}")
        assert element is not None, self.text
        return element.text or ""


@dataclass
class CallUnderTest:
    """One call: what Twilio sends, and what our rows say."""

    studio: Studio
    client: httpx.AsyncClient
    call_id: str
    clone_id: str
    sid: str = field(default_factory=lambda: "CA" + new_id())
    token: str = TOKEN
    base: str = BASE

    @property
    def urls(self) -> CallUrls:
        return CallUrls(self.base, self.call_id)

    async def send(
        self, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A webhook as Twilio sends it, signed; `headers` in place of its own."""
        url = urldefrag(url).url
        whole = {"AccountSid": ACCOUNT, "CallSid": self.sid, "From": "+14155550100", "To": PHONE, **(form or {})}
        signature = RequestValidator(self.token).compute_signature(url, whole)
        sent = {
            "X-Twilio-Signature": signature,
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        return await self.client.post(url, content=urlencode(whole), headers=sent)

    async def answer(self) -> Heard:
        return Heard(await self.send(self.urls.answer, {"CallStatus": "in-progress"}))

    async def press(self, heard: Heard, digits: str) -> Heard:
        """The keys pressed in a <Gather>, or with "" none."""
        return Heard(await self.send(heard.gather, {"Digits": digits}))

    async def agree(self) -> Heard:
        return await self.press(await self.answer(), "1")

    async def speak(self, heard: Heard, recording: str, seconds: int = 25, digits: str = "1") -> Heard:
        """Something said into a <Record>."""
        form = {"RecordingSid": recording, "RecordingDuration": str(seconds), "Digits": digits}
        return Heard(await self.send(heard.record, {**form, "RecordingUrl": "https://evil.example.com/RE1"}))

    async def go_on(self, heard: Heard) -> Heard:
        """Where a document redirects to."""
        return Heard(await self.send(heard.redirect))

    async def report(self, status: str, **form: str) -> httpx.Response:
        return await self.send(self.urls.status, {"CallStatus": status, **form})

    async def fail_over(self, failed: str, code: int = 11200) -> Heard:
        """Twilio could not get the document at `failed`, or not carry it out."""
        return Heard(await self.send(self.urls.fallback, {"ErrorCode": str(code), "ErrorUrl": failed}))

    async def report_answered_by(self, who: str) -> httpx.Response:
        return await self.send(self.urls.answered_by, {"AnsweredBy": who, "MachineDetectionDuration": "3500"})

    async def report_recording(self, recording: str, status: str = "completed") -> httpx.Response:
        return await self.send(self.urls.recording, {"RecordingSid": recording, "RecordingStatus": status})

    async def listened(self, speech_seconds: float, problem: FailureCode | None = None, sound: bytes = b"") -> None:
        """As the workflow does: the newest take has been fetched and listened to."""
        blob = await self.studio.blobs.put(sound, "wav") if sound else None
        async with self.studio.database.transaction() as unit:
            take = (await self.takes())[-1]
            row = await unit.get_one(Recording, take.id)
            row.blob, row.speech_seconds, row.problem, row.judged_at = blob, speech_seconds, problem, now()

    async def rows(self, table: type[Row]) -> list[Row]:
        async with self.studio.database.reading() as session:
            return list((await session.exec(select(table))).all())

    async def takes(self) -> list[Recording]:
        return sorted(await self.rows(Recording), key=lambda take: take.take)

    async def call(self) -> Call:
        async with self.studio.database.reading() as session:
            return await session.get_one(Call, self.call_id)

    async def clone(self) -> Clone:
        async with self.studio.database.reading() as session:
            return await session.get_one(Clone, self.clone_id)


@dataclass
class Front:
    """The studio, and an HTTP client that reaches it through a socket."""

    studio: Studio
    client: httpx.AsyncClient
    port: int

    async def place(
        self, code: str | None = None, clone: CloneStatus = CloneStatus.RINGING, name: str = "My voice"
    ) -> CallUnderTest:
        """A call that has been placed, whose id at Twilio we may not have heard of yet."""
        user = User(email=f"{new_id()}@example.com", password_hash="-")
        async with self.studio.database.transaction() as unit:
            unit.add(user)
            await unit.flush()
            call = Call(
                user_id=user.id,
                purpose=CallPurpose.CLONE,
                phone=PHONE,
                status=CallStatus.QUEUED,
                confirmation_code=code,
                placing_at=now(),
            )
            unit.add(call)
            await unit.flush()
            row = Clone(user_id=user.id, name=name, provider="tone", status=clone, call_id=call.id)
            unit.add(row)
        return CallUnderTest(self.studio, self.client, call.id, row.id)


async def make_empty_studio(data: Path) -> None:
    """Migrating takes longer than most tests: they begin with a copy of this."""
    database = Database(f"sqlite:///{data / DATABASE}", ChangeHub())
    await database.open()
    await database.aclose()


class Door(httpx.AsyncBaseTransport):
    """What is sent to the public address arrives at a socket of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._within = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return await self._within.handle_async_request(request)

    async def aclose(self) -> None:
        await self._within.aclose()


@asynccontextmanager
async def front(data: Path, empty: Path, settings: TelephonySettings) -> AsyncIterator[Front]:
    """The studio without its workflows: what the caller does is all that happens. `empty` comes from
    `make_empty_studio`."""
    shutil.copyfile(empty / DATABASE, data / DATABASE)
    async with front_of(StudioSettings(data_dir=data), settings) as opened:
        yield opened


@asynccontextmanager
async def front_of(
    chosen: StudioSettings, settings: TelephonySettings, wrapper: Wrapper = lambda app: app
) -> AsyncIterator[Front]:
    """The same with a database of any kind, and with something that stands before the application."""
    async with TwilioCarrier(settings) as carrier:
        studio = Studio(chosen, ProviderRegistry(), carrier)
        await studio.database.open()
        app = FastAPI()
        app.include_router(router(studio, settings))
        listening, _ = listen("127.0.0.1", 0)
        door = Door(listening.getsockname()[1])
        server = InProcess(uvicorn.Config(wrapper(app), lifespan="off", log_level="critical"))
        try:
            async with served(server, listening), httpx.AsyncClient(transport=door, base_url=BASE) as client:
                yield Front(studio, client, door.port)
        finally:
            await studio.database.aclose()
