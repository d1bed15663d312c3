"""kill -9, in the middle of things: nothing is lost, and nothing done twice."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlmodel import col, select

from providers.manager import ProviderRegistry
from studio.blobs import Blobs
from studio.database import Database, Unit
from studio.desk import AskConsent, Choose, Desk, Goodbye, GoodbyeReason, Hold, Record, Step
from studio.hub import ChangeHub
from studio.inbox import Inbox
from studio.states import CallPurpose, CallStatus, CloneStatus, SynthesisStatus
from studio.tables import Call, Clone, Recording, Segment, Synthesis, User, Voice, now
from tests.studio.people import PATIENCE
from tests.studio.process import RECORDING

ROOT = Path(__file__).parent.parent.parent
SID = "CA-of-the-only-call"


class Story:
    """What outlives the processes: the database, what they wrote on their outputs, and the person on the phone."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self.data = data
        self.database = Database(url, ChangeHub())
        self.lines: list[str] = []
        self.user = User(email="ada@example.com", password_hash="", phone="+14155550101", phone_proven_at=now())
        self.call = Call(user_id=self.user.id, purpose=CallPurpose.CLONE, phone="+14155550101")
        self.clone = Clone(user_id=self.user.id, name="Me", provider="tone", call_id=self.call.id)
        self.synthesis = Synthesis(user_id=self.user.id, voice_key="tone:low", text="one two three four")
        self._inbox = Inbox(self.database)
        self.desk = Desk(self.database, Blobs(data / "blobs", self.database), ProviderRegistry())

    async def begin(self) -> None:
        """The rows of a clone and a synthesis, whose process died before it started their workflows."""
        await self.database.open()
        async with self.database.transaction() as unit:
            for row in (self.user, self.call, self.clone, self.synthesis):
                unit.add(row)
                await unit.flush()

    @asynccontextmanager
    async def process(self, *held: str) -> AsyncIterator[asyncio.StreamReader]:
        """A process, killed when the context is left."""
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.studio.process", self.url, str(self.data), *held),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert started.stdout is not None
        try:
            yield started.stdout
        finally:
            started.kill()
            rest, _ = await started.communicate()
            self.lines += rest.decode().splitlines()

    async def reads(self, output: asyncio.StreamReader, *wanted: str) -> None:
        """Read on until each of these lines has come."""
        left = set(wanted)
        async with asyncio.timeout(PATIENCE):
            while left:
                line = (await output.readline()).decode().strip()
                assert line, "the process has ended"
                self.lines.append(line)
                left.discard(line)

    async def webhook(self, act: Callable[[Unit], Awaitable[Step]]) -> Step:
        async with self._inbox.receive(self.call.id, "step", f"{self.call.id}/{now()}", {}) as webhook:
            return await act(webhook.unit)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """No process tells this one of changes on SQLite: look again and again."""
        async with asyncio.timeout(PATIENCE):
            while not await holds():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def clone_is(self, status: CloneStatus) -> bool:
        async with self.database.reading() as session:
            return (await session.get_one(Clone, self.clone.id)).status is status

    async def spoken(self) -> bool:
        async with self.database.reading() as session:
            return (await session.get_one(Synthesis, self.synthesis.id)).status is SynthesisStatus.DONE


async def test_killed_and_started_again(database_url: str, tmp_path: Path) -> None:
    story = Story(database_url, tmp_path / "data")
    call, clone, desk = story.call.id, story.clone.id, story.desk
    await story.begin()

    # Killed after the carrier was asked to place the call and before its answer was noted; and in mid-sentence.
    async with story.process("placed", "spoken two") as output:
        await story.reads(output, f"placed {call}", "spoken two")

    # The call rings all the same: its callbacks say so. Killed while the caller hears the question.
    async with story.process("spoken three") as output:
        await story.reads(output, "spoken three")
        question = await story.webhook(lambda unit: desk.answered(unit, call, SID))
        assert question == AskConsent("Me", code_digits=None, attempt=1)

    # Killed while the provider makes the voice.
    async with story.process("cloned") as output:
        await story.reads(output, "ready")
        assert isinstance(await story.webhook(lambda unit: desk.consent(unit, call, "1", 1, lambda _: "…")), Record)
        taken = await story.webhook(lambda unit: desk.take_finished(unit, call, RECORDING, 2.0, "1"))
        assert taken == Hold(waited=0)
        async with story._inbox.receive(call, "recording", "recording", {}) as webhook:
            await desk.recording_status(webhook.unit, call, RECORDING, available=True)

        async def offered() -> bool:
            return isinstance(await story.webhook(lambda unit: desk.review(unit, call, 0)), Choose)

        await story.until(offered)
        assert await story.webhook(lambda unit: desk.choice(unit, call, "1", 1)) == Goodbye(GoodbyeReason.KEPT)
        async with story._inbox.receive(call, "status", "completed", {}) as webhook:
            await desk.call_status(webhook.unit, call, SID, CallStatus.COMPLETED)
        await story.reads(output, f"cloned {clone}")
        assert await story.clone_is(CloneStatus.CLONING)

    async with story.process() as output:
        await story.reads(output, f"cloned {clone}")
        await story.until(lambda: story.clone_is(CloneStatus.READY))
        await story.until(story.spoken)

    assert [line for line in story.lines if line.startswith("plac")] == [f"placing {call}", f"placed {call}"]
    async with story.database.reading() as session:
        (voice,) = (await session.exec(select(Voice))).all()
        (take,) = (await session.exec(select(Recording))).all()
        segments = (await session.exec(select(Segment).order_by(col(Segment.number)))).all()
    assert (voice.clone_id, voice.deleted_at) == (clone, None)
    assert (take.sid, take.kept) == (RECORDING, True)
    # Every word once, one after the other, though three processes spoke.
    assert [segment.number for segment in segments] == [1, 2, 3, 4]
    assert [segment.start_sample for segment in segments] == [0, 2400, 4800, 7200]
    assert [segment.samples for segment in segments] == [2400] * 4
    await story.database.aclose()
