"""Following things over graphql-transport-ws (by the `gql` client and by hand) and over SSE."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from gql import Client, GraphQLRequest
from gql.transport.websockets import WebsocketsTransport
from starlette.routing import WebSocketRoute
from strawberry.relay import GlobalID
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from api.endpoint import MAX_SUBSCRIPTIONS
from api.server import MAX_MESSAGE
from audio.pcm import Pcm
from providers.contract import Refused
from studio.states import CloneStatus
from tests.api.service import WITHIN, Person, Service, until
from tests.providers.tone import pitch_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW_CLONE = "subscription ($id: ID!) { clone(id: $id) { status call { status } failure { code } } }"
FOLLOW_SPEECH = """subscription ($id: ID!, $after: Int) { synthesis(id: $id, after: $after) {
    __typename cursor
    ... on SynthesisProgress { synthesis { status failure { code } } }
    ... on SpeechChunk { pcm sampleRate startMs } } }"""


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_is_left_behind(service: Service) -> AsyncIterator[None]:
    """However a test ended its subscriptions, nobody watches anything any more."""
    yield
    await service.all_spoken()
    await service.call_all_off()
    await until(lambda: not service.studio.hub.watched)


@asynccontextmanager
async def _socket(service: Service, payload: Any = None, **headers: str) -> AsyncIterator[ClientConnection]:
    """A WebSocket whose `connection_init` has been acknowledged."""
    async with asyncio.timeout(WITHIN), _bare_socket(service, **headers) as socket:
        await _send(socket, type="connection_init", payload=payload or {})
        assert await _receive(socket) == {"type": "connection_ack"}
        yield socket


def _bare_socket(service: Service, protocol: str = "graphql-transport-ws", **headers: str) -> connect:
    # A client that offers compression, as browsers do.
    return connect(
        service.socket_url,
        subprotocols=[Subprotocol(protocol)],
        additional_headers={name.replace("_", "-"): value for name, value in headers.items()},
        compression="deflate",
    )


async def _send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def _subscribe(socket: ClientConnection, query: str, operation: str = "1", /, **variables: Any) -> None:
    await _send(socket, type="subscribe", id=operation, payload={"query": query, "variables": variables})


async def _receive(socket: ClientConnection) -> Any:
    message = await socket.recv()
    assert isinstance(message, str)  # the protocol has text frames only
    return json.loads(message)


async def _next(socket: ClientConnection) -> Any:
    """The data of the next event."""
    message = await _receive(socket)
    assert message["type"] == "next", message
    assert "errors" not in message["payload"], message
    return message["payload"]["data"]


async def _closed_with(socket: ClientConnection) -> int:
    await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code


def _token(person: Person) -> dict[str, str]:
    return {"token": person.token}


# ── what is streamed ─────────────────────────────────────────────────────────


async def test_a_stock_client_follows_a_clone_to_its_end(service: Service, ann: Person) -> None:
    clone = await service.ringing_clone(ann)
    transport = WebsocketsTransport(service.socket_url, init_payload={"authorization": f"Bearer {ann.token}"})
    seen = []
    async with asyncio.timeout(WITHIN), Client(transport=transport, fetch_schema_from_transport=True) as session:
        request = GraphQLRequest(FOLLOW_CLONE, variable_values={"id": str(GlobalID("Clone", clone.id))})
        async for result in session.subscribe(request):
            seen.append(result["clone"]["status"])
            if seen == ["RINGING"]:
                await service.move(clone, CloneStatus.ANSWERED)
            elif seen[-1] == "ANSWERED":
                await service.studio.clones.cancel(ann.id, clone.id)
    assert seen == ["RINGING", "ANSWERED", "CANCELED"]


async def test_what_is_over_is_told_once_and_completes(service: Service, ann: Person) -> None:
    clone = await service.finished_clone(ann)
    async with _socket(service, _token(ann)) as socket:
        await _subscribe(socket, FOLLOW_CLONE, id=str(GlobalID("Clone", clone.id)))
        assert (await _next(socket))["clone"]["status"] == "FAILED"
        assert await _receive(socket) == {"type": "complete", "id": "1"}


async def test_a_call_is_followed(service: Service, ann: Person) -> None:
    clone = await service.ringing_clone(ann)
    async with _socket(service, _token(ann)) as socket:
        query = "subscription ($id: ID!) { call(id: $id) { status } }"
        await _subscribe(socket, query, id=str(GlobalID("Call", str(clone.call_id))))
        statuses = [(await _next(socket))["call"]["status"]]
        await service.studio.calls.hang_up(ann.id, str(clone.call_id))
        while (message := await _receive(socket))["type"] == "next":
            statuses.append(message["payload"]["data"]["call"]["status"])
        assert message["type"] == "complete"
    assert statuses[-1] == "CANCELED"


async def test_speech_comes_as_it_is_made_and_is_resumed_after_a_cursor(service: Service, ann: Person) -> None:
    service.provider.speaking.hold()
    synthesis = await service.speak(ann, "one two three")
    node_id = str(GlobalID("Synthesis", synthesis.id))
    async with _socket(service, _token(ann)) as socket:
        await _subscribe(socket, FOLLOW_SPEECH, id=node_id)
        first = (await _next(socket))["synthesis"]
        assert (first["__typename"], first["cursor"]) == ("SynthesisProgress", 0)
        assert first["synthesis"]["status"] in ("QUEUED", "SYNTHESIZING")
        service.provider.speaking.let()
        chunk = await _next_chunk(socket)
        assert (chunk["cursor"], chunk["startMs"], chunk["sampleRate"]) == (1, 0.0, 24_000)
        sound = Pcm.from_int16(base64.b64decode(chunk["pcm"]), 24_000)
        assert sound.seconds == pytest.approx(0.1)
        assert pitch_of(sound) == pytest.approx(110, abs=11)
        await _send(socket, type="complete", id="1")

        service.provider.speaking.open()
        await _subscribe(socket, FOLLOW_SPEECH, id=node_id, after=1)
        chunks = [await _next_chunk(socket), await _next_chunk(socket)]
        assert [(chunk["cursor"], round(chunk["startMs"])) for chunk in chunks] == [(2, 100), (3, 200)]
        end = (await _next(socket))["synthesis"]
        while end["synthesis"]["status"] != "DONE":
            end = (await _next(socket))["synthesis"]
        assert end["cursor"] == 3
        assert await _receive(socket) == {"type": "complete", "id": "1"}


async def _next_chunk(socket: ClientConnection) -> Any:
    while (event := (await _next(socket))["synthesis"])["__typename"] != "SpeechChunk":
        pass
    return event


async def test_how_a_synthesis_fails_is_told(service: Service, ann: Person) -> None:
    service.provider.failing = Refused("the tone generator is on fire")
    synthesis = await service.speak(ann, "one two three")
    async with _socket(service, _token(ann)) as socket:
        await _subscribe(socket, FOLLOW_SPEECH, id=str(GlobalID("Synthesis", synthesis.id)))
        while (event := (await _next(socket))["synthesis"])["synthesis"]["status"] != "FAILED":
            pass
        assert event["synthesis"]["failure"]["code"] == "provider_refused"


@pytest.mark.parametrize("what", ["clone", "call", "synthesis"])
async def test_what_belongs_to_somebody_else_is_not_found(
    service: Service, ann: Person, bob: Person, what: str
) -> None:
    clone = await service.finished_clone(ann)
    synthesis = await service.speak(ann, "one two three")
    key = {"clone": clone.id, "call": clone.call_id, "synthesis": synthesis.id}[what]
    query = f"subscription ($id: ID!) {{ {what}(id: $id) {{ __typename }} }}"
    async with _socket(service, _token(bob)) as socket:
        for node_id in (str(GlobalID(what.capitalize(), str(key))), "nonsense"):
            await _subscribe(socket, query, id=node_id)
            message = await _receive(socket)
            [error] = message["payload"]["errors"]
            assert error["extensions"] == {"code": "NOT_FOUND", "field": ["id"]}
            assert await _receive(socket) == {"type": "complete", "id": "1"}


async def test_queries_and_mutations_run_over_the_socket_too(service: Service, ann: Person) -> None:
    async with _socket(service, _token(ann)) as socket:
        await _subscribe(socket, "{ viewer { email } }")
        assert await _next(socket) == {"viewer": {"email": ann.email}}
        assert (await _receive(socket))["type"] == "complete"
        await _subscribe(socket, 'mutation { logIn(input: { email: "a", password: "b" }) { userErrors { code } } }')
        assert await _next(socket) == {"logIn": {"userErrors": [{"code": "NOT_ALLOWED"}]}}


async def test_sse_brings_the_same_events(service: Service, ann: Person) -> None:
    synthesis = await service.speak(ann, "one two")
    content = {"query": FOLLOW_SPEECH, "variables": {"id": str(GlobalID("Synthesis", synthesis.id))}}
    headers = {**ann.headers, "Accept": "text/event-stream"}
    events: list[tuple[str, Any]] = []
    async with service.http.stream("POST", "/graphql", json=content, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                events.append((value, None))
            elif name == "data" and value:
                events[-1] = (events[-1][0], json.loads(value)["data"]["synthesis"])
    assert [name for name, _ in events] == ["next"] * (len(events) - 1) + ["complete"]
    assert [event["cursor"] for _, event in events[:-1] if event["__typename"] == "SpeechChunk"] == [1, 2]
    told = [event["synthesis"]["status"] for _, event in events[:-1] if event["__typename"] == "SynthesisProgress"]
    assert told[-1] == "DONE"


async def test_an_sse_client_that_leaves_takes_its_subscription_along(service: Service, ann: Person) -> None:
    clone = await service.ringing_clone(ann)
    content = {"query": FOLLOW_CLONE, "variables": {"id": str(GlobalID("Clone", clone.id))}}
    headers = {**ann.headers, "Accept": "text/event-stream"}
    async with service.http.stream("POST", "/graphql", json=content, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data"):
                break
    await until(lambda: len(service.studio.hub._watches[f"clone:{clone.id}"]) == 1)  # only its workflow's


# ── who may listen ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["authorization", "token", "header", "cookie"])
async def test_every_credential_is_good_for_a_socket(service: Service, ann: Person, how: str) -> None:
    session = await service.studio.accounts.open_session(ann.id)
    payload = {"authorization": {"authorization": f"Bearer {ann.token}"}, "token": {"token": ann.token}}.get(how)
    headers = {"header": ann.headers, "cookie": {"Cookie": f"session={session}"}}.get(how, {})
    async with _socket(service, payload, **headers) as socket:
        await _subscribe(socket, "{ viewer { email } }")
        assert await _next(socket) == {"viewer": {"email": ann.email}}


async def test_nobody_may_open_a_socket_but_sees_nothing(service: Service) -> None:
    async with _socket(service) as socket:
        await _subscribe(socket, "{ viewer { email } }")
        assert await _next(socket) == {"viewer": None}
        assert (await _receive(socket))["type"] == "complete"
        await _subscribe(socket, FOLLOW_CLONE, id="x")
        [error] = (await _receive(socket))["payload"]["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("payload", [{"token": "dr_nonsense"}, {"authorization": "Basic x"}, {"authorization": 7}])
async def test_a_socket_with_a_wrong_token_is_closed(service: Service, payload: Any) -> None:
    async with asyncio.timeout(WITHIN), _bare_socket(service) as socket:
        await _send(socket, type="connection_init", payload=payload)
        assert await _closed_with(socket) == 4403


async def test_another_sites_page_gets_no_socket(service: Service) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with _bare_socket(service, Origin="https://evil.example.com"):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("how", ["session", "token"])
async def test_a_socket_knows_when_its_sign_in_has_ended(
    service: Service, ann: Person, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("api.context.RECHECK_SECONDS", 0.0)
    clone = await service.ringing_clone(ann)
    session = await service.studio.accounts.open_session(ann.id)
    payload, headers = (_token(ann), {}) if how == "token" else (None, {"Cookie": f"session={session}"})
    async with _socket(service, payload, **headers) as socket:
        await _subscribe(socket, FOLLOW_CLONE, id=str(GlobalID("Clone", clone.id)))
        assert (await _next(socket))["clone"]["status"] == "RINGING"
        await _end_sign_ins(service, ann, session)
        await _subscribe(socket, "{ viewer { email } }", "2")
        assert await _next(socket) == {"viewer": None}
        assert (await _receive(socket))["type"] == "complete"
        await service.move(clone, CloneStatus.ANSWERED)
        message = await _receive(socket)
        assert message["payload"]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert await _receive(socket) == {"type": "complete", "id": "1"}


@pytest.mark.parametrize("how", ["session", "token"])
async def test_so_does_a_stream_of_events(
    service: Service, ann: Person, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("api.context.RECHECK_SECONDS", 0.0)
    clone = await service.ringing_clone(ann)
    session = await service.studio.accounts.open_session(ann.id)
    shown = ann.headers if how == "token" else {"Cookie": f"session={session}"}
    content = {"query": FOLLOW_CLONE, "variables": {"id": str(GlobalID("Clone", clone.id))}}
    headers = {**shown, "Accept": "text/event-stream"}
    async with (
        asyncio.timeout(WITHIN),
        service.http.stream("POST", "/graphql", json=content, headers=headers) as answer,
    ):
        lines = (line.removeprefix("data: ") async for line in answer.aiter_lines() if line.startswith("data: {"))
        assert json.loads(await anext(lines))["data"]["clone"]["status"] == "RINGING"
        await _end_sign_ins(service, ann, session)
        await service.move(clone, CloneStatus.ANSWERED)
        [error] = json.loads(await anext(lines))["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"


async def _end_sign_ins(service: Service, person: Person, session: str) -> None:
    await service.studio.accounts.close_session(session)
    for token in await service.studio.accounts.tokens(person.id):
        await service.studio.accounts.revoke_token(person.id, token.id)


# ── how sockets are misused ──────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", ["graphql-ws", "nonsense"])
async def test_only_the_present_protocol_is_spoken(service: Service, protocol: str) -> None:
    async with asyncio.timeout(WITHIN), _bare_socket(service, protocol) as socket:
        assert socket.subprotocol is None
        assert await _closed_with(socket) == 4406


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x01",
        "not json",
        "[]",
        "7",
        '"text"',
        '{"no": "type"}',
        '{"type": 7}',
        '{"type": "nonsense"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": 7, "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": "1", "payload": "query"}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 7}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{"}}',
        '{"type": "complete"}',
    ],
)
async def test_nonsense_closes_the_socket_politely(service: Service, message: str | bytes) -> None:
    async with _socket(service) as socket:
        await socket.send(message)
        assert await _closed_with(socket) == 4400


async def test_a_message_that_is_too_long_closes_the_socket(service: Service) -> None:
    async with _socket(service) as socket:
        await _subscribe(socket, "{ viewer { id } } #" + "x" * MAX_MESSAGE)
        assert await _closed_with(socket) == 1009


async def test_a_socket_that_never_introduces_itself_is_closed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    [endpoint] = [route.app for route in service.app.routes if isinstance(route, WebSocketRoute)]
    monkeypatch.setattr(endpoint, "connection_init_wait_timeout", timedelta(seconds=0.05))
    async with asyncio.timeout(WITHIN), _bare_socket(service) as socket:
        assert await _closed_with(socket) == 4408


async def test_subscribing_before_introducing_oneself_closes_the_socket(service: Service) -> None:
    async with asyncio.timeout(WITHIN), _bare_socket(service) as socket:
        await _subscribe(socket, "{ __typename }")
        assert await _closed_with(socket) == 4401


async def test_a_socket_carries_only_so_many_subscriptions(service: Service, ann: Person) -> None:
    clone = await service.ringing_clone(ann)
    node_id = str(GlobalID("Clone", clone.id))
    async with _socket(service, _token(ann)) as socket:
        for number in range(MAX_SUBSCRIPTIONS):
            await _subscribe(socket, FOLLOW_CLONE, str(number), id=node_id)
            await _next(socket)
        await _subscribe(socket, FOLLOW_CLONE, "one more", id=node_id)
        message = await _receive(socket)
        assert (message["type"], message["id"]) == ("error", "one more")


async def test_messages_are_not_compressed(service: Service) -> None:
    async with _socket(service) as socket:
        assert socket.response is not None
        assert "sec-websocket-extensions" not in socket.response.headers


async def test_a_torn_connection_ends_its_subscriptions(service: Service, ann: Person) -> None:
    clone = await service.ringing_clone(ann)
    async with _socket(service, _token(ann)) as socket:
        await _subscribe(socket, FOLLOW_CLONE, id=str(GlobalID("Clone", clone.id)))
        await _next(socket)
        socket.transport.abort()
    await until(lambda: len(service.studio.hub._watches[f"clone:{clone.id}"]) == 1)  # only its workflow's
