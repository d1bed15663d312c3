"""Users, their sessions and their API tokens. Secrets are kept as hashes only."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from functools import cache

from email_validator import EmailNotValidError, validate_email
from pwdlib import PasswordHash
from sqlalchemy import ColumnElement
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select

from studio.database import AWAY, Database
from studio.mistakes import Mistake, MistakeCode
from studio.numbers import callable_number
from studio.repositories import living_user
from studio.tables import Session, Token, User, now
from studio.texts import checked_text, is_id, is_text

SESSION_DAYS = 30
_MIN_PASSWORD, _MAX_PASSWORD = 8, 200
_MAX_LABEL = 80
_MAX_TOKENS = 50
_USED_AGAIN = timedelta(minutes=1)  # `last_used_at` is not written more often than this
_hasher = PasswordHash.recommended()
_HASHES_AT_ONCE = 2  # Argon2 takes 64 MiB and a core for a fifth of a second each time


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


class Accounts:
    """Who may do what. `erase` is called with a user's id once their account's deletion has begun."""

    def __init__(self, database: Database, countries: Collection[str], erase: Callable[[str], Awaitable[None]]) -> None:
        self._database = database
        self._countries = frozenset(countries)
        self._erase = erase
        self._hashing = asyncio.Semaphore(_HASHES_AT_ONCE)

    async def sign_up(self, email: str, password: str, phone: str | None) -> User:
        """
        Raises:
            Mistake: INVALID, TOO_LONG, TAKEN, COUNTRY_NOT_ALLOWED.
        """
        address = _address(email)
        _check_password(password)
        number = callable_number(phone, self._countries) if phone else None
        user = User(email=address, password_hash=await self._hash(password), phone=number)
        try:
            async with self._database.transaction() as unit:
                unit.add(user)
        except IntegrityError as taken:
            message = "There is an account with this address. Log in instead."
            raise Mistake(MistakeCode.TAKEN, message, ("email",)) from taken
        return user

    async def log_in(self, email: str, password: str) -> User:
        """
        Raises:
            Mistake: NOT_ALLOWED, in the same words whether the address or the password is wrong.
        """
        try:
            address = _address(email)
        except Mistake:
            address = ""  # nobody's
        async with self._database.reading() as session:
            user = (await session.exec(select(User).where(User.email == address, _living()))).first()
        # An unknown address takes as long as a known one.
        known = user.password_hash if user else await asyncio.to_thread(_nobodys_hash)
        if not await self._verify(password, known) or user is None:
            raise Mistake(MistakeCode.NOT_ALLOWED, "The address or the password is wrong.", ("password",))
        return user

    async def user(self, user_id: str) -> User | None:
        async with self._database.reading() as session:
            return (await session.exec(select(User).where(User.id == user_id, _living()))).first()

    async def set_phone(self, owner: str, phone: str) -> User:
        """Another number has to be proven anew.

        Raises:
            Mistake: INVALID, COUNTRY_NOT_ALLOWED, NOT_FOUND.
        """
        number = callable_number(phone, self._countries)
        async with self._database.transaction() as unit:
            user = await living_user(unit, owner)
            if user.phone != number:
                user.phone, user.phone_proven_at = number, None
        return user

    async def delete_account(self, owner: str, password: str) -> None:
        """Sign the user out everywhere at once, and begin to delete everything that is theirs.

        Raises:
            Mistake: NOT_ALLOWED, if the password is wrong.
        """
        user = await self.user(owner)
        if user is None or not await self._verify(password, user.password_hash):
            raise Mistake(MistakeCode.NOT_ALLOWED, "The password is wrong.", ("password",))
        async with self._database.transaction() as unit:
            row = await living_user(unit, owner)
            # The address is free again at once.
            row.email, row.deleted_at = f"deleted:{row.id}", now()
            await unit.exec(delete(Session).where(col(Session.user_id) == owner))
            await unit.exec(delete(Token).where(col(Token.user_id) == owner))
        await self._erase(owner)

    # ── sessions ─────────────────────────────────────────────────────────────

    async def open_session(self, user_id: str) -> str:
        """A new session's secret."""
        secret = secrets.token_urlsafe(32)
        expires = now() + timedelta(days=SESSION_DAYS)
        async with self._database.transaction() as unit:
            await unit.exec(delete(Session).where(col(Session.user_id) == user_id, col(Session.expires_at) < now()))
            unit.add(Session(secret_hash=_digest(secret), user_id=user_id, expires_at=expires))
        return secret

    async def user_of_session(self, secret: str) -> User | None:
        statement = (
            select(User)
            .join(Session, col(Session.user_id) == col(User.id))
            .where(Session.secret_hash == _digest(secret), Session.expires_at > now(), _living())
        )
        async with self._database.reading() as session:
            return (await session.exec(statement)).first()

    async def close_session(self, secret: str) -> None:
        async with self._database.transaction() as unit:
            await unit.exec(delete(Session).where(col(Session.secret_hash) == _digest(secret)))

    async def close_all_sessions(self, user_id: str) -> None:
        async with self._database.transaction() as unit:
            await unit.exec(delete(Session).where(col(Session.user_id) == user_id))

    # ── API tokens ───────────────────────────────────────────────────────────

    async def create_token(self, owner: str, label: str) -> tuple[Token, str]:
        """A new token and its secret, which cannot be shown again.

        Raises:
            Mistake: REQUIRED, TOO_LONG, INVALID, QUOTA.
        """
        label = checked_text(label, _MAX_LABEL, "label", "Name the token after what will use it.")
        secret = f"dr_{secrets.token_urlsafe(32)}"
        token = Token(user_id=owner, label=label, secret_hash=_digest(secret))
        async with self._database.transaction() as unit:
            await living_user(unit, owner)
            if len((await unit.exec(select(Token.id).where(Token.user_id == owner))).all()) >= _MAX_TOKENS:
                raise Mistake(MistakeCode.QUOTA, f"At most {_MAX_TOKENS} tokens. Revoke one first.")
            unit.add(token)
        return token, secret

    async def tokens(self, owner: str) -> list[Token]:
        statement = select(Token).where(Token.user_id == owner).order_by(col(Token.created_at).desc())
        async with self._database.reading() as session:
            return list((await session.exec(statement)).all())

    async def token(self, owner: str, token_id: str) -> Token | None:
        if not is_id(token_id):
            return None
        async with self._database.reading() as session:
            return (await session.exec(select(Token).where(Token.id == token_id, Token.user_id == owner))).first()

    async def revoke_token(self, owner: str, token_id: str) -> None:
        """
        Raises:
            Mistake: NOT_FOUND.
        """
        if await self.token(owner, token_id) is None:
            raise Mistake(MistakeCode.NOT_FOUND, "There is no such token.", ("id",))
        async with self._database.transaction() as unit:
            await unit.exec(delete(Token).where(col(Token.id) == token_id, col(Token.user_id) == owner))

    async def user_of_token(self, secret: str) -> User | None:
        statement = (
            select(User, Token)
            .join(Token, col(Token.user_id) == col(User.id))
            .where(Token.secret_hash == _digest(secret), _living())
        )
        async with self._database.reading() as session:
            found = (await session.exec(statement)).first()
        if found is None:
            return None
        user, token = found
        if token.last_used_at is None or now() - token.last_used_at > _USED_AGAIN:
            await self._note_use(token.id)
        return user

    async def _note_use(self, token_id: str) -> None:
        with contextlib.suppress(*AWAY):  # who only reads can be served by a database that cannot be written
            async with self._database.transaction() as unit:
                row = await unit.get(Token, token_id)
                if row is not None:
                    row.last_used_at = now()

    async def _hash(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(_hasher.hash, password)

    async def _verify(self, password: str, known: str) -> bool:
        if len(password) > _MAX_PASSWORD or not is_text(password):
            return False
        async with self._hashing:
            return await asyncio.to_thread(_hasher.verify, password, known)


@cache
def _nobodys_hash() -> str:
    return _hasher.hash(secrets.token_urlsafe())


def _living() -> ColumnElement[bool]:
    return col(User.deleted_at).is_(None)


def _address(email: str) -> str:
    if len(email) > 254:
        raise Mistake(MistakeCode.TOO_LONG, "An e-mail address has at most 254 characters.", ("email",))
    try:
        return validate_email(email.strip(), check_deliverability=False).normalized.lower()
    except EmailNotValidError as wrong:
        raise Mistake(MistakeCode.INVALID, f"This is no e-mail address: {wrong}", ("email",)) from wrong


def _check_password(password: str) -> None:
    if len(password) < _MIN_PASSWORD:
        raise Mistake(MistakeCode.INVALID, f"At least {_MIN_PASSWORD} characters, please.", ("password",))
    if len(password) > _MAX_PASSWORD:
        raise Mistake(MistakeCode.TOO_LONG, f"At most {_MAX_PASSWORD} characters.", ("password",))
    if not is_text(password):
        raise Mistake(MistakeCode.INVALID, "There is a character in it that is not part of any text.", ("password",))
