"""`deadringer say`: a text into a WAV file, by this machine's models or by a running service."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from audio.pcm import Pcm
from audio.wav import write_wav
from providers.contract import ProviderError, SpeechRequest, Synthesizer
from providers.manager import load_providers

_SERVICE_SECONDS = 600.0
_VOICES = """query Voices($after: String) {
  voices(capability: SYNTHESIZE, first: 100, after: $after) {
    edges { node { id name } }
    pageInfo { hasNextPage endCursor }
  }
}"""
_SYNTHESIZE = """mutation Say($voice: ID!, $text: String!) {
  synthesize(input: {voiceId: $voice, text: $text}) {
    synthesis { audioUrl }
    userErrors { message }
  }
}"""


class SayError(Exception):
    """It could not be said; the message says why."""


async def say_here(text: str, voice: str, out: Path) -> None:
    """Speak with a built-in voice of an installed provider.

    Raises:
        SayError
    """
    name, colon, key = voice.rpartition(":")
    registry = load_providers()
    provider = registry.get(name if colon else "local")
    try:
        if not isinstance(provider, Synthesizer):
            raise SayError(f"No provider {name!r} that speaks. See: deadringer providers")
        health = await provider.health()
        if not health.available:
            raise SayError(health.reason or f"{provider.title} is not available.")
        if key not in {built_in.key for built_in in await provider.voices()}:
            raise SayError(f"{provider.title} has no voice {key!r}. See: deadringer providers. For your own: --token")
        began = time.monotonic()
        pieces: list[Pcm] = []
        with _progress() as progress:
            task = progress.add_task("Loading the models")
            async for piece in provider.synthesize(SpeechRequest(text, key)):
                pieces.append(piece)
                seconds = sum(piece.seconds for piece in pieces)
                progress.update(task, description=f"{seconds:.1f} s of speech")
        speech = Pcm.join(pieces)
        await asyncio.to_thread(out.write_bytes, write_wav(speech))
    except (ProviderError, OSError) as problem:
        raise SayError(str(problem)) from problem
    finally:
        await registry.aclose()
    _done(out, speech.seconds, time.monotonic() - began)


async def say_there(server: str, token: str, text: str, voice: str, out: Path) -> None:
    """Have a running service speak, in any voice that the token's owner may use: by its name or id there.

    Raises:
        SayError
    """
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(base_url=server, headers=headers, timeout=_SERVICE_SECONDS) as client:
            voice_id = await _voice_id(client, voice)
            made = (await _ask(client, _SYNTHESIZE, voice=voice_id, text=text))["synthesize"]
            if made["userErrors"]:
                raise SayError(" ".join(error["message"] for error in made["userErrors"]))
            # The link has the service's public name, which need not be the one that we reach it by.
            response = await client.get(httpx.URL(made["synthesis"]["audioUrl"]).raw_path.decode())
            response.raise_for_status()
            await asyncio.to_thread(out.write_bytes, response.content)
    except (httpx.HTTPError, OSError) as problem:
        raise SayError(f"{server}: {problem}") from problem
    Console().print(f"Wrote {out}", highlight=False)


async def _voice_id(client: httpx.AsyncClient, wanted: str) -> str:
    after: str | None = None
    while True:
        page = (await _ask(client, _VOICES, after=after))["voices"]
        for edge in page["edges"]:
            node = edge["node"]
            if wanted in (node["id"], node["name"]):
                return str(node["id"])
        if not page["pageInfo"]["hasNextPage"]:
            raise SayError(f"You have no voice {wanted!r}.")
        after = page["pageInfo"]["endCursor"]


async def _ask(client: httpx.AsyncClient, query: str, **variables: object) -> Any:
    response = await client.post("/graphql", json={"query": query, "variables": variables})
    answer = response.json()
    if answer.get("errors"):
        raise SayError(" ".join(error["message"] for error in answer["errors"]))
    return answer["data"]


def _progress() -> Progress:
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), transient=True)


def _done(out: Path, seconds: float, took: float) -> None:
    Console().print(f"Wrote {out}: {seconds:.1f} s of speech in {took:.1f} s", highlight=False)
