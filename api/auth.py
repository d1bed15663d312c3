"""Who is asking: one way to find out, for HTTP and for WebSockets.

A program shows an API token (`Authorization: Bearer dr_…`, or the same in a WebSocket's `connection_init`). A browser
has a session cookie that its scripts cannot read. Since browsers send cookies along with requests that other sites'
pages make, a cookie counts only
- on requests that such a page cannot make without the browser asking first (JSON, or one of `PREFLIGHTED`), or which
  the browser itself says come from one of our own pages (`Sec-Fetch-Site`);
- from our own origin, or one that the operator allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from starlette.requests import HTTPConnection
from starlette.responses import Response
from strawberry.http.websocket_origin import is_same_origin, normalize_origin

from studio.accounts import SESSION_DAYS, Accounts
from studio.tables import User

PREFLIGHTED: Final = ("x-requested-with", "apollo-require-preflight", "graphql-require-preflight")


class Denied(Exception):
    """What was shown is not accepted, and saying so helps more than treating the request as nobody's.

    `status` is the HTTP status that fits.
    """

    def __init__(self, status: Literal[401, 403], message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody shows to say who they are. Its secret is in no representation of it."""

    kind: Literal["session", "token"]
    secret: str

    def __repr__(self) -> str:
        return f"Credential({self.kind})"


class Doorkeeper:
    """Reads credentials from connections, and knows whose they are."""

    def __init__(self, accounts: Accounts, *, secure: bool, origins: frozenset[str]) -> None:
        """`secure`: browsers come by https. `origins`: those whose pages may use a session, our own among them."""
        self._accounts = accounts
        self._secure = secure
        self._origins = origins
        # A browser takes a cookie with this prefix only from https, and from this host itself.
        self.cookie = "__Host-session" if secure else "session"

    def authenticate(
        self, connection: HTTPConnection, init_payload: Mapping[str, Any] | None = None
    ) -> Credential | None:
        """The credential of a request or WebSocket; `init_payload` is what came with `connection_init`.

        Raises:
            Denied: the credential has a wrong form, or is a cookie where none counts.
        """
        if init_payload and (shown := init_payload.get("authorization") or init_payload.get("Authorization")):
            return _bearer(shown)
        if init_payload and (token := init_payload.get("token")):
            return _bearer(f"Bearer {token}")
        if authorization := connection.headers.get("authorization"):
            return _bearer(authorization)
        secret = connection.cookies.get(self.cookie)
        if not secret:
            return None
        self._check_origin(connection)
        if connection.scope["type"] == "http":
            _check_preflighted(connection)
        return Credential("session", secret)

    async def user_of(self, credential: Credential | None) -> User | None:
        """Whose it is now. A session that has ended is nobody's.

        Raises:
            Denied: an API token that is not, or no longer, valid.
        """
        if credential is None:
            return None
        if credential.kind == "session":
            return await self._accounts.user_of_session(credential.secret)
        user = await self._accounts.user_of_token(credential.secret)
        if user is None:
            raise Denied(401, "This API token is not valid, or was revoked. Make another with createApiToken.")
        return user

    async def open_session(self, user: User, response: Response) -> Credential:
        """Give the browser a session of its own."""
        secret = await self._accounts.open_session(user.id)
        response.set_cookie(
            self.cookie,
            secret,
            max_age=SESSION_DAYS * 24 * 3600,
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )
        return Credential("session", secret)

    def forget_session(self, response: Response) -> None:
        response.delete_cookie(self.cookie, secure=self._secure, httponly=True, samesite="lax")

    def _check_origin(self, connection: HTTPConnection) -> None:
        origin = connection.headers.get("origin")
        # Only browsers send it, and they always do where it matters.
        if origin is None or is_same_origin(origin, connection.headers.get("host")):
            return
        if normalize_origin(origin) not in self._origins:
            raise Denied(
                403, "Pages of this origin may not use your session. Its operator can add it to ALLOWED_ORIGINS."
            )


def _bearer(authorization: object) -> Credential:
    scheme, _, secret = authorization.partition(" ") if isinstance(authorization, str) else ("", "", "")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Denied(401, "Show an API token as: Authorization: Bearer dr_…")
    return Credential("token", secret.strip())


def _check_preflighted(connection: HTTPConnection) -> None:
    headers = connection.headers
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if (
        content_type == "application/json"
        or headers.get("sec-fetch-site") == "same-origin"
        or any(name in headers for name in PREFLIGHTED)
    ):
        return
    raise Denied(
        403,
        "A request that is signed in by a cookie must be JSON or carry the header X-Requested-With, "
        "so that other sites' pages cannot make it.",
    )
