"""A service as a user would run it, and the carrier's part in its calls."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from twilio.request_validator import RequestValidator

ACCOUNT, TOKEN = "AC" + "b" * 32, "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Call:
    """`code`: what the caller has to key in to agree; `token`: of whose phone rings."""

    id: str
    clone_id: str
    token: str
    code: str
    sid: str


async def new_person(server: str, number: int) -> str:
    """Somebody who has signed up, with a phone of their own: their API token."""
    email, phone = f"bench-{secrets.token_hex(6)}@example.com", f"+1415555{2000 + number}"
    account = {"email": email, "password": secrets.token_urlsafe(12), "phone": phone}
    async with httpx.AsyncClient(base_url=server, timeout=30) as client:
        await ask(client, "mutation($i: SignUpInput!) { signUp(input: $i) { userErrors { message } } }", i=account)
        made = await ask(client, 'mutation { createApiToken(input: {label: "bench"}) { secret } }')
        return str(made["createApiToken"]["secret"])


async def started_call(server: str, token: str) -> Call:
    """A person's phone is being called."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=server, timeout=30, headers=headers) as client:
        started = (await ask(client, _START_CLONE))["startClone"]
        if started["userErrors"]:
            raise RuntimeError(started["userErrors"])
        clone = started["clone"]
        while True:
            call = (await ask(client, "query($id: ID!) { call(id: $id) { sid } }", id=clone["call"]["id"]))["call"]
            if call["sid"] is not None:
                code = clone["call"]["confirmationCode"] or "1"
                return Call(clone["call"]["id"], clone["id"], token, code, call["sid"])
            await asyncio.sleep(0.05)


_START_CLONE = """mutation {
  startClone(input: {name: "Bench"}) { clone { id call { id confirmationCode } } userErrors { message } }
}"""


class Carrier:
    """The carrier's part in one call: webhooks, signed, each timed in ms. `answer` is the last document."""

    def __init__(self, client: httpx.AsyncClient, server: str, call: Call) -> None:
        self._client = client
        self._base = f"{server}/telephony/calls/{row_id(call.id)}"
        self._call = call
        self._step = 0
        self._validator = RequestValidator(TOKEN)
        self.answer = ""

    async def post(self, place: str, **parameters: str) -> float:
        self._step += 1
        query = "&attempt=1" if place in ("consent", "choice") else "&waited=1" if place == "review" else ""
        url = f"{self._base}/{place}?step={self._step}{query}"
        form = {"AccountSid": ACCOUNT, "CallSid": self._call.sid, **parameters}
        headers = {"X-Twilio-Signature": self._validator.compute_signature(url, form)}
        began = time.perf_counter()
        response = await self._client.post(url, data=form, headers=headers)
        took = time.perf_counter() - began
        response.raise_for_status()
        self.answer = response.text
        return took * 1000

    async def up_to_review(self) -> AsyncIterator[float]:
        """What comes before the hold loop, one after the other."""
        yield await self.post("answer")
        yield await self.post("consent", Digits=self._call.code)
        sid = f"RE{secrets.token_hex(16)}"
        yield await self.post("take", RecordingSid=sid, RecordingDuration="25", Digits="1")


async def ask(client: httpx.AsyncClient, query: str, **variables: object) -> Any:
    answer = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
    if answer.get("errors"):
        raise RuntimeError(answer["errors"])
    return answer["data"]


def row_id(global_id: str) -> str:
    """What a relay id stands for: base64 of `Type:id`."""
    return base64.b64decode(global_id).decode().partition(":")[2]


@asynccontextmanager
async def running_service(carrier: str, **settings: str) -> AsyncIterator[tuple[str, float]]:
    """A running service: its address, and how many seconds it took to be ready. `carrier` is the address of Twilio's
    API; `settings` are further variables of its environment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        environment = {
            **os.environ,
            "DATA_DIR": stack.enter_context(tempfile.TemporaryDirectory()),
            "MODELS_DIR": str(_MODELS),
            "PUBLIC_BASE_URL": server,
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "TWILIO_CALLER_ID": "+15005550006",
            "TWILIO_API_URL": carrier,
            "LOG_LEVEL": "ERROR",
            **settings,
        }
        began = time.perf_counter()
        command = (sys.executable, "-m", "deadringer", "serve", "--no-exchange", "--port", str(port))
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(60), httpx.AsyncClient() as client:
                while not await _is_ready(client, server):  # noqa: ASYNC110  (it is another process)
                    await asyncio.sleep(0.02)
            yield server, time.perf_counter() - began
        finally:
            process.terminate()
            await process.wait()


async def _is_ready(client: httpx.AsyncClient, server: str) -> bool:
    try:
        return (await client.get(f"{server}/readyz")).is_success
    except httpx.TransportError:
        return False


_MODELS = Path(os.environ.get("MODELS_DIR", "data/models")).absolute()
