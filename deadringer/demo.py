"""`deadringer demo`: the whole story in a terminal, unattended.

A service and its exchange are started as a user would start them, in a folder of their own; everything after that goes
over the network, by the operations that the documentation shows.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from audio.pcm import Pcm
from audio.wav import BadAudio, read_audio_file, read_wav
from telephony.exchange.narration import describe
from telephony.exchange.phone import PhoneError
from telephony.exchange.protocol import FromExchange, FromPhone
from telephony.exchange.scripted import Script, run_script

TEXT = "Hello. You are listening to a voice that was cloned over the phone. It only took a minute."
CALLER = Path(__file__).parent / "data" / "caller.flac"
_PHONE = "+14155552671"
_START_SECONDS = 60.0
_CLONE_SECONDS = 300.0
_SPEAK_SECONDS = 300.0

_START_CLONE = """mutation Start($name: String!) {
  startClone(input: {name: $name}) {
    clone { id call { confirmationCode } }
    userErrors { message }
  }
}"""
_CLONE = """subscription Clone($id: ID!) {
  clone(id: $id) {
    status
    recording { speechSeconds signalToNoiseDb qualityScore warnings }
    voice { id similarity notes }
    failure { message }
  }
}"""
_SYNTHESIZE = """mutation Say($voice: ID!, $text: String!) {
  synthesize(input: {voiceId: $voice, text: $text}) {
    synthesis { audioUrl }
    userErrors { message }
  }
}"""


class DemoError(Exception):
    """The story could not be told to its end; the message says where and why."""


async def tell(out: Path, text: str | None = None, recording: Path | None = None) -> None:
    """Clone the voice of a recording through a phone call, and leave `text` spoken in it in `out`.

    Raises:
        DemoError
    """
    console = Console(highlight=False)
    text = text or TEXT
    try:
        caller = await asyncio.to_thread(read_audio_file, recording or CALLER)
        async with _service(console) as (server, exchange):
            speech = await _Story(console, server, exchange).tell(caller, text)
        await asyncio.to_thread(out.write_bytes, speech)
        console.print(f"Wrote [bold]{out}[/bold]: {read_wav(speech).seconds:.1f} s. Listen to it.")
        await _transcribe(console, read_wav(speech))
    except (httpx.HTTPError, PhoneError, BadAudio, OSError) as problem:
        raise DemoError(f"{type(problem).__name__}: {problem}") from problem
    except TimeoutError as late:
        raise DemoError("It took too long. Is this machine busy with something else?") from late


class _Story:
    def __init__(self, console: Console, server: str, exchange: str) -> None:
        self._console = console
        self._server = server
        self._exchange = exchange
        self._token = ""
        self._began = time.monotonic()

    async def tell(self, caller: Pcm, text: str) -> bytes:
        async with httpx.AsyncClient(base_url=self._server, timeout=60) as client:
            await self._sign_up(client)
            client.headers["Authorization"] = f"Bearer {self._token}"
            started = await self._ask(client, _START_CLONE, name="The reader")
            clone = self._good(started["startClone"])["clone"]
            code = clone["call"]["confirmationCode"]
            self._say(f"Asked for a clone. The phone {_PHONE} will ring; the app shows the code {code}")
            voice = await self._answer_and_follow(clone["id"], code, caller)
            self._say(f"Speaking: {text}")
            made = self._good((await self._ask(client, _SYNTHESIZE, voice=voice, text=text))["synthesize"])
            # The link plays while the audio is still being made: reading it to its end is waiting for the whole.
            answer = await client.get(made["synthesis"]["audioUrl"], timeout=_SPEAK_SECONDS)
            answer.raise_for_status()
            return answer.content

    async def _sign_up(self, client: httpx.AsyncClient) -> None:
        email, password = f"demo-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(12)
        account = f'email: "{email}", password: "{password}", phone: "{_PHONE}"'
        self._good(
            (await self._ask(client, f"mutation {{ signUp(input: {{{account}}}) {{ userErrors {{ message }} }} }}"))[
                "signUp"
            ]
        )
        query = 'mutation { createApiToken(input: {label: "demo"}) { secret userErrors { message } } }'
        self._token = self._good((await self._ask(client, query))["createApiToken"])["secret"]
        self._say(f"Signed up as {email}")

    async def _answer_and_follow(self, clone_id: str, code: str, caller: Pcm) -> str:
        """Be the caller, and the person who watches the app meanwhile."""
        script = Script(keys=(code, "1", "1"), speech=[caller])
        calling = asyncio.create_task(run_script(self._exchange, _PHONE, script, listener=self._narrate))
        following = asyncio.create_task(self._follow(clone_id))
        try:
            async with asyncio.timeout(_CLONE_SECONDS):
                done, _ = await asyncio.wait((calling, following), return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            return following.result()
        finally:
            calling.cancel()
            following.cancel()
            await asyncio.gather(calling, following, return_exceptions=True)

    async def _follow(self, clone_id: str) -> str:
        """The clone's states as its subscription tells them; the id of the voice."""
        url = self._server.replace("http", "ws", 1) + "/graphql"
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            payload = {"authorization": f"Bearer {self._token}"}
            await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
            subscribe = {"query": _CLONE, "variables": {"id": clone_id}}
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": subscribe}))
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "ping":
                    await socket.send(json.dumps({"type": "pong"}))
                elif message["type"] == "next":
                    clone = message["payload"]["data"]["clone"]
                    self._say(f"[bold]{clone['status']}[/bold]")
                    if clone["status"] == "READY":
                        self._judge(clone)
                        return str(clone["voice"]["id"])
                    if clone["failure"] is not None:
                        raise DemoError(clone["failure"]["message"])
                elif message["type"] == "error":
                    raise DemoError(str(message["payload"]))
        raise DemoError("The subscription ended before the clone was ready.")

    def _judge(self, clone: Any) -> None:
        recording = clone["recording"]
        self._say(
            f"Heard {recording['speechSeconds']:.1f} s of speech, "
            f"{recording['signalToNoiseDb']:.0f} dB above the noise, quality {recording['qualityScore'] or 0:.1f} of 5"
        )
        for warning in recording["warnings"]:
            self._say(warning)
        if clone["voice"]["similarity"] is not None:
            self._say(f"The voice's measured likeness to the recording: {clone['voice']['similarity']:.2f} of 1")
        for note in clone["voice"]["notes"]:
            self._say(note)

    def _narrate(self, message: FromExchange | FromPhone) -> None:
        words = describe(message)
        if words is not None:
            self._say(f"[dim]phone[/dim] {words}")

    def _say(self, words: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._began:5.1f} s[/dim]  {words}")

    async def _ask(self, client: httpx.AsyncClient, query: str, **variables: object) -> Any:
        answer = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
        if answer.get("errors"):
            raise DemoError(" ".join(error["message"] for error in answer["errors"]))
        return answer["data"]

    def _good(self, payload: Any) -> Any:
        if payload["userErrors"]:
            raise DemoError(" ".join(error["message"] for error in payload["userErrors"]))
        return payload


