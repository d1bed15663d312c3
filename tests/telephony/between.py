"""What stands between Twilio and the application, and fails."""

from __future__ import annotations

from collections import Counter

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class NotYet:
    """Answers 404 to the first requests for the sound of a recording, as Twilio sometimes does."""

    def __init__(self, times: int) -> None:
        self.times = times

    def before(self, app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if self.times and str(scope.get("path", "")).endswith(".wav"):
                self.times -= 1
                await send({"type": "http.response.start", "status": 404, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            await app(scope, receive, send)

        return wrapped


def twice(app: ASGIApp) -> ASGIApp:
    """Delivers every webhook twice, the second after the first was answered, and lets the second answer count."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def nowhere(_: Message) -> None: ...

        await app(dict(scope), again, nowhere)
        await app(scope, again, send)

    return wrapped


class Failing:
    """Answers 503 to so many requests for a place, or without one to so many attempts at each delivery of every
    webhook; to the first of them after the application has acted."""

    def __init__(self, times: int, place: str | None = None) -> None:
        self._times = times
        self._place = place
        self._failed: Counter[str] = Counter()

    def before(self, app: ASGIApp) -> ASGIApp:
        async def nowhere(_: Message) -> None: ...

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            key = self._key(scope)
            if key is None or self._failed[key] == self._times:
                await app(scope, receive, send)
                return
            self._failed[key] += 1
            if self._failed[key] == 1:
                await app(scope, receive, nowhere)
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return wrapped

    def _key(self, scope: Scope) -> str | None:
        """What is counted; None for what is let through."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return None
        if self._place is not None:
            return self._place if scope["path"].endswith(f"/{self._place}") else None
        return Headers(scope=scope).get("I-Twilio-Idempotency-Token")
