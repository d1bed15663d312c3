"""Errors as data: mistakes that the caller can mend, and why something ended badly later on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import strawberry
from strawberry.extensions.field_extension import AsyncExtensionResolver, FieldExtension

from api.errors import field_path
from api.schema.fields import F
from api.schema.scalars import describe
from studio.mistakes import Mistake, MistakeCode
from studio.tables import Failing

describe(
    MistakeCode,
    name="UserErrorCode",
    description="What kind of mistake it is. Codes are stable; more may be added.",
    INVALID="The value cannot be used; the message says why.",
    REQUIRED="A value is missing.",
    NOT_FOUND="There is no such thing, or it belongs to somebody else.",
    TAKEN="Somebody else has it already.",
    TOO_LONG="The value is longer than allowed.",
    NOT_ALLOWED="This may not be done, or the password is wrong.",
    NOT_CONFIGURED="The operator has to set or start something first; the message names it.",
    UNPROVEN_NUMBER="The phone number has to be proven yours first.",
    COUNTRY_NOT_ALLOWED="Phones of that country are not called.",
    RATE_LIMITED="Too many tries; the message says how long to wait.",
    QUOTA="An allowance is used up.",
    AT_CAPACITY="Everything is busy: come again a little later.",
    WRONG_STATE="It is too late or too early for this.",
)


@strawberry.type(description="A mistake that the caller can mend.")
class UserError:
    field: list[str] | None = strawberry.field(
        description="The path of the input field that it is about, if it is one."
    )
    message: str = strawberry.field(description="What is wrong and what to do, in words for a person.")
    code: MistakeCode = strawberry.field(description="For programs.")

    @classmethod
    def of(cls, mistake: Mistake) -> UserError:
        return cls(field=field_path(mistake), message=mistake.message, code=mistake.code)


@strawberry.type(description="Why something ended badly later on.")
class Failure:
    code: str = strawberry.field(description="Stable and documented.")
    message: str = strawberry.field(description="What happened and what a person can do about it.")
    retryable: bool = strawberry.field(description="Whether the same may work another time.")

    @classmethod
    def of(cls, row: Failing) -> Failure | None:
        if row.failure_code is None:
            return None
        return cls(code=row.failure_code, message=row.failure_message or "", retryable=row.failure_retryable)


@strawberry.type
class Payload:
    """What every mutation answers with."""

    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend; empty when it was done."
    )


class _MistakesAsUserErrors(FieldExtension):
    def __init__(self, payload: type[Payload]) -> None:
        self._payload = payload

    async def resolve_async(
        self, next_: AsyncExtensionResolver, source: Any, info: strawberry.Info, **kwargs: Any
    ) -> Any:
        try:
            return await next_(source, info, **kwargs)
        except Mistake as mistake:
            return self._payload(user_errors=[UserError.of(mistake)])


def mutation(payload: type[Payload], description: str) -> Callable[[F], F]:
    """A mutation whose `Mistake`s become `userErrors` of its payload."""
    decorator = strawberry.mutation(description=description, extensions=[_MistakesAsUserErrors(payload)])
    return cast(Callable[[F], F], decorator)
