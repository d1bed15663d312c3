"""The service under load: how soon it is up, how quickly webhooks are answered, how quickly subscribers hear of it.

A service is run as a user would run it, with the local exchange as the carrier. The phones of the calls are nobody's:
this program plays the carrier's part in their webhooks, signed with the account's token.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
from websockets.asyncio.client import connect

from bench.figures import Figure, at_most, percentile
from bench.running import ACCOUNT, TOKEN, Call, Carrier, new_person, running_service, started_call

CALLS = 20
SUBSCRIBERS = 100
ROUNDS = 60  # of the hold loop, for each call
WARMING = 20.0  # seconds in which the first call of a service has its models loaded
SPREAD = 10.0  # seconds in which the calls are answered, one after the other
PAUSE = 0.5  # seconds between a call's webhooks: four times as often as in reality


async def main() -> list[Figure]:
    figures = []
    async with _exchange() as exchange, running_service(exchange) as (server, seconds):
        figures.append(at_most("service start, no models loaded", seconds, 3.0, "s"))
        async with httpx.AsyncClient(base_url=server, timeout=30) as client:
            await started_call(server, await new_person(server, 0))
            await asyncio.sleep(WARMING)
            latencies, base = await _webhooks(client, server, await _started_calls(server, 1), SPREAD)
            p99, base_p99 = percentile(latencies, 99), percentile(base, 99)
            name = (
                f"webhook answers with {CALLS} calls in progress, one of each every {PAUSE} s, p99 of {len(latencies)}"
            )
            figures.append(at_most(name, p99, 50, "ms"))
            figures.append(Figure("… p50", f"{percentile(latencies, 50):.3g} ms"))
            figures.append(Figure("… p99 beside an empty answer (/healthz) in the same run", f"× {p99 / base_p99:.1f}"))
            late = await _subscribers(server, client, await started_call(server, await new_person(server, 1 + CALLS)))
            name = f"state change → subscriber, {SUBSCRIBERS} subscribers, p95 of {len(late)}"
            figures.append(at_most(name, percentile(late, 95), 50, "ms"))
            figures.append(Figure("… p50", f"{percentile(late, 50):.3g} ms"))
    # Another service: one lets only so many people sign up from one address.
    async with (
        _exchange() as exchange,
        running_service(exchange) as (server, _),
        httpx.AsyncClient(base_url=server, timeout=30) as client,
    ):
        await started_call(server, await new_person(server, 0))
        await asyncio.sleep(WARMING)
        together, _ = await _webhooks(client, server, await _started_calls(server, 1), PAUSE)
        name = f"webhook answers when all {CALLS} calls begin within {PAUSE} s and go on in step, p99"
        figures.append(at_most(name, percentile(together, 99), 50, "ms"))
    return figures


async def _started_calls(server: str, first: int) -> Sequence[Call]:
    async def one(number: int) -> Call:
        return await started_call(server, await new_person(server, number))

    return await asyncio.gather(*(one(number) for number in range(first, first + CALLS)))


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


@asynccontextmanager
async def _exchange() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
        command = (sys.executable, "-m", "telephony.exchange", "--port", "0", "--data", folder, "--log-level", "error")
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            yield json.loads(await process.stdout.readline())["url"]
        finally:
            process.terminate()
            await process.wait()


if __name__ == "__main__":
    for figure in asyncio.run(main()):
        print(f"{figure.name:<70} {figure.value:>12}  {figure.goal}")
