"""The webhooks in front of a real studio, calls in any state, and a Twilio that goes where our documents send it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx
from fastapi import FastAPI
from sqlmodel import SQLModel, select
from twilio.request_validator import RequestValidator

from providers.manager import ProviderRegistry
from studio.database import Database
from studio.hub import ChangeHub
from studio.mistakes import FailureCode
from studio.states import CallPurpose, CallStatus, CloneStatus
from studio.studio import Studio, StudioSettings
from studio.tables import Call, Clone, Recording, User, new_id, now
from telephony.carrier import TwilioCarrier
from telephony.settings import TelephonySettings
from telephony.urls import CallUrls
from telephony.webhooks import router

ACCOUNT = "AC" + "1" * 32
TOKEN = "a-very-secret-token"
BASE = "https://voices.example.com"
PHONE = "+14155552671"
DATABASE = "deadringer.sqlite"
Row = TypeVar("Row", bound=SQLModel)


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

    @property
    def urls(self) -> CallUrls:
        return CallUrls(BASE, self.call_id)

    async def send(
        self, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A webhook as Twilio sends it, signed; `headers` in place of its own."""
        whole = {"AccountSid": ACCOUNT, "CallSid": self.sid, "From": "+14155550100", "To": PHONE, **(form or {})}
        signature = RequestValidator(self.token).compute_signature(url, whole)
        sent = {
            "X-Twilio-Signature": signature,
            "Content-Type": "application/x-www-form-urlencoded",
            "I-Twilio-Idempotency-Token": new_id(),
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
    """The studio and the HTTP client in front of it."""

    studio: Studio
    client: httpx.AsyncClient

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


@asynccontextmanager
async def front(data: Path, empty: Path, settings: TelephonySettings) -> AsyncIterator[Front]:
    """The studio without its workflows: what the caller does is all that happens. `empty` comes from
    `make_empty_studio`."""
    shutil.copyfile(empty / DATABASE, data / DATABASE)
    async with TwilioCarrier(settings) as carrier:
        studio = Studio(StudioSettings(data_dir=data), ProviderRegistry(), carrier)
        await studio.database.open()
        app = FastAPI()
        app.include_router(router(studio, settings))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        try:
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                yield Front(studio, client)
        finally:
            await studio.database.aclose()
