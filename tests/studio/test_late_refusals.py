"""A call that the carrier had accepted, and then did not put through."""

from __future__ import annotations

from studio.mistakes import FailureCode
from studio.states import CallStatus, CloneStatus
from studio.studio import Studio
from studio.tables import User
from tests.studio.caller import ring
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import clone_when


async def test_the_carriers_reason_is_told_of_call_and_clone(
    studio: Studio, carrier: ScriptedCarrier, user: User
) -> None:
    clone, caller = await ring(studio, carrier, user)
    why = (FailureCode.CARRIER_ACCOUNT, "Allow this country in the console.")
    await caller.webhook(
        "status",
        lambda unit: studio.desk.call_status(unit, caller.call_id, caller.sid, CallStatus.FAILED, why=why),
    )
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert (failed.failure_code, failed.failure_message) == why
    assert not failed.failure_retryable
    call = await caller.row()
    assert (call.failure_code, call.failure_message) == why