@asynccontextmanager
async def _service(console: Console) -> AsyncIterator[tuple[str, str]]:
    """A service in a folder of its own, as `deadringer serve` starts it: its address and the exchange's."""
    port, exchange_port = _free_port(), _free_port()
    server = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="deadringer-demo-") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TWILIO_", "DATABASE_URL"))}
        environment = {
            **kept,
            "DATA_DIR": folder,
            "MODELS_DIR": str(_models()),
            "PUBLIC_BASE_URL": server,
            "LOG_LEVEL": "WARNING",
        }
        options = ("--port", str(port), "--exchange", "--exchange-port", str(exchange_port))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deadringer", "serve", *options, env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            console.print(f"Starting a service at {server} and a phone exchange beside it")
            await _ready(server, process)
            yield server, f"http://127.0.0.1:{exchange_port}"
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _ready(server: str, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + _START_SECONDS
    async with httpx.AsyncClient(base_url=server, timeout=5) as client:
        while time.monotonic() < deadline and process.returncode is None:
            try:
                if (await client.get("/readyz")).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)
    raise DemoError("The service did not start; what it printed above says why.")


async def _transcribe(console: Console, speech: Pcm) -> None:
    from providers.contract import Transcriber
    from providers.manager import load_providers

    registry = load_providers()
    try:
        for provider in registry.providers.values():
            if isinstance(provider, Transcriber) and (await provider.health()).available:
                transcript = await provider.transcribe(speech, "en")
                console.print(f"{provider.title} hears: {transcript.text}")
                return
    finally:
        await registry.aclose()


def _models() -> Path:
    """The service's folder is a new one, but the models are where they are."""
    return Path(os.environ.get("MODELS_DIR", "data/models")).absolute()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
