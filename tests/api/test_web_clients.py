"""What JavaScript clients find: the audits of graphql-http, and the reference clients of graphql-ws and graphql-sse."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from strawberry.relay import GlobalID

from tests.api.service import Person, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
WEB = ROOT / "tests" / "web"
_SECONDS = 120


async def _run(*command: str) -> list[str]:
    """The lines that a command prints."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=WEB, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_SECONDS):
        printed, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return printed.decode().splitlines()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> str:
    """Node.js, with the packages of package-lock.json: `make setup` has installed them, or this does."""
    found = shutil.which("node")
    assert found, "Node.js is missing: see README.md"
    if not (WEB / "node_modules").is_dir():
        await _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    return found


async def test_the_audits_find_nothing_that_is_not_written_down(service: Service, node: str) -> None:
    audits = [json.loads(line) for line in await _run(node, "audit.mjs", f"{service.url}/graphql")]
    assert len(audits) > 50
    unmet = {audit["id"]: audit for audit in audits if audit["status"] != "ok"}
    assert [audit for audit in unmet.values() if audit["name"].startswith("MUST")] == []
    # docs/graphql.md lists the rest, with the reason for each.
    manual = (ROOT / "docs" / "graphql.md").read_text("utf-8")
    written = set(re.findall(r"^\| `([0-9A-Z]{4})` \|", manual, re.MULTILINE))
    assert set(unmet) == written


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_the_reference_clients_follow_speech(service: Service, ann: Person, node: str, transport: str) -> None:
    synthesis = await service.speak(ann, "one two three")
    query = """subscription ($id: ID!) { synthesis(id: $id) { cursor
        ... on SynthesisProgress { synthesis { status } } ... on SpeechChunk { startMs } } }"""
    url = service.socket_url if transport == "ws" else f"{service.url}/graphql"
    variables = json.dumps({"id": str(GlobalID("Synthesis", synthesis.id))})
    lines = await _run(node, "follow.mjs", transport, url, ann.token, query, variables)
    events: list[Any] = [json.loads(line)["data"]["synthesis"] for line in lines]
    assert [event["cursor"] for event in events if "startMs" in event] == [1, 2, 3]
    assert {"status": "DONE"} in [event.get("synthesis") for event in events]


async def test_nothing_is_installed_from_anywhere_but_the_registry() -> None:
    """The lock files name versions and hashes; where they come from is the machine's own affair."""
    for folder in (WEB, ROOT / "client" / "playground"):
        lock = json.loads((folder / "package-lock.json").read_text("utf-8"))
        for path, package in lock["packages"].items():
            if path:
                assert package["integrity"].startswith("sha512-"), path
                assert "resolved" not in package, path
