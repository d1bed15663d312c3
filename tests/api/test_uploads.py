"""Files that come with requests, and the clones that are made of them."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any
from urllib.parse import urlsplit

import pytest
from cross_web import HTTPException
from gql import Client, FileVar, GraphQLRequest
from gql.transport.httpx import HTTPXAsyncTransport
from hypothesis import given
from hypothesis import strategies as st
from starlette import formparsers
from starlette.datastructures import UploadFile
from strawberry.relay import GlobalID

from api import uploads
from api.auth import PREFLIGHTED
from api.schema.clones import FILE_CONSENT
from api.uploads import MAX_UPLOAD, operations_of
from studio.states import CloneStatus
from tests.api.service import WITHIN, Person, Service, until
from tests.audio.recordings import recording
from tests.audio.sounds import CALLER

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLONE = """mutation ($input: CloneFromAudioInput!) {
  result: cloneFromAudio(input: $input) {
    clone { id name status call { id } consent { how wording } } userErrors { field message code } } }"""
RETRY = """mutation ($id: ID!) {
  result: retryClone(input: {id: $id}) { clone { id name status call { phone } } userErrors { field code } } }"""
INPUT = {"name": "Me", "audio": None, "consent": True}
MAP = {"0": ["variables.input.audio"]}
MANUAL = Path(__file__).parents[2] / "docs" / "graphql.md"
CONTENT = "multipart/form-data; boundary=b"


def _form(input: Any = INPUT, places: Any = MAP, query: str = CLONE) -> dict[str, str]:
    return {"operations": json.dumps({"query": query, "variables": {"input": input}}), "map": json.dumps(places)}


async def _send(service: Service, person: Person, data: bytes, **input: Any) -> Any:
    files = {"0": ("voice", data)}
    answer = await service.http.post("/graphql", data=_form({**INPUT, **input}), files=files, headers=person.headers)
    assert answer.status_code == 200
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]["result"]


@asynccontextmanager
async def _connection(service: Service) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def _head(person: Person | None, length: int = 1 << 20, **headers: str) -> bytes:
    lines = {"Host": "localhost", "Content-Type": CONTENT, "Content-Length": str(length), **headers}
    lines |= person.headers if person else {}
    return "\r\n".join(
        ["POST /graphql HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""]
    ).encode()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and body."""
    async with asyncio.timeout(WITHIN):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), (await reader.readexactly(length)).decode()


