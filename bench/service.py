"""The service under load: how soon it is up, how quickly webhooks are answered, how quickly subscribers hear of it.

A service is run as a user would run it, with the local exchange as the carrier. The phones of the calls are nobody's:
this program plays the carrier's part in their webhooks, signed with the account's token.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import connect

from bench.figures import Figure, at_most, percentile

CALLS = 20
SUBSCRIBERS = 100
ROUNDS = 60  # of the hold loop, for each call
WARMING = 20.0  # seconds in which the first call of a service has its models loaded
SPREAD = 10.0  # seconds in which the calls are answered, one after the other
PAUSE = 0.5  # seconds between a call's webhooks: four times as often as in reality
_ACCOUNT, _TOKEN = "AC" + "b" * 32, "0123456789abcdef0123456789abcdef"


async def main() -> list[Figure]:
    figures = []
    async with _exchange() as exchange, _service(exchange) as (server, seconds):
        figures.append(at_most("service start, no models loaded", seconds, 3.0, "s"))
        async with httpx.AsyncClient(base_url=server, timeout=30) as client:
            await _started_call(server, 0)
            await asyncio.sleep(WARMING)
            latencies, base = await _webhooks(client, server, await _started_calls(server, 1), SPREAD)
            p99, base_p99 = percentile(latencies, 99), percentile(base, 99)
            name = (
                f"webhook answers with {CALLS} calls in progress, one of each every {PAUSE} s, p99 of {len(latencies)}"
            )
            figures.append(at_most(name, p99, 50, "ms"))
            figures.append(Figure("… p50", f"{percentile(latencies, 50):.3g} ms"))
            figures.append(Figure("… p99 beside an empty answer (/healthz) in the same run", f"× {p99 / base_p99:.1f}"))
            late = await _subscribers(server, client, await _started_call(server, 1 + CALLS))
            name = f"state change → subscriber, {SUBSCRIBERS} subscribers, p95 of {len(late)}"
            figures.append(at_most(name, percentile(late, 95), 50, "ms"))
            figures.append(Figure("… p50", f"{percentile(late, 50):.3g} ms"))
    # Another service: one lets only so many people sign up from one address.
    async with (
        _exchange() as exchange,
        _service(exchange) as (server, _),
        httpx.AsyncClient(base_url=server, timeout=30) as client,
    ):
        await _started_call(server, 0)
        await asyncio.sleep(WARMING)
        together, _ = await _webhooks(client, server, await _started_calls(server, 1), PAUSE)
        name = f"webhook answers when all {CALLS} calls begin within {PAUSE} s and go on in step, p99"
        figures.append(at_most(name, percentile(together, 99), 50, "ms"))
    return figures


@dataclass(frozen=True)
class Call:
    id: str
    clone_id: str
    token: str
    code: str
    sid: str


async def _started_call(server: str, number: int) -> Call:
    """A user of its own, whose phone is being called."""
    email, phone = f"bench-{secrets.token_hex(6)}@example.com", f"+1415555{2000 + number}"
    account = {"email": email, "password": secrets.token_urlsafe(12), "phone": phone}
    async with httpx.AsyncClient(base_url=server, timeout=30) as client:
        await _ask(client, "mutation($i: SignUpInput!) { signUp(input: $i) { userErrors { message } } }", i=account)
        made = await _ask(client, 'mutation { createApiToken(input: {label: "bench"}) { secret } }')
        secret = made["createApiToken"]["secret"]
        started = (await _ask(client, _START_CLONE))["startClone"]
        if started["userErrors"]:
            raise RuntimeError(started["userErrors"])
        clone = started["clone"]
        while True:
            call = (await _ask(client, "query($id: ID!) { call(id: $id) { sid } }", id=clone["call"]["id"]))["call"]
            if call["sid"] is not None:
                return Call(clone["call"]["id"], clone["id"], secret, clone["call"]["confirmationCode"], call["sid"])
            await asyncio.sleep(0.05)


_START_CLONE = """mutation {
  startClone(input: {name: "Bench"}) { clone { id call { id confirmationCode } } userErrors { message } }
}"""


class Carrier:
    """The carrier's part in one call: webhooks, signed, each timed in ms."""

    def __init__(self, client: httpx.AsyncClient, server: str, call: Call) -> None:
        self._client = client
        self._base = f"{server}/telephony/calls/{_row_id(call.id)}"
        self._call = call
        self._step = 0
        self._validator = RequestValidator(_TOKEN)

    async def post(self, place: str, **parameters: str) -> float:
        self._step += 1
        query = "&attempt=1" if place == "consent" else "&waited=1" if place == "review" else ""
        url = f"{self._base}/{place}?step={self._step}{query}"
        form = {"AccountSid": _ACCOUNT, "CallSid": self._call.sid, **parameters}
        headers = {"X-Twilio-Signature": self._validator.compute_signature(url, form)}
        began = time.perf_counter()
        response = await self._client.post(url, data=form, headers=headers)
        took = time.perf_counter() - began
        response.raise_for_status()
        return took * 1000

    async def up_to_review(self) -> AsyncIterator[float]:
        """What comes before the hold loop, one after the other."""
        yield await self.post("answer")
        yield await self.post("consent", Digits=self._call.code)
        sid = f"RE{secrets.token_hex(16)}"
        yield await self.post("take", RecordingSid=sid, RecordingDuration="25", Digits="1")


