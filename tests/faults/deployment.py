"""A deployment whose service can be killed: an exchange, the service's processes, and a person who uses them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import SIGKILL, SIGTERM

import httpx

from studio.calling import CallTimes
from tests.faults.front import WITHIN, Front, front_of
from tests.faults.person import Person, signed_up
from tests.faults.service import Plan, serve

ACCOUNT = "AC" + "f" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
TIMES = CallTimes(ring=600, limit=3600, poll=0.3, fetch=15.0, late=3.0, uncertain=60.0)
"""The exchange's time runs fast, but what a busy machine takes to start the service again has to fit in."""

# A new process has to import the service, which takes seconds of a processor: the fork server has done so.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.faults.service", "tests.faults.preloaded"])


class Service:
    """One process of the service: always at the same address, but not always there."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.url = f"http://127.0.0.1:{plan.port}"
        self._process: BaseProcess | None = None

    @property
    def process(self) -> BaseProcess:
        """The one that runs, or ran last."""
        assert self._process is not None, "it was never started"
        return self._process

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def gone(self) -> bool:
        return not self.process.is_alive()

    @property
    def suspended(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].startswith("T")
        except (FileNotFoundError, ProcessLookupError):  # it is gone: before it was opened, or before it was read
            return False

    async def start(self) -> None:
        """Return when it can be used."""
        self._process = _processes.Process(target=serve, args=(self.plan,))
        await asyncio.to_thread(self.process.start)
        async with asyncio.timeout(WITHIN), httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            while not await _is_ready(client):  # it is another process
                assert self.process.is_alive(), self.log
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """Without a chance to do anything about it: SIGKILL."""
        await self._end(SIGKILL)

    async def terminate(self) -> None:
        """As an operator stops it: SIGTERM. Returns when it has ended."""
        await self._end(SIGTERM)

    async def _end(self, signal: int) -> None:
        if self._process is None or not self._process.is_alive():
            return
        os.kill(self.pid, signal)
        await asyncio.to_thread(self.process.join, WITHIN)
        assert self.process.exitcode == -signal, (self.process.exitcode, self.log)

    @property
    def log(self) -> str:
        return self.plan.log.read_text() if self.plan.log.exists() else ""


@dataclass
class Deployment:
    """`front` is between the service and the carrier; `services` have a database and a data folder in common."""

    front: Front
    services: Sequence[Service]
    people: list[Person] = field(default_factory=list)

    @property
    def service(self) -> Service:
        return self.services[0]

    async def person(self, service: Service | None = None) -> Person:
        """Somebody who has signed up."""
        person = await signed_up((service or self.service).url)
        self.people.append(person)
        return person

    async def kill_and_restart(self) -> None:
        await self.service.kill()
        await self.service.start()


@asynccontextmanager
async def deployed(
    exchange: str, data: Path, database_url: str, times: CallTimes = TIMES, replicas: int = 1, webhooks_to: int = 0
) -> AsyncIterator[Deployment]:
    """Processes that run. Those who answer webhooks are `services[webhooks_to]`."""
    ports = [free_port() for _ in range(replicas)]
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(front_of(exchange))
        services = [
            Service(
                Plan(
                    port=port,
                    data_dir=data / "data",
                    database_url=database_url,
                    public_base_url=f"http://127.0.0.1:{ports[webhooks_to]}",
                    front=front.url,
                    account_sid=ACCOUNT,
                    auth_token=TOKEN,
                    times=times,
                    log=data / f"service-{number}.log",
                )
            )
            for number, port in enumerate(ports)
        ]
        deployment = Deployment(front, services)
        for service in services:
            stack.push_async_callback(service.kill)
            await service.start()
        yield deployment
        for person in deployment.people:
            await person.aclose()


@contextmanager
def running_exchange(folder: Path, speed: float) -> Iterator[str]:
    """The real exchange, in a process of its own; yields its URL."""
    command = (sys.executable, "-m", "telephony.exchange", "--port", "0", "--speed", str(speed))
    options = ("--data", str(folder), "--log-level", "error", "--with-parent")
    environment = {**os.environ, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
    with subprocess.Popen(
        [*command, *options], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
        process.terminate()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
