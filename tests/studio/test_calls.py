"""Who may be called, how often, and with what code."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from providers.manager import ProviderRegistry
from studio.mistakes import Mistake, MistakeCode
from studio.states import CallPurpose, CallStatus, CloneStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Call, Clone, Consent, User, now
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import call_when, new_user
from tests.studio.troubles import code_of

PHONE = "+14155550101"


@pytest.fixture
def settings(settings: StudioSettings) -> StudioSettings:
    return replace(settings, calls_per_hour=3, calls_per_day=5)


@pytest.fixture
def studio(rows_only: Studio) -> Studio:
    return rows_only


async def order(studio: Studio, user: User, phone: str) -> Call:
    async with studio.database.transaction() as unit:
        return await studio.calls.order(unit, user, phone, CallPurpose.CLONE)


async def end(studio: Studio, call: Call, ago: timedelta = timedelta(0)) -> None:
    """The call is over, and was placed so long ago."""
    async with studio.database.transaction() as unit:
        row = await unit.get_one(Call, call.id)
        row.status, row.ended_at, row.created_at = CallStatus.COMPLETED, now() - ago, now() - ago


async def called(studio: Studio, user: User, phone: str, ago: timedelta = timedelta(0)) -> Call:
    call = await order(studio, user, phone)
    await end(studio, call, ago)
    return call


async def test_a_proven_number_needs_no_code(studio: Studio, user: User) -> None:
    assert (await order(studio, user, PHONE)).confirmation_code is None


async def test_every_other_number_gets_four_digits(studio: Studio, user: User) -> None:
    unproven = await new_user(studio, "+14155550102")
    nobody = await new_user(studio)
    codes = [
        (await order(studio, user, "+14155550103")).confirmation_code,
        (await order(studio, unproven, "+14155550102")).confirmation_code,
        (await order(studio, nobody, "+14155550104")).confirmation_code,
    ]
    for code in codes:
        assert code is not None
        assert len(code) == 4
        assert code.isdecimal()


async def test_a_number_that_agreed_before_needs_no_code_unless_it_was_changed(studio: Studio, user: User) -> None:
    other = "+14155550103"
    call = await called(studio, user, other)
    async with studio.database.transaction() as unit:
        clone = Clone(user_id=user.id, name="Me", provider="tone", call_id=call.id, status=CloneStatus.READY)
        unit.add(clone)
        await unit.flush()
        unit.add(Consent(user_id=user.id, clone_id=clone.id, how="keyed in the code", wording="…"))
    again = await called(studio, user, other)
    assert again.confirmation_code is None
    stranger = await new_user(studio)
    assert (await called(studio, stranger, other)).confirmation_code is not None, "it is proven for one user only"
    changed = await studio.accounts.set_phone(user.id, other)
    assert (await called(studio, changed, other)).confirmation_code is not None


async def test_a_phone_is_called_by_one_call_at_a_time(studio: Studio, user: User) -> None:
    first = await order(studio, user, PHONE)
    other = await new_user(studio)
    assert await code_of(order(studio, user, PHONE)) is MistakeCode.WRONG_STATE
    assert await code_of(order(studio, other, PHONE)) is MistakeCode.WRONG_STATE
    await end(studio, first)
    await order(studio, user, PHONE)


async def test_of_two_users_who_call_a_phone_at_once_one_does(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier, database_url: str
) -> None:
    async with open_studio(replace(settings, database_url=database_url), providers, carrier) as studio:
        users = [await new_user(studio) for _ in range(4)]
        attempts = await asyncio.gather(
            *(studio.clones.start(user.id, "Me", PHONE) for user in users), return_exceptions=True
        )
        started = [attempt for attempt in attempts if isinstance(attempt, Clone)]
        refused = [attempt for attempt in attempts if isinstance(attempt, Mistake)]
        assert (len(started), len(refused)) == (1, 3)
        assert {mistake.code for mistake in refused} == {MistakeCode.WRONG_STATE}
        await call_when(studio, started[0], CallStatus.INITIATED)
        assert len(carrier.orders) == 1


async def test_so_many_calls_an_hour_and_a_day(studio: Studio, user: User) -> None:
    for _ in range(3):
        await called(studio, user, PHONE)
    assert await code_of(order(studio, user, PHONE)) is MistakeCode.RATE_LIMITED
    assert await code_of(order(studio, user, "+14155550109")) is MistakeCode.RATE_LIMITED
    await called(studio, await new_user(studio, PHONE, proven=True), PHONE)  # another user may


async def test_so_many_calls_a_day(studio: Studio, user: User) -> None:
    for hours in (2, 3, 4, 5, 23):
        await called(studio, user, PHONE, timedelta(hours=hours))
    assert await code_of(order(studio, user, PHONE)) is MistakeCode.RATE_LIMITED


async def test_yesterdays_calls_count_no_more(studio: Studio, user: User) -> None:
    for _ in range(4):
        await called(studio, user, PHONE, timedelta(hours=25))
    await called(studio, user, PHONE)


async def test_nobody_is_pestered(studio: Studio) -> None:
    """A phone that nobody proves is called five times a day, by however many users."""
    for _ in range(5):
        await called(studio, await new_user(studio), PHONE)
    assert await code_of(order(studio, await new_user(studio), PHONE)) is MistakeCode.RATE_LIMITED
    owner = await new_user(studio, PHONE, proven=True)
    await order(studio, owner, PHONE)  # whose it is may go on


@pytest.mark.parametrize(
    ("name", "phone", "code"),
    [
        ("", PHONE, MistakeCode.REQUIRED),
        ("x" * 81, PHONE, MistakeCode.TOO_LONG),
        ("Me", "12345", MistakeCode.INVALID),
        ("Me", "+81312345678", MistakeCode.COUNTRY_NOT_ALLOWED),
        ("Me", None, MistakeCode.REQUIRED),
    ],
)
async def test_what_cannot_be_called(
    studio: Studio, carrier: ScriptedCarrier, name: str, phone: str | None, code: MistakeCode
) -> None:
    nobody = await new_user(studio)
    assert await code_of(studio.clones.start(nobody.id, name, phone)) is code
    assert carrier.orders == []