@pytest.fixture
def spooled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The files that were received; each has to be closed, and with that is gone."""
    files: list[Any] = []

    class Noted(SpooledTemporaryFile[bytes]):
        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            files.append(self)

    monkeypatch.setattr(formparsers, "SpooledTemporaryFile", Noted)
    return files


# ── sending one ──────────────────────────────────────────────────────────────


async def test_a_voice_is_made_of_a_file(service: Service, ann: Person, spooled: list[Any]) -> None:
    result = await _send(service, ann, CALLER.read_bytes())
    assert result["userErrors"] == []
    clone = result["clone"]
    assert (clone["name"], clone["call"]) == ("Me", None)
    assert clone["consent"]["wording"] == FILE_CONSENT
    async with asyncio.timeout(2 * WITHIN):
        async for row in service.studio.clones.follow(ann.id, GlobalID.from_id(clone["id"]).node_id):
            last = row
    assert last.status is CloneStatus.READY
    shown = "query ($id: ID!) { clone(id: $id) { recording { seconds speechSeconds url } voice { name } } }"
    ready = (await service.ask(shown, ann, id=clone["id"]))["clone"]
    assert ready["recording"]["seconds"] == pytest.approx(25.7, abs=0.1)
    assert ready["voice"] == {"name": "Me"}
    assert [file.closed for file in spooled] == [True]


async def test_a_stock_client_by_token(service: Service, ann: Person, tmp_path: Path) -> None:
    path = tmp_path / "memo.m4a"
    path.write_bytes(recording("m4a"))
    transport = HTTPXAsyncTransport(url=f"{service.url}/graphql", headers=ann.headers)
    async with Client(transport=transport) as session:
        request = GraphQLRequest(CLONE, variable_values={"input": {**INPUT, "audio": FileVar(str(path))}})
        result = (await session.execute(request, upload_files=True))["result"]
    assert result["userErrors"] == []
    assert result["clone"]["name"] == "Me"


async def test_the_manuals_curl(service: Service, ann: Person, tmp_path: Path) -> None:
    (tmp_path / "memo.m4a").write_bytes(recording("m4a"))
    [command] = [block for block in re.findall(r"```sh\n(.*?)```", MANUAL.read_text(), re.S) if "memo.m4a" in block]
    command = command.replace("http://localhost:8000", service.url)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command), cwd=tmp_path, env={**os.environ, "TOKEN": ann.token}, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    assert json.loads(answer)["data"]["cloneFromAudio"]["userErrors"] == []


@pytest.mark.parametrize("header", PREFLIGHTED)
async def test_a_browser_by_its_session(service: Service, header: str) -> None:
    browser, _ = await service.signed_up()
    files = {"0": ("memo.mp3", recording("mp3"))}
    headers = {header: "1", "Origin": service.url}
    answer = await browser.http.post("/graphql", data=_form(), files=files, headers=headers)
    assert answer.json()["data"]["result"]["userErrors"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Requested-With": "fetch", "Origin": "https://evil.example"},
        {"Origin": "null", "X-Requested-With": "fetch"},
    ],
)
async def test_another_sites_page_cannot_send_one(service: Service, headers: dict[str, str]) -> None:
    browser, _ = await service.signed_up()
    files = {"0": ("memo.mp3", recording("mp3"))}
    answer = await browser.http.post("/graphql", data=_form(), files=files, headers=headers)
    assert answer.status_code == 403
    assert (await browser.do("{ viewer { clones { edges { node { id } } } } }"))["clones"]["edges"] == []


async def test_a_file_goes_wherever_the_map_says() -> None:
    file = UploadFile(io.BytesIO(b"x"))
    operations = {"query": "", "variables": {"files": [None, None], "one": {"more": [{"file": None}]}}}
    places = {"f": ["variables.files.1", "variables.one.more.0.file"]}
    form = {"operations": json.dumps(operations), "map": json.dumps(places), "f": file}
    assert operations_of(form)["variables"] == {"files": [None, file], "one": {"more": [{"file": file}]}}


# ── what has to be mended ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "input", "field", "code"),
    [
        (b"Dear Sir or Madam", {}, "audio", "INVALID"),
        (b"", {}, "audio", "INVALID"),
        (b"RIFF\x24\0\0\0WAVEfmt ", {}, "audio", "INVALID"),
        (recording("wav"), {"consent": False}, "consent", "REQUIRED"),
        (recording("wav"), {"name": " "}, "name", "REQUIRED"),
        (recording("wav"), {"provider": "nobody"}, "provider", "NOT_FOUND"),
    ],
)
async def test_a_file_that_makes_no_clone(
    service: Service, ann: Person, spooled: list[Any], data: bytes, input: Any, field: str, code: str
) -> None:
    result = await _send(service, ann, data, **input)
    assert result["clone"] is None
    [error] = result["userErrors"]
    assert (error["field"], error["code"]) == ([field], code)
    assert all(file.closed for file in spooled)


async def test_a_file_makes_one_clone(service: Service, ann: Person) -> None:
    one = "cloneFromAudio(input: $input) { clone { id } userErrors { message } }"
    query = f"mutation ($input: CloneFromAudioInput!) {{ a: {one} b: {one} }}"
    files = {"0": recording("wav")}
    answer = await service.http.post("/graphql", data=_form(query=query), files=files, headers=ann.headers)
    first, second = answer.json()["data"].values()
    assert first["clone"]
    assert second["clone"] is None
    assert "used already" in second["userErrors"][0]["message"]


async def test_a_file_cannot_come_as_json(service: Service, ann: Person) -> None:
    for value in ("memo.mp3", {"name": "memo.mp3"}, 7):
        [error] = await service.errors(CLONE, ann, input={**INPUT, "audio": value})
        assert "multipart" in error["message"]
    inline = 'mutation { cloneFromAudio(input: {name: "Me", audio: "memo.mp3", consent: true}) { clone { id } } }'
    [error] = await service.errors(inline, ann)
    assert "multipart" in error["message"]
    [missing] = await service.errors(CLONE, ann, input=INPUT)
    assert "Upload!" in missing["message"]


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ({}, {"0": b"x"}),
        ({"operations": "{", "map": "{}"}, {"0": b"x"}),
        ({"operations": "[]", "map": "{}"}, {"0": b"x"}),
        ({"operations": f"[{_form()['operations']}]", "map": '{"0": ["0.variables.input.audio"]}'}, {"0": b"x"}),
        ({"operations": "7", "map": "{}"}, {"0": b"x"}),
        ({"operations": "{}", "map": "[]"}, {"0": b"x"}),
        (_form(places=["0"]), {"0": b"x"}),
        (_form(places={"0": "variables.input.audio"}), {"0": b"x"}),
        (_form(places={"0": [7]}), {"0": b"x"}),
        (_form(places={"1": ["variables.input.audio"]}), {"0": b"x"}),
        (_form(places={"operations": ["variables.input.audio"]}), {"0": b"x"}),
        (_form(places={"0": ["query"]}), {"0": b"x"}),
        (_form(places={"0": [""]}), {"0": b"x"}),
        (_form(places={"0": ["variables.input.name"]}), {"0": b"x"}),
        (_form(places={"0": ["variables.input.nothing"]}), {"0": b"x"}),
        (_form(places={"0": ["variables.input.audio.more"]}), {"0": b"x"}),
        (_form(places={"0": ["variables.input.name.0"]}), {"0": b"x"}),
        (_form(input=[None], places={"0": ["variables.input.x"]}), {"0": b"x"}),
        (_form(input=[None], places={"0": ["variables.input.7"]}), {"0": b"x"}),
        (_form(), {"0": b"x", "1": b"y"}),
        ({**_form(), "more": "x"}, {"0": b"x"}),
        ({**_form(), "operations": " " * (1 << 17)}, {"0": b"x"}),
        ({"operations": _form()["operations"], "map": "[" * 5000}, {"0": b"x"}),
    ],
)
async def test_a_form_that_is_none_of_the_specification_is_refused_in_words(
    service: Service, ann: Person, spooled: list[Any], form: dict[str, str], files: dict[str, bytes]
) -> None:
    answer = await service.http.post("/graphql", data=form, files=files, headers=ann.headers)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert len(error["message"].split()) > 4
    assert all(file.closed for file in spooled)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--b\r\n"),
        (CONTENT, b""),
        (CONTENT, b"no boundary at all"),
        (CONTENT, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        pytest.param(
            CONTENT,
            b'--b\r\nContent-Disposition: form-data; name="0"; filename="f"\r\n\r\nnever ends',
            # Starlette forgets such a file. It is gone with the request all the same.
            marks=pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
        ),
        (CONTENT, b"--b\r\n" + b"X-Header: " + b"x" * 100_000 + b"\r\n\r\n\r\n--b--\r\n"),
    ],
)
async def test_a_body_that_is_no_form(service: Service, ann: Person, content_type: str, body: bytes) -> None:
    headers = {**ann.headers, "Content-Type": content_type}
    answer = await service.http.post("/graphql", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"]


async def test_no_stream_is_begun_for_a_request_with_a_file(service: Service, ann: Person) -> None:
    headers = {**ann.headers, "Accept": "text/event-stream"}
    answer = await service.http.post("/graphql", data=_form(), files={"0": b"x"}, headers=headers)
    assert answer.status_code == 406


JSON = st.recursive(
    st.none() | st.integers() | st.sampled_from(["variables.input.audio", "variables.0", "query", "", "0", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["query", "variables", "input", "audio", "f", "0", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON | st.just({"f": ["variables.input.audio"]}))
async def test_whatever_the_form_says_it_is_understood_or_refused(operations: Any, places: Any) -> None:
    form = {"operations": json.dumps(operations), "map": json.dumps(places), "f": UploadFile(io.BytesIO())}
    try:
        assert isinstance(operations_of(form), dict)
    except HTTPException as refused:
        assert refused.status_code == 400  # noqa: PT017


# ── before it is read ────────────────────────────────────────────────────────


async def test_nobodys_file_is_not_read(service: Service) -> None:
    async with _connection(service) as (reader, writer):
        writer.write(_head(None))
        status, body = await _answer(reader)
    assert status == 401
    assert json.loads(body)["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_a_file_that_is_too_large_is_not_read(service: Service, ann: Person, spooled: list[Any]) -> None:
    answer = await service.http.post("/graphql", data=_form(), files={"0": bytes(MAX_UPLOAD)}, headers=ann.headers)
    assert answer.status_code == 413
    assert spooled == []


async def test_a_file_without_a_length_that_grows_too_large(service: Service, ann: Person, spooled: list[Any]) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="0"; filename="f"\r\n\r\n'
        for _ in range((MAX_UPLOAD >> 20) + 1):
            yield bytes(1 << 20)

    headers = {**ann.headers, "Content-Type": CONTENT}
    answer = await service.http.post("/graphql", content=pieces(), headers=headers)
    assert answer.status_code == 413
    assert str(MAX_UPLOAD) in answer.json()["errors"][0]["message"]
    assert [file.closed for file in spooled] == [True]


async def test_files_come_to_one_address_alone(service: Service, ann: Person) -> None:
    files = {"0": bytes(2 << 20)}
    for path in ("/telephony/voice", "/healthz"):
        assert (await service.http.post(path, files=files, headers=ann.headers)).status_code == 413


async def test_a_large_file_goes_to_the_disk(service: Service, ann: Person, spooled: list[Any]) -> None:
    result = await _send(service, ann, b"fLaC" + bytes(20 << 20))
    assert result["userErrors"][0]["field"] == ["audio"]
    [file] = spooled
    assert file._rolled
    assert file.closed


async def test_a_file_that_arrives_too_slowly(
    service: Service, ann: Person, spooled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_SECONDS", 0.1)
    async with _connection(service) as (reader, writer):
        writer.write(_head(ann) + b'--b\r\nContent-Disposition: form-data; name="0"; filename="f"\r\n\r\nslow')
        status, body = await _answer(reader)
        assert await reader.read() == b""  # and the connection is closed
    assert (status, [file.closed for file in spooled]) == (408, [True])
    assert "did not arrive" in body


async def test_a_sender_who_leaves(service: Service, ann: Person, spooled: list[Any]) -> None:
    async with _connection(service) as (_, writer):
        writer.write(_head(ann) + b'--b\r\nContent-Disposition: form-data; name="0"; filename="f"\r\n\r\nhalf')
        await until(lambda: spooled)
    await until(lambda: spooled[0].closed)


async def test_when_there_are_too_many_at_once(service: Service, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "AT_ONCE", 1)
    async with _connection(service) as (reader, writer), _connection(service) as (other_reader, other_writer):
        writer.write(_head(ann, length=10))
        other_writer.write(_head(ann, length=10))
        first = [asyncio.create_task(_answer(each)) for each in (reader, other_reader)]
        [done], [waiting] = await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        status, body = done.result()
        assert status == 503
        assert json.loads(body)["errors"][0]["extensions"] == {"code": "AT_CAPACITY"}
        for each in (writer, other_writer):
            each.write(b"not a form")
        assert (await waiting)[0] == 400  # it has its place all the while
    assert (await _send(service, ann, recording("wav")))["clone"]  # and there is room again


async def test_files_of_one_user_are_limited(service: Service, ann: Person, bob: Person) -> None:
    for _ in range(20):
        assert (await _send(service, ann, b"x"))["userErrors"]
    async with _connection(service) as (reader, writer):
        writer.write(_head(ann))
        status, body = await _answer(reader)
    assert status == 429
    assert json.loads(body)["errors"][0]["extensions"] == {"code": "RATE_LIMITED"}
    assert (await _send(service, bob, b"x"))["userErrors"]


# ── trying again ─────────────────────────────────────────────────────────────


async def test_a_clone_is_tried_again_once(service: Service, ann: Person, bob: Person) -> None:
    failed = str(GlobalID("Clone", (await service.finished_clone(ann, "Again")).id))
    foreign = (await service.ask(RETRY, bob, id=failed))["result"]
    assert foreign == {"clone": None, "userErrors": [{"field": ["id"], "code": "NOT_FOUND"}]}
    again = (await service.ask(RETRY, ann, id=failed))["result"]
    assert again["userErrors"] == []
    assert (again["clone"]["name"], again["clone"]["call"]["phone"]) == ("Again", "+14155552671")
    assert again["clone"]["id"] != failed
    try:
        for clone_id in (failed, again["clone"]["id"]):
            refused = (await service.ask(RETRY, ann, id=clone_id))["result"]
            assert refused == {"clone": None, "userErrors": [{"field": ["id"], "code": "WRONG_STATE"}]}
    finally:
        await service.studio.clones.cancel(ann.id, GlobalID.from_id(again["clone"]["id"]).node_id)


async def test_what_is_no_clone_is_not_tried_again(service: Service, ann: Person) -> None:
    for id in ("", "Clone", str(GlobalID("Voice", "tone:low")), str(GlobalID("Clone", "nothing"))):
        [error] = (await service.ask(RETRY, ann, id=id))["result"]["userErrors"]
        assert error == {"field": ["id"], "code": "NOT_FOUND"}
