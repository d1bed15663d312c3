"""Users, and what they wait for."""

from __future__ import annotations

import asyncio
from itertools import count

from dbos import DBOS

from studio.states import CallPurpose, CallStatus, CloneStatus
from studio.studio import Studio
from studio.tables import Artefact, Call, Clone, Recording, Synthesis, User, Voice, new_id, now
from tests.providers.tone import ARTEFACT_KIND
from tests.studio.sounds import spoken

PATIENCE = 60.0  # seconds; a test that waits longer has failed
_users = count(1)


async def new_user(studio: Studio, phone: str | None = None, proven: bool = False) -> User:
    """Somebody who is signed up already, without the slow hashing of a password."""
    user = User(
        email=f"user{next(_users)}@example.com",
        password_hash="unused",
        phone=phone,
        phone_proven_at=now() if proven else None,
    )
    async with studio.database.transaction() as unit:
        unit.add(user)
    return user


async def clone_when(studio: Studio, clone: Clone, *wanted: CloneStatus) -> Clone:
    """The clone as soon as it is in one of these states; without any, as soon as it is over."""
    async with asyncio.timeout(PATIENCE):
        async for row in studio.clones.follow(clone.user_id, clone.id):
            if row.status in wanted or (not wanted and row.status.over):
                return row
            assert not row.status.over, f"the clone is {row.status}: {row.failure_code}"
    raise AssertionError("nobody can follow a clone to its end without seeing it")


async def call_when(studio: Studio, clone: Clone, *wanted: CallStatus) -> Call:
    """The call of a clone as soon as it is in one of these states; without any, as soon as it is over."""
    assert clone.call_id is not None
    async with asyncio.timeout(PATIENCE):
        async for row in studio.calls.follow(clone.user_id, clone.call_id):
            if row.status in wanted or (not wanted and row.status.over):
                return row
    raise AssertionError("nobody can follow a call to its end without seeing it")


async def speech_over(studio: Studio, synthesis: Synthesis) -> Synthesis:
    async with asyncio.timeout(PATIENCE):
        async for _ in studio.speech.follow(synthesis.user_id, synthesis.id):
            pass
    row = await studio.speech.get(synthesis.user_id, synthesis.id)
    assert row is not None
    return row


async def workflow_over(row_id: str) -> None:
    """Wait until a workflow has done all that it has to, tidying included."""
    async with asyncio.timeout(PATIENCE):
        await (await DBOS.retrieve_workflow_async(row_id)).get_result(polling_interval_sec=0.02)


async def new_take(studio: Studio, user: User, status: CloneStatus) -> Clone:
    """A clone whose caller has hung up after a good take: its process died when it was in `status`."""
    call = Call(
        user_id=user.id,
        purpose=CallPurpose.CLONE,
        phone="+14155550101",
        sid=f"CA{new_id()}",
        status=CallStatus.COMPLETED,
        ended_at=now(),
    )
    clone = Clone(user_id=user.id, name="Me", provider="tone", call_id=call.id, status=status)
    take = Recording(
        user_id=user.id,
        clone_id=clone.id,
        take=1,
        sid=f"RE{new_id()}",
        judged_at=now(),
        kept=True,
        blob=await studio.blobs.put(spoken(), "wav"),
    )
    async with studio.database.transaction() as unit:
        await studio.blobs.claim(unit, take.blob or "")
        unit.add(call)
        await unit.flush()
        unit.add(clone)
        await unit.flush()
        unit.add(take)
    return clone


async def new_voice(studio: Studio, user: User, pitch: float = 220.0) -> Voice:
    """A voice that was cloned before, of the provider of tones."""
    artefact = Artefact(user_id=user.id, provider="tone", kind=ARTEFACT_KIND, data=str(pitch).encode())
    async with studio.database.transaction() as unit:
        unit.add(artefact)
        await unit.flush()
        voice = Voice(user_id=user.id, name="Me", provider="tone", clone_id=new_id(), artefact_id=artefact.id)
        unit.add(voice)
    return voice
