"""Somebody who uses the service by its documented operations: GraphQL over HTTP and over a WebSocket."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from audio.wav import read_wav
from studio.states import CloneStatus
from studio.tables import new_id
from tests.faults.front import WITHIN

_NUMBERS = itertools.count(2000)
_STATES = list(CloneStatus)
_PASSWORD = "correct horse battery"

_SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) { userErrors { message } } }"""
_TOKEN = """mutation { createApiToken(input: {label: "faults"}) { secret } }"""
_START = """mutation($name: String!) {
  startClone(input: {name: $name}) { clone { id call { confirmationCode } } userErrors { message } }
}"""
_DELETE_VOICE = """mutation($id: ID!) { deleteVoice(input: {id: $id}) { userErrors { message } } }"""
_DELETE_ACCOUNT = """mutation($password: String!) {
  deleteAccount(input: {password: $password}) { userErrors { message } }
}"""
_CANCEL = """mutation($id: ID!) { cancelClone(input: {id: $id}) { userErrors { message } } }"""
_MINE = """{ viewer {
  clones { edges { node { id status call { confirmationCode } } } }
  voices { edges { node { id name clone { id } } } }
  syntheses { edges { node { id status } } }
} }"""
_CLONE = """subscription($id: ID!) {
  clone(id: $id) { status call { status } voice { id } failure { code message retryable } }
}"""
_SYNTHESIZE = """mutation($voice: ID!, $text: String!) {
  synthesize(input: {voiceId: $voice, text: $text}) { synthesis { id audioUrl } userErrors { message } }
}"""
_SYNTHESIS = """subscription($id: ID!, $after: Int) { synthesis(id: $id, after: $after) {
  cursor
  ... on SynthesisProgress { synthesis { status failure { message } } }
  ... on SpeechChunk { pcm }
} }"""


class Broken(Exception):
    """The service ended the connection before it ended the subscription."""


@dataclass(frozen=True)
class Started:
    """A clone that was asked for, and the digits that the app shows to be keyed in."""

    id: str
    code: str


@dataclass(frozen=True)
class Heard:
    """Speech up to a cursor: 16-bit samples."""

    samples: bytes
    cursor: int
    status: str


