"""`python -m telephony.exchange`: run the exchange."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from telephony.exchange.app import exchange_app
from telephony.exchange.exchange import Settings
from telephony.exchange.protocol import MAX_SOUND_BYTES

SHUTDOWN_SECONDS = 3


def main() -> int:
    options = _parser().parse_args()
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s exchange: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    account_sid, auth_token = os.environ.get("TWILIO_ACCOUNT_SID"), os.environ.get("TWILIO_AUTH_TOKEN")
    if not account_sid or not auth_token:
        return _refuse("set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN to what the application signs in with")
    try:
        listening = _listen(options.host, options.port)
    except OSError as error:
        return _refuse(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}")
    host, port = listening.getsockname()[:2]
    settings = Settings(
        account_sid=account_sid,
        auth_token=auth_token,
        data=options.data,
        base_url=f"http://{f'[{host}]' if ':' in host else host}:{port}",
        recording_delay=options.recording_delay,
        speed=options.speed,
    )
    asyncio.run(_serve(settings, listening, with_parent=options.with_parent))
    return 0


async def _serve(settings: Settings, listening: socket.socket, *, with_parent: bool) -> None:
    async with exchange_app(settings) as app:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="off",
                log_level="warning",
                ws="websockets-sansio",
                ws_max_size=2 * MAX_SOUND_BYTES,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        if with_parent:
            _stop_with_parent(server)
        # The port may have been the system's choice: the first line tells whoever started this process.
        print(json.dumps({"event": "listening", "url": settings.base_url}), flush=True)
        await server.serve(sockets=[listening])


def _stop_with_parent(server: uvicorn.Server) -> None:
    """The parent holds the other end of standard input and never writes: when it is gone, reading ends."""

    def wait_for_end() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        server.should_exit = True

    threading.Thread(target=wait_for_end, name="parent", daemon=True).start()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


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
