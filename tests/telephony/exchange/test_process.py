"""`python -m telephony.exchange` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from telephony.exchange.app import listen
from telephony.exchange.exchange import Settings
from telephony.exchange.scripted import Script
from tests.telephony.exchange.harness import (
    ACCOUNT,
    TOKEN,
    WITHIN,
    Application,
    ExchangeUnderTest,
    pick_up,
)

CREDENTIALS = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}


async def start(data: Path, *options: str, environment: dict[str, str] | None = None) -> Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TWILIO_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "telephony.exchange", "--data", str(data), "--speed", "100", *options),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**inherited, **(CREDENTIALS if environment is None else environment)},
    )


async def ready(process: Process, data: Path) -> ExchangeUnderTest:
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN):
        line = json.loads(await process.stdout.readline())
    assert line["event"] == "listening"
    return ExchangeUnderTest(line["url"], Settings(ACCOUNT, TOKEN, data, line["url"]))


async def ended(process: Process) -> tuple[int | None, str]:
    """Its exit status, and what it wrote to standard error."""
    async with asyncio.timeout(WITHIN):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


@asynccontextmanager
async def running(data: Path, *options: str) -> AsyncIterator[tuple[ExchangeUnderTest, Process]]:
    process = await start(data, "--port", "0", *options)
    try:
        yield await ready(process, data), process
    finally:
        if process.returncode is None:
            process.terminate()
        await ended(process)


async def test_process_serves_a_call(tmp_path: Path, application: Application) -> None:
    async with running(tmp_path) as (exchange, _):
        assert exchange.url.startswith("http://127.0.0.1:")
        phone = await pick_up(exchange, Script())
        await exchange.call(twiml="<Response/>", status_callback=f"{application.url}/status")
        await phone
        [callback] = await application.wait_for("/status")
        assert callback.signed


async def test_process_ends_when_its_parent_lets_go(tmp_path: Path) -> None:
    process = await start(tmp_path, "--port", "0", "--with-parent")
    exchange = await ready(process, tmp_path)
    phone = await pick_up(exchange, Script())  # a connected phone does not keep it
    assert process.stdin is not None
    process.stdin.close()
    status, _ = await ended(process)
    assert status == 0
    await asyncio.gather(phone, return_exceptions=True)


async def test_process_stays_without_the_option(tmp_path: Path) -> None:
    async with running(tmp_path) as (exchange, process):
        assert process.stdin is not None
        process.stdin.close()
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{exchange.url}/2010-04-01/Accounts/{ACCOUNT}/Calls.json")).status_code == 401


async def test_process_that_was_killed_reports_the_calls_when_it_is_back(
    tmp_path: Path, application: Application
) -> None:
    async with running(tmp_path) as (exchange, process):
        application.answers["/voice"] = "<Pause length='60000'/>"
        phone = await pick_up(exchange, Script())
        call = await exchange.call(url=f"{application.url}/voice", status_callback=f"{application.url}/status")
        await application.wait_for("/voice")
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await asyncio.gather(phone, return_exceptions=True)
        assert application.received("/status") == []
    async with running(tmp_path) as (exchange, _):
        [callback] = await application.wait_for("/status")
        assert callback.parameters["CallStatus"] == "completed"
        assert callback.parameters["CallSid"] == call.sid
        assert await exchange.status(call.sid) == "completed"


async def test_process_says_what_is_missing(tmp_path: Path) -> None:
    status, errors = await ended(await start(tmp_path, "--port", "0", environment={}))
    assert status == 2
    assert "TWILIO_ACCOUNT_SID" in errors
    assert "Traceback" not in errors


async def test_process_says_that_its_port_is_taken(tmp_path: Path) -> None:
    taken, url = listen("127.0.0.1", 0)
    with taken:
        status, errors = await ended(await start(tmp_path, "--port", url.rpartition(":")[2]))
    assert status == 2
    assert "cannot listen on 127.0.0.1" in errors


async def test_process_refuses_an_absurd_speed(tmp_path: Path) -> None:
    status, errors = await ended(await start(tmp_path, "--speed", "0"))
    assert status == 2
    assert "greater than 0" in errors


async def test_log_holds_no_whole_number_and_no_token(tmp_path: Path, application: Application) -> None:
    process = await start(tmp_path, "--port", "0")
    exchange = await ready(process, tmp_path)
    phone = await pick_up(exchange, Script(keys=("1",)))
    application.answers["/voice"] = "<Sing/>"
    await exchange.call(
        url=f"{application.url}/voice?to=%2B14155550123", status_callback="http://127.0.0.1:1/status?n=14155550123"
    )
    await phone
    process.terminate()
    _, errors = await ended(process)
    assert "error 12200" in errors
    assert "status callback lost" in errors
    assert "4155550123" not in errors
    assert TOKEN not in errors