@dataclass(frozen=True)
class Person:
    service: str
    phone: str
    token: str
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        # A connection of its own for each request: none of them outlives the service.
        limits = httpx.Limits(max_keepalive_connections=0)
        client = httpx.AsyncClient(
            base_url=self.service, headers=headers, timeout=WITHIN, limits=limits, trust_env=False
        )
        object.__setattr__(self, "http", client)

    def at(self, service: str) -> Person:
        """The same person, who uses another process."""
        return replace(self, service=service)

    async def aclose(self) -> None:
        await self.http.aclose()

    async def ask(self, query: str, **variables: object) -> Any:
        """
        Raises:
            httpx.HTTPStatusError: who was asked is down.
        """
        response = await self.http.post("/graphql", json={"query": query, "variables": variables})
        response.raise_for_status()
        answer = response.json()
        assert "errors" not in answer, answer
        return answer["data"]

    # ── voices ───────────────────────────────────────────────────────────────

    async def start_clone(self) -> Started:
        started = (await self.ask(_START, name="My voice"))["startClone"]
        assert not started["userErrors"], started
        return _started(started["clone"])

    async def cancel_clone(self, clone: Started) -> None:
        assert not (await self.ask(_CANCEL, id=clone.id))["cancelClone"]["userErrors"]

    async def delete_voice(self, voice: str) -> None:
        assert not (await self.ask(_DELETE_VOICE, id=voice))["deleteVoice"]["userErrors"]

    async def delete_account(self) -> None:
        assert not (await self.ask(_DELETE_ACCOUNT, password=_PASSWORD))["deleteAccount"]["userErrors"]

    async def clones(self) -> list[Started]:
        return [_started(clone) for clone in await self._mine("clones")]

    async def voices(self) -> list[Any]:
        """Those that were cloned."""
        return await self._mine("voices")

    async def _mine(self, what: str) -> list[Any]:
        return [edge["node"] for edge in (await self.ask(_MINE))["viewer"][what]["edges"]]

    async def until(self, clone: Started, status: CloneStatus) -> Any:
        """Follow the clone until it has come this far, or further."""
        async with asyncio.timeout(WITHIN), aclosing(self._subscribe(_CLONE, id=clone.id)) as events:
            async for data in events:
                seen = data["clone"]
                if _STATES.index(seen["status"]) >= _STATES.index(status):
                    return seen
        raise AssertionError(f"the subscription ended before {status}")

    async def ending(self, clone: Started) -> Any:
        """Follow the clone to its end; the subscription has to say so by ending."""
        seen: Any = None
        async with asyncio.timeout(WITHIN), aclosing(self._subscribe(_CLONE, id=clone.id)) as events:
            async for data in events:
                seen = data["clone"]
        return seen

    # ── speech ───────────────────────────────────────────────────────────────

    async def built_in_voice(self) -> str:
        [voice, *_] = (await self.ask("{ voices(first: 1) { edges { node { id } } } }"))["voices"]["edges"]
        return str(voice["node"]["id"])

    async def syntheses(self) -> list[Any]:
        return await self._mine("syntheses")

    async def synthesize(self, voice: str, text: str) -> Any:
        made = (await self.ask(_SYNTHESIZE, voice=voice, text=text))["synthesize"]
        assert not made["userErrors"], made
        return made["synthesis"]

    async def hears(self, synthesis: str, after: int = 0, pieces: int | None = None) -> Heard:
        """Speech from a cursor on: to its end, or so many pieces."""
        samples, cursor, status = b"", after, ""
        if pieces == 0:
            return Heard(samples, cursor, status)
        async with (
            asyncio.timeout(WITHIN),
            aclosing(self._subscribe(_SYNTHESIS, id=synthesis, after=after)) as events,
        ):
            async for data in events:
                event = data["synthesis"]
                if "synthesis" in event:
                    status = event["synthesis"]["status"]
                    continue
                assert event["cursor"] == cursor + 1, "a piece is missing, or comes twice"
                cursor = event["cursor"]
                samples += base64.b64decode(event["pcm"])
                if cursor - after == pieces:
                    break
        return Heard(samples, cursor, status)

    async def listens_to(self, link: str) -> bytes:
        """The samples to which an audio link leads."""
        answer = await self.http.get(link)
        answer.raise_for_status()
        return read_wav(answer.content).to_int16()

    async def _subscribe(self, query: str, **variables: object) -> AsyncGenerator[Any, None]:
        """
        Raises:
            Broken: the connection ended before the subscription did.
        """
        url = f"{self.service.replace('http', 'ws', 1)}/graphql"
        async with connect(url, subprotocols=["graphql-transport-ws"], proxy=None) as socket:  # type: ignore[list-item]
            await socket.send(json.dumps({"type": "connection_init", "payload": {"token": self.token}}))
            payload = {"query": query, "variables": variables}
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            while True:
                try:
                    message = json.loads(await socket.recv())
                except ConnectionClosed as error:
                    raise Broken from error
                match message["type"]:
                    case "next":
                        assert not message["payload"].get("errors"), message
                        yield message["payload"]["data"]
                    case "complete":
                        return
                    case "error":
                        raise AssertionError(message["payload"])


async def signed_up(service: str) -> Person:
    phone = f"+1415555{next(_NUMBERS)}"
    account = {"email": f"{new_id()}@example.com", "password": _PASSWORD, "phone": phone}
    async with httpx.AsyncClient(base_url=service, timeout=WITHIN, trust_env=False) as client:

        async def ask(query: str, **variables: object) -> Any:
            answer = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
            assert "errors" not in answer, answer
            return answer["data"]

        assert not (await ask(_SIGN_UP, input=account))["signUp"]["userErrors"]
        return Person(service, phone, (await ask(_TOKEN))["createApiToken"]["secret"])


def _started(clone: Any) -> Started:
    return Started(clone["id"], clone["call"]["confirmationCode"] or "1")
