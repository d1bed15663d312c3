"""GraphQL over HTTP as the specification has it, and what every answer carries."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import pytest

from api.endpoint import RESPONSE_TYPE
from api.logs import set_up_logs
from api.middleware import MAX_BODY
from tests.api.service import Person, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = "application/json"


async def _post(service: Service, content: Any, accept: str | None = None, **headers: str) -> Any:
    given = {"Content-Type": JSON, **({"Accept": accept} if accept else {}), **headers}
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return await service.http.post("/graphql", content=body, headers=given)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, JSON),
        ("*/*", JSON),
        (JSON, JSON),
        (RESPONSE_TYPE, RESPONSE_TYPE),
        (f"{RESPONSE_TYPE}, {JSON};q=0.9", RESPONSE_TYPE),
        (f"{JSON};q=0.5, {RESPONSE_TYPE.upper()}", RESPONSE_TYPE),
    ],
)
async def test_the_answer_has_the_type_that_was_asked_for(
    service: Service, accept: str | None, content_type: str
) -> None:
    answer = await _post(service, {"query": "{ __typename }"}, accept)
    assert answer.headers["content-type"].partition(";")[0] == content_type
    assert answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    "content",
    [
        {"query": "{"},
        {"query": "{ nothing }"},
        {"query": "query ($id: ID!) { node(id: $id) { id } }"},
        {"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": None}},
    ],
)
async def test_a_document_that_cannot_be_run_has_no_data_and_for_those_who_ask_no_200(
    service: Service, content: dict[str, Any]
) -> None:
    for accept, status in ((JSON, 200), (RESPONSE_TYPE, 400)):
        answer = await _post(service, content, accept)
        assert answer.status_code == status
        assert "data" not in answer.json()
        assert answer.json()["errors"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"{}",
        b'{"query": null}',
        b'{"query": ""}',
        b'{"query": 7}',
        b'{"query": ["{ __typename }"]}',
        b'{"query": "{ __typename }", "variables": "text"}',
        b'{"query": "{ __typename }", "extensions": []}',
        b'{"query": "{ __typename }", "operationName": {}}',
        b'{"query": "{ __typename }", "operationName": "Other"}',
        b'[{"query": "{ __typename }"}]',
        b'{"query": "subscription { clone(id: \\"x\\") { id } }"}',
    ],
)
async def test_a_request_that_is_none_is_refused_in_words(service: Service, body: bytes) -> None:
    answer = await _post(service, body)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["message"]


async def test_get_reads_and_does_not_write(service: Service) -> None:
    parameters = {"query": "query ($name: String!) { __type(name: $name) { name } }", "variables": '{"name": "Clone"}'}
    answer = await service.http.get("/graphql", params=parameters)
    assert answer.json() == {"data": {"__type": {"name": "Clone"}}}
    assert (await service.http.get("/graphql", params={"query": "{ __typename }", "variables": "null"})).json()["data"]
    mutation = {"query": "mutation { logOut(input: {}) { userErrors { code } } }"}
    assert (await service.http.get("/graphql", params=mutation)).status_code == 400
    assert (await service.http.get("/graphql", params={"query": "{ a }", "variables": "{"})).status_code == 400


async def test_other_methods_and_types_are_refused(service: Service) -> None:
    for method in ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        answer = await service.http.request(method, "/graphql")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    answer = await service.http.post("/graphql", content=b"{ __typename }", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400
    assert (await _post(service, {"query": "{ __typename }"}, "text/css")).status_code == 406


async def test_a_body_that_is_too_large_is_not_read(service: Service) -> None:
    answer = await _post(service, {"query": "{ __typename }" + " " * MAX_BODY})
    assert answer.status_code == 413
    assert "too large" in answer.json()["errors"][0]["message"]

    async def pieces() -> Any:  # without a length
        for _ in range(MAX_BODY // 1000 + 2):
            yield b" " * 1000

    answer = await service.http.post("/graphql", content=pieces(), headers={"Content-Type": JSON})
    assert answer.status_code == 413


async def test_what_goes_wrong_on_our_side_stays_there_under_an_id(
    service: Service, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> None:
        raise RuntimeError("the secret name of the database is +14155552671")

    monkeypatch.setattr(service.studio.accounts, "tokens", failing)
    log = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    set_up_logs("INFO", log)
    try:
        [error] = await service.errors("{ viewer { email apiTokens { id } } }", ann)
    finally:
        root.handlers[:], root.level = before[0], before[1]
    found = re.fullmatch(r"Something went wrong on our side \(error id ([0-9a-f]{12})\)\.", error["message"])
    assert found
    assert error["path"] == ["viewer", "apiTokens"]
    assert error["extensions"] == {"code": "INTERNAL", "errorId": found[1]}
    [line] = [entry for entry in map(json.loads, log.getvalue().splitlines()) if entry.get("error_id") == found[1]]
    assert "RuntimeError: the secret name of the database is +1415•••2671" in line["exception"]
    assert line["request_id"]
    assert ann.token not in log.getvalue()


async def test_every_answer_tells_browsers_to_be_careful(service: Service) -> None:
    for path in ("/graphql?query={__typename}", "/healthz", "/nowhere", "/audio/syntheses/x.wav"):
        headers = (await service.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        assert "strict-transport-security" not in headers  # not while we are reached by http


async def test_requests_have_ids_that_a_proxy_may_give(service: Service) -> None:
    assert (await service.http.get("/healthz", headers={"X-Request-ID": "proxy-1234"})).headers[
        "x-request-id"
    ] == "proxy-1234"
    for odd in ("short", "x" * 80, "with space", "semi;colon"):
        given = (await service.http.get("/healthz", headers={"X-Request-ID": odd})).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{16}", given)