async def _started_calls(server: str, first: int) -> Sequence[Call]:
    return await asyncio.gather(*(_started_call(server, number) for number in range(first, first + CALLS)))


async def _webhooks(
    client: httpx.AsyncClient, server: str, calls: Sequence[Call], spread: float
) -> tuple[list[float], list[float]]:
    """How long the answers took, in ms: of the calls' webhooks, and of as many requests for nothing in between. The
    calls are answered within `spread` seconds."""

    async def one(call: Call) -> tuple[list[float], list[float]]:
        carrier = Carrier(client, server, call)
        took, base = [], []
        await asyncio.sleep(secrets.randbelow(1000) / 1000 * spread)
        async for ms in carrier.up_to_review():
            took.append(ms)
            await asyncio.sleep(PAUSE)
        for _ in range(ROUNDS):
            await asyncio.sleep(PAUSE)
            took.append(await carrier.post("review"))
            began = time.perf_counter()
            await client.get(f"{server}/healthz")
            base.append((time.perf_counter() - began) * 1000)
        return took, base

    results = await asyncio.gather(*(one(call) for call in calls))
    return [ms for took, _ in results for ms in took], [ms for _, base in results for ms in base]


async def _subscribers(server: str, client: httpx.AsyncClient, call: Call) -> list[float]:
    """For each subscriber and change: ms from the change, as its row dates it, to the message's arrival."""
    late: list[float] = []
    ready = asyncio.Semaphore(0)

    async def one() -> None:
        async with connect(f"{server.replace('http', 'ws', 1)}/graphql", subprotocols=_PROTOCOLS) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": {"token": call.token}}))
            query = "subscription($id: ID!) { clone(id: $id) { status statusChangedAt } }"
            payload = {"query": query, "variables": {"id": call.clone_id}}
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            first = True
            async for text in socket:
                arrived = time.time()
                message = json.loads(text)
                if message["type"] != "next":
                    continue
                clone = message["payload"]["data"]["clone"]
                if first:
                    first = False
                    ready.release()
                else:
                    late.append((arrived - datetime.fromisoformat(clone["statusChangedAt"]).timestamp()) * 1000)
                if clone["status"] == "REVIEWING":
                    return

    async with asyncio.TaskGroup() as group:
        for _ in range(SUBSCRIBERS):
            group.create_task(one())
        for _ in range(SUBSCRIBERS):
            await ready.acquire()
        async for _ in Carrier(client, server, call).up_to_review():
            await asyncio.sleep(PAUSE)
    return late


_PROTOCOLS: Any = ["graphql-transport-ws"]


async def _ask(client: httpx.AsyncClient, query: str, **variables: object) -> Any:
    answer = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
    if answer.get("errors"):
        raise RuntimeError(answer["errors"])
    return answer["data"]


def _row_id(global_id: str) -> str:
    """What a relay id stands for: base64 of `Type:id`."""
    return base64.b64decode(global_id).decode().partition(":")[2]


@asynccontextmanager
async def _exchange() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TWILIO_ACCOUNT_SID": _ACCOUNT, "TWILIO_AUTH_TOKEN": _TOKEN}
        command = (sys.executable, "-m", "telephony.exchange", "--port", "0", "--data", folder, "--log-level", "error")
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            yield json.loads(await process.stdout.readline())["url"]
        finally:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def _service(exchange: str) -> AsyncIterator[tuple[str, float]]:
    """A running service: its address, and how many seconds it took to be ready."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        environment = {
            **os.environ,
            "DATA_DIR": stack.enter_context(tempfile.TemporaryDirectory()),
            "MODELS_DIR": str(_MODELS),
            "PUBLIC_BASE_URL": server,
            "TWILIO_ACCOUNT_SID": _ACCOUNT,
            "TWILIO_AUTH_TOKEN": _TOKEN,
            "TWILIO_CALLER_ID": "+15005550006",
            "TWILIO_API_URL": exchange,
            "LOG_LEVEL": "ERROR",
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


if __name__ == "__main__":
    for figure in asyncio.run(main()):
        print(f"{figure.name:<70} {figure.value:>12}  {figure.goal}")
