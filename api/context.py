"""What a resolver knows of its surroundings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import strawberry
from starlette.requests import HTTPConnection
from starlette.responses import Response

from api.auth import Credential, Denied, Doorkeeper
from api.errors import Unauthenticated
from api.loaders import Loaders
from studio.tables import User

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from api.audio_links import AudioLinks
    from api.throttle import Throttle
    from api.uploads import Uploads
    from studio.studio import Studio

RECHECK_SECONDS = 30.0
"""A stream asks again who is signed in when this long has passed."""
T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """What all resolvers work with."""

    studio: Studio
    doorkeeper: Doorkeeper
    throttle: Throttle
    links: AudioLinks
    uploads: Uploads


class Context:
    """One for each HTTP request, and one for each WebSocket, shared by everything that runs over it.

    Attributes:
        response: what carries cookies back; None on a WebSocket, which cannot.
        connection_params: the payload of `connection_init`; Strawberry sets it.
    """

    def __init__(self, services: Services, connection: HTTPConnection, response: Response | None) -> None:
        self.services = services
        self.studio = services.studio
        self.connection = connection
        self.response = response
        self.connection_params: dict[str, Any] | None = None
        self.credential: Credential | None = None
        self._known: User | None = None
        self._loaders: dict[str, Loaders] = {}

    @property
    def client_address(self) -> str:
        return self.connection.client.host if self.connection.client else "unknown"

    async def authenticate(self) -> None:
        """Read the credential, and see that it is good.

        Raises:
            Denied: it is not.
        """
        doorkeeper = self.services.doorkeeper
        self.credential = doorkeeper.authenticate(self.connection, self.connection_params)
        self._known = await doorkeeper.user_of(self.credential)

    def signed_in(self, user: User | None, credential: Credential | None = None) -> None:
        """Somebody signed up, in or out with this request."""
        self._known, self.credential = user, credential

    async def viewer(self) -> User | None:
        """Who is asking. On a WebSocket, which lives long, it is looked up each time: a session or token may have
        ended."""
        return await self._look_again() if self.response is None else self._known

    async def owner(self) -> User:
        """Who is asking, where somebody must be.

        Raises:
            Unauthenticated
        """
        user = await self.viewer()
        if user is None:
            raise Unauthenticated
        return user

    def loaders(self, owner: str) -> Loaders:
        """Batched reading of what belongs to an owner."""
        if owner not in self._loaders:
            self._loaders[owner] = Loaders(self.studio, owner)
        return self._loaders[owner]

    async def while_signed_in(self, events: AsyncIterator[T]) -> AsyncIterator[T]:
        """The events, as long as whoever asked for them may have them.

        Raises:
            Unauthenticated: the session or token has ended meanwhile.
        """
        checked = monotonic()
        async with aclosing(cast("AsyncGenerator[T]", events)):
            async for event in events:
                if monotonic() - checked >= RECHECK_SECONDS:
                    if await self._look_again() is None:
                        raise Unauthenticated
                    checked = monotonic()
                yield event

    async def _look_again(self) -> User | None:
        try:
            return await self.services.doorkeeper.user_of(self.credential)
        except Denied:
            return None  # the token was good, and was revoked


Info: TypeAlias = strawberry.Info[Context, None]
