"""The local phone exchange as a child of the service: for calls with no carrier and no account."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

CALLER_ID = "+15005550006"  # Twilio's magic number for tests: nobody's
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0


class ExchangeError(Exception):
    """The exchange could not be started; the message says why."""


@dataclass(frozen=True)
class ExchangeAccount:
    """Where the exchange is, and how to sign in there."""

    url: str
    account_sid: str
    auth_token: str


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def local_exchange(data_dir: Path, port: int, key: bytes) -> AsyncIterator[ExchangeAccount]:
    """Run the exchange until the context is left, or this process dies.

    Its account is derived from `key`, so that after a restart it knows the recordings of before.

    Raises:
        ExchangeError: it does not start.
    """
    account_sid = "AC" + hmac.digest(key, b"deadringer: exchange account", hashlib.sha256).hex()[:32]
    auth_token = hmac.digest(key, b"deadringer: exchange token", hashlib.sha256).hex()[:32]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "telephony.exchange", "--with-parent", "--port", str(port), "--data", str(data_dir / "exchange")),
        *("--log-level", "warning"),
        env={**os.environ, "TWILIO_ACCOUNT_SID": account_sid, "TWILIO_AUTH_TOKEN": auth_token},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is for the service, which then ends this one
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await process.stdout.readline()
            url = json.loads(line)["url"]
        except (TimeoutError, ValueError, KeyError) as problem:
            message = (
                f"The local phone exchange did not start on port {port}. Is another one running? Try --exchange-port."
            )
            raise ExchangeError(message) from problem
        yield ExchangeAccount(url, account_sid, auth_token)
    finally:
        process.stdin.close()  # it stops when this ends
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
