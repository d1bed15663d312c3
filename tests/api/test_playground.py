"""What a browser finds at /graphql: everything comes from here, and nothing else can be fetched."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from graphql import parse, validate
from starlette.requests import Request

from api.playground import FOLDER, Playground
from api.schema import schema
from tests.api.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module", autouse=True)
def set_up() -> None:
    """`make setup` has installed the packages, or this does."""
    if not Playground().set_up:
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=FOLDER, check=True)


async def test_a_browser_gets_the_page_and_a_program_does_not(service: Service) -> None:
    page = await service.http.get("/graphql", headers=PAGE)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await service.http.get("/graphql")).status_code == 400
    query = await service.http.get("/graphql", params={"query": "{ __typename }"}, headers=PAGE)
    assert query.json() == {"data": {"__typename": "Query"}}


async def test_all_that_the_page_loads_is_served_from_here(service: Service) -> None:
    page = await service.http.get("/graphql", headers=PAGE)
    assert "http" not in page.text
    links = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(links) == 8
    for link in links:
        file = await service.http.get(link)
        assert file.status_code == 200, link
        assert file.headers["content-encoding"] == "gzip"
        plain = await service.http.get(link, headers={"Accept-Encoding": "identity"})
        assert plain.content == file.content
        again = await service.http.get(link, headers={"If-None-Match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_the_page_may_load_nothing_from_elsewhere(service: Service) -> None:
    policy = (await service.http.get("/graphql", headers=PAGE)).headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "connect-src 'self';" in policy
    assert "http" not in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    "path", ["package.json", "../package.json", "%2e%2e/package.json", "node_modules/react/index.js", ".npmrc", ""]
)
async def test_no_other_file_is_served(service: Service, path: str) -> None:
    assert (await service.http.get(f"/playground/{path}")).status_code == 404


async def test_what_to_do_when_it_is_not_set_up(tmp_path: Path) -> None:
    playground = Playground(tmp_path)
    page = playground.page()
    assert page.status_code == 503
    assert "make setup" in bytes(page.body).decode()
    request = Request({"type": "http", "headers": [], "path_params": {"name": "react.js"}})
    assert (await playground.file(request)).status_code == 404


async def test_the_story_in_its_tabs_is_one_that_the_schema_can_tell() -> None:
    script = (FOLDER / "playground.js").read_text("utf-8")
    queries = re.findall(r"query: `(.*?)`", script, re.DOTALL)
    variables = re.findall(r"variables: (\{.*\}),\n", script)
    assert len(queries) == len(variables) == 5
    for query, given in zip(queries, variables, strict=True):
        assert validate(schema._schema, parse(query)) == []
        assert json.loads(re.sub(r"(\w+):(?= )", r'"\1":', given)).keys() == set(re.findall(r"\$(\w+):", query))
