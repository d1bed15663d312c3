"""Phone calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import strawberry

from api.context import Info
from api.schema.errors import Failure, Payload, mutation
from api.schema.fields import field, subscription
from api.schema.nodes import Connection, Node, global_id, key_of, parse_id
from api.schema.scalars import PhoneNumber, describe
from studio import tables
from studio.states import CallDirection, CallPurpose, CallStatus

describe(
    CallPurpose,
    name="CallPurpose",
    description="What a call is for.",
    CLONE="To record a voice that is to be cloned.",
    GUIDED_CLONE="The same, by a script that is read out sentence by sentence.",
    CONVERSATION="To talk with the assistant.",
)
describe(
    CallDirection,
    name="CallDirection",
    description="Who calls whom.",
    OUTBOUND="The service calls a person.",
    INBOUND="A person calls the service.",
)
describe(
    CallStatus,
    name="CallStatus",
    description="How a call stands. It only ever moves forward.",
    QUEUED="It will be placed in a moment.",
    INITIATED="The carrier has been asked to place it.",
    RINGING="The phone rings.",
    IN_PROGRESS="Somebody has answered.",
    COMPLETED="It was answered, and is over.",
    BUSY="The line was busy.",
    NO_ANSWER="Nobody answered.",
    FAILED="It could not be connected.",
    CANCELED="It was ended before somebody answered.",
)


@strawberry.type(description="A phone call.")
class Call(Node):
    sid: str | None = strawberry.field(description="The carrier's own id.")
    purpose: CallPurpose = strawberry.field(description="What it is for.")
    direction: CallDirection = strawberry.field(description="Who calls whom.")
    phone: PhoneNumber = strawberry.field(description="The number of the person.")
    status: CallStatus = strawberry.field(description="How it stands.")
    confirmation_code: str | None = strawberry.field(
        description="Digits to key in on the phone instead of 1, proving that the number is yours; "
        "null once it is proven."
    )
    started_at: datetime | None = strawberry.field(description="When it was answered.")
    ended_at: datetime | None = strawberry.field(description="When it was over.")
    seconds: float | None = strawberry.field(description="How long it lasted from answer to end, once it is over.")
    failure: Failure | None = strawberry.field(description="Why it ended badly, if it did.")

    @classmethod
    def of(cls, row: tables.Call) -> Call:
        return cls(
            id=global_id("Call", row.id),
            sid=row.sid,
            purpose=row.purpose,
            direction=row.direction,
            phone=PhoneNumber(row.phone),
            status=row.status,
            confirmation_code=row.confirmation_code,
            started_at=row.started_at,
            ended_at=row.ended_at,
            seconds=row.seconds,
            failure=Failure.of(row),
        )


CallConnection = Connection[Call]


async def find_call(info: Info, owner: str, key: str) -> Call | None:
    row = await info.context.studio.calls.get(owner, key)
    return Call.of(row) if row is not None else None


@strawberry.type
class CallQueries:
    @field("One of the viewer's calls.")
    async def call(self, info: Info, id: strawberry.ID) -> Call | None:
        owner = await info.context.owner()
        kind, key = parse_id(id)
        return await find_call(info, owner.id, key) if kind == "Call" else None


@strawberry.input(description="Which call to end.")
class HangUpInput:
    id: strawberry.ID = strawberry.field(description="The call's id.")


@strawberry.type(description="The answer to `hangUp`.")
class HangUpPayload(Payload):
    call: Call | None = strawberry.field(default=None, description="The call; it is over a moment later.")


@strawberry.type
class CallMutations:
    @mutation(HangUpPayload, "End a call, whether it rings or is in progress. What it was for is canceled.")
    async def hang_up(self, info: Info, input: HangUpInput) -> HangUpPayload:
        owner = await info.context.owner()
        row = await info.context.studio.calls.hang_up(owner.id, key_of("Call", input.id))
        return HangUpPayload(call=Call.of(row))


@strawberry.type
class CallSubscriptions:
    @subscription("The present state at once, then every change; completes when the call is over.")
    async def call(self, info: Info, id: strawberry.ID) -> AsyncIterator[Call]:
        owner = await info.context.owner()
        rows = info.context.studio.calls.follow(owner.id, key_of("Call", id))
        async for row in info.context.while_signed_in(rows):
            yield Call.of(row)
