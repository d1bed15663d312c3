"""`python -m telephony.exchange`: run the exchange."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import threading
from pathlib import Path

from telephony.exchange.app import ExchangeServer, listen
from telephony.exchange.exchange import Exchange, Settings


def main() -> int:
    options = _parser().parse_args()
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s exchange: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    account_sid, auth_token = os.environ.get("TWILIO_ACCOUNT_SID"), os.environ.get("TWILIO_AUTH_TOKEN")
    if not account_sid or not auth_token:
        return _refuse("set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN to what the application signs in with")
    try:
        listening, url = listen(options.host, options.port)
    except OSError as error:
        return _refuse(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}")
    settings = Settings(
        account_sid=account_sid,
        auth_token=auth_token,
        data=options.data,
        base_url=url,
        recording_delay=options.recording_delay,
        speed=options.speed,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(settings, listening, with_parent=options.with_parent))
    return 0


async def _serve(settings: Settings, listening: socket.socket, *, with_parent: bool) -> None:
    async with Exchange(settings) as exchange:
        server = ExchangeServer(exchange)
        if with_parent:
            _stop_with_parent(server)
        # The port may have been the system's choice: the first line tells whoever started this process.
        print(json.dumps({"event": "listening", "url": settings.base_url}), flush=True)
        await server.serve(sockets=[listening])


def _stop_with_parent(server: ExchangeServer) -> None:
    """The parent holds the other end of standard input and never writes: when it is gone, reading ends."""

    def wait_for_end() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        server.should_exit = True

    threading.Thread(target=wait_for_end, name="parent", daemon=True).start()


def _refuse(message: str) -> int:
    print(f"exchange: {message}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m telephony.exchange",
        description="A local telephone exchange that speaks Twilio's API. The account comes from the environment: "
        "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN. The first line on standard output is a JSON object with the URL.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8001, help="port; 0 lets the system choose (default: %(default)s)")
    parser.add_argument("--data", type=Path, required=True, help="folder for calls and recordings")
    parser.add_argument(
        "--recording-delay",
        type=_not_negative,
        default=1.5,
        metavar="SECONDS",
        help="how long after its end a recording can be fetched (default: %(default)s)",
    )
    parser.add_argument(
        "--speed",
        type=_positive,
        default=1.0,
        metavar="FACTOR",
        help="how fast speech, pauses, rings and recordings go by (default: %(default)s, as in reality)",
    )
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop when standard input ends, as it does when the process that holds its other end is gone",
    )
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("should be a number greater than 0")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("should be 0 or a greater number")
    return number


if __name__ == "__main__":
    sys.exit(main())
