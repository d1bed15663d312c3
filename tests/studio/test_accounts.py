"""Users, sessions and tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import select

from studio.mistakes import Mistake, MistakeCode
from studio.studio import Studio
from studio.tables import Session, Token, User, new_id, now
from tests.studio.people import new_user
from tests.studio.troubles import code_of

PASSWORD = "correct horse"
PHONE = "+14155552671"


@pytest.fixture
def studio(rows_only: Studio) -> Studio:
    return rows_only


async def test_signing_up_and_logging_in(studio: Studio) -> None:
    user = await studio.accounts.sign_up("Ada@Example.COM", PASSWORD, "+1 415 555 2671")
    assert (user.email, user.phone, user.phone_proven_at) == ("ada@example.com", PHONE, None)
    assert PASSWORD not in user.password_hash
    assert (await studio.accounts.log_in(" ADA@example.com ", PASSWORD)).id == user.id
    assert await code_of(studio.accounts.sign_up("ada@example.com", PASSWORD, None)) is MistakeCode.TAKEN


async def test_an_address_is_the_same_however_it_is_written(studio: Studio) -> None:
    user = await studio.accounts.sign_up("ada@xn--bcher-kva.example.com", PASSWORD, None)
    assert (await studio.accounts.log_in("ada@xn--bcher-kva.example.com", PASSWORD)).id == user.id
    assert (await studio.accounts.log_in("ada@BÜCHER.example.com", PASSWORD)).id == user.id


async def test_logging_in_says_the_same_whatever_is_wrong(studio: Studio) -> None:
    await studio.accounts.sign_up("ada@example.com", PASSWORD, None)
    words = set()
    for email, password in [
        ("ada@example.com", "wrong horse"),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("ada@example.com", "x" * 1000),
        ("ada@example.com", "\ud800" * 10),
        ("", ""),
    ]:
        with pytest.raises(Mistake) as caught:
            await studio.accounts.log_in(email, password)
        words.add((caught.value.code, caught.value.message, caught.value.field))
    assert len(words) == 1


@pytest.mark.parametrize(
    ("email", "password", "phone", "code"),
    [
        ("nobody", PASSWORD, None, MistakeCode.INVALID),
        ("a@b", PASSWORD, None, MistakeCode.INVALID),
        ("a@example.com\0", PASSWORD, None, MistakeCode.INVALID),
        ("a" * 300 + "@example.com", PASSWORD, None, MistakeCode.TOO_LONG),
        ("a@example.com", "short", None, MistakeCode.INVALID),
        ("a@example.com", "x" * 201, None, MistakeCode.TOO_LONG),
        ("a@example.com", "\ud800" * 8, None, MistakeCode.INVALID),
        ("a@example.com", PASSWORD, "12345", MistakeCode.INVALID),
        ("a@example.com", PASSWORD, "+81312345678", MistakeCode.COUNTRY_NOT_ALLOWED),
    ],
)
async def test_what_nobody_can_sign_up_with(
    studio: Studio, email: str, password: str, phone: str | None, code: MistakeCode
) -> None:
    assert await code_of(studio.accounts.sign_up(email, password, phone)) is code


async def test_another_number_is_not_proven(studio: Studio, user: User) -> None:
    same = await studio.accounts.set_phone(user.id, "+1 (415) 555-0101")
    assert same.phone_proven_at is not None
    other = await studio.accounts.set_phone(user.id, PHONE)
    assert (other.phone, other.phone_proven_at) == (PHONE, None)
    back = await studio.accounts.set_phone(user.id, "+14155550101")
    assert back.phone_proven_at is None
    assert await code_of(studio.accounts.set_phone(new_id(), PHONE)) is MistakeCode.NOT_FOUND


# ── sessions ─────────────────────────────────────────────────────────────────


async def test_a_session_is_its_users_until_it_is_closed(studio: Studio) -> None:
    ada, bob = await new_user(studio), await new_user(studio)
    first, second, his = [await studio.accounts.open_session(one.id) for one in (ada, ada, bob)]
    assert len({first, second, his}) == 3
    found = await studio.accounts.user_of_session(first)
    assert found is not None
    assert found.id == ada.id
    await studio.accounts.close_session(first)
    assert await studio.accounts.user_of_session(first) is None
    assert await studio.accounts.user_of_session(second) is not None
    await studio.accounts.close_all_sessions(ada.id)
    assert await studio.accounts.user_of_session(second) is None
    assert await studio.accounts.user_of_session(his) is not None
    for nonsense in ("", "x", "\ud800", "\0"):
        assert await studio.accounts.user_of_session(nonsense) is None


async def test_sessions_expire_and_are_swept_up(studio: Studio, user: User) -> None:
    secret = await studio.accounts.open_session(user.id)
    async with studio.database.transaction() as unit:
        for row in (await unit.exec(select(Session))).all():
            assert secret not in row.secret_hash
            row.expires_at = now() - timedelta(seconds=1)
    assert await studio.accounts.user_of_session(secret) is None
    fresh = await studio.accounts.open_session(user.id)
    async with studio.database.reading() as session:
        assert len((await session.exec(select(Session))).all()) == 1
    assert await studio.accounts.user_of_session(fresh) is not None


# ── tokens ───────────────────────────────────────────────────────────────────


async def test_a_token_is_its_users_until_it_is_revoked(studio: Studio) -> None:
    ada, bob = await new_user(studio), await new_user(studio)
    token, secret = await studio.accounts.create_token(ada.id, "  my script ")
    assert token.label == "my script"
    assert secret.startswith("dr_")
    assert secret not in token.secret_hash
    found = await studio.accounts.user_of_token(secret)
    assert found is not None
    assert found.id == ada.id
    assert [row.id for row in await studio.accounts.tokens(ada.id)] == [token.id]
    (row,) = await studio.accounts.tokens(ada.id)
    assert row.last_used_at is not None

    assert await studio.accounts.tokens(bob.id) == []
    assert await studio.accounts.token(bob.id, token.id) is None
    assert await code_of(studio.accounts.revoke_token(bob.id, token.id)) is MistakeCode.NOT_FOUND
    assert await studio.accounts.user_of_token(secret) is not None

    await studio.accounts.revoke_token(ada.id, token.id)
    assert await studio.accounts.user_of_token(secret) is None
    assert await code_of(studio.accounts.revoke_token(ada.id, token.id)) is MistakeCode.NOT_FOUND
    assert await code_of(studio.accounts.revoke_token(ada.id, "\0")) is MistakeCode.NOT_FOUND


async def test_the_last_use_is_noted_once_a_minute(studio: Studio, user: User) -> None:
    _, secret = await studio.accounts.create_token(user.id, "x")

    async def used_at() -> object:
        await studio.accounts.user_of_token(secret)
        return (await studio.accounts.tokens(user.id))[0].last_used_at

    first = await used_at()
    assert await used_at() == first
    async with studio.database.transaction() as unit:
        (row,) = (await unit.exec(select(Token))).all()
        row.last_used_at = now() - timedelta(minutes=2)
    assert await used_at() != row.last_used_at


async def test_so_many_tokens_and_no_more(studio: Studio, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.accounts._MAX_TOKENS", 2)
    for _ in range(2):
        await studio.accounts.create_token(user.id, "x")
    assert await code_of(studio.accounts.create_token(user.id, "x")) is MistakeCode.QUOTA
    assert await code_of(studio.accounts.create_token(user.id, " ")) is MistakeCode.REQUIRED
    assert await code_of(studio.accounts.create_token(user.id, "x" * 81)) is MistakeCode.TOO_LONG
    assert await code_of(studio.accounts.create_token(new_id(), "x")) is MistakeCode.NOT_FOUND
