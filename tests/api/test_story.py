"""The whole story by a stock GraphQL client, with the operations of the manual: from signing up to deleting the voice.

The service is wired as `deadringer serve` wires it, but for the provider, which needs no models; the phone is the local
exchange's, and what the caller says is a real person's reading.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gql import Client, GraphQLRequest
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from graphql import parse, print_ast, validate

from api.app import create_app
from api.schema import schema
from api.settings import Settings
from audio.pcm import Pcm
from audio.wav import read_audio_file, read_wav
from providers.manager import ProviderRegistry
from telephony.exchange.app import listen
from telephony.exchange.exchange import Exchange
from telephony.exchange.exchange import Settings as ExchangeSettings
from telephony.exchange.scripted import Script, run_script
from telephony.settings import TelephonySettings
from tests.api.service import PHONE, serving
from tests.providers.tone import ToneProvider, pitch_of
from tests.telephony.exchange.harness import ACCOUNT, CALLER, TOKEN, InProcessExchange, served

ROOT = Path(__file__).parents[2]
WITHIN = 60.0
MANUAL = (ROOT / "docs" / "graphql.md").read_text("utf-8")
OPERATIONS = {
    match[2]: match[0].strip()
    for match in re.finditer(r"(?<=```graphql\n)(query|mutation|subscription) (\w+).*?(?=```)", MANUAL, re.DOTALL)
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_operations_of_the_manual_are_ones_that_the_schema_has(name: str) -> None:
    assert validate(schema._schema, parse(OPERATIONS[name])) == []


def test_readmes_operations_are_ones_that_the_schema_has() -> None:
    blocks = re.findall(r"```graphql\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    for operation in [operation for block in blocks for operation in parse(block).definitions]:
        assert validate(schema._schema, parse(print_ast(operation))) == []


@dataclass
class Town:
    url: str
    exchange: str
    provider: ToneProvider


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    # Simulated time runs a hundred times faster than the listening to a take: the hold loop must last for it.
    monkeypatch.setattr("studio.desk.MAX_WAITS", 900)
    async with AsyncExitStack() as stack:
        at_exchange, exchange_url = listen("127.0.0.1", 0)
        exchange_settings = ExchangeSettings(ACCOUNT, TOKEN, tmp_path / "exchange", exchange_url, speed=100.0)
        exchange = await stack.enter_async_context(Exchange(exchange_settings))
        await stack.enter_async_context(served(InProcessExchange(exchange), at_exchange))

        listening, url = listen("127.0.0.1", 0)
        settings = Settings(data_dir=tmp_path / "data", public_base_url=url, default_clone_provider="tone")
        telephony = TelephonySettings.model_validate(
            {
                "twilio_account_sid": ACCOUNT,
                "twilio_auth_token": TOKEN,
                "twilio_caller_id": CALLER,
                "twilio_api_url": exchange_url,
                "public_base_url": url,
            }
        )
        provider = ToneProvider()
        app = create_app(settings, telephony, providers=ProviderRegistry({provider.name: provider}))
        await stack.enter_async_context(serving(app, settings, listening))
        yield Town(url, exchange_url, provider)


async def test_the_whole_story(town: Town) -> None:
    async with asyncio.timeout(WITHIN), httpx.AsyncClient(base_url=town.url) as player:
        async with Client(transport=HTTPXAsyncTransport(f"{town.url}/graphql"), execute_timeout=WITHIN) as browser:
            ann = {"email": "ann@example.com", "password": "correct horse", "phone": PHONE}
            user = (await _run(browser, "SignUp", input=ann))["signUp"]["user"]
            assert (user["phone"], user["phoneProven"]) == (PHONE, False)
            token = (await _run(browser, "CreateApiToken"))["createApiToken"]["secret"]

        headers = {"Authorization": f"Bearer {token}"}
        http = HTTPXAsyncTransport(f"{town.url}/graphql", headers=headers)
        socket = WebsocketsTransport(
            f"{town.url.replace('http', 'ws')}/graphql", init_payload={"authorization": f"Bearer {token}"}
        )
        async with Client(transport=http, execute_timeout=WITHIN) as program, Client(transport=socket) as listener:
            clone = (await _run(program, "StartClone", input={"name": "Ann"}))["startClone"]["clone"]
            ready = await _be_called(town, listener, clone)
            assert ready["consent"]["how"].startswith("keyed in the code shown in the app")
            assert ready["recording"]["speechSeconds"] > 10
            assert (await player.get(ready["recording"]["url"])).headers["content-type"] == "audio/wav"

            voices = await _run(program, "Voices")
            [own] = [edge["node"] for edge in voices["viewer"]["voices"]["edges"]]
            assert (own["id"], own["name"]) == (ready["voice"]["id"], "Ann")
            assert [edge["node"]["origin"] for edge in voices["voices"]["edges"]] == ["CLONED", "BUILT_IN", "BUILT_IN"]

            spoken = {"voiceId": own["id"], "text": "I never said this"}
            synthesis = (await _run(program, "Synthesize", input=spoken))["synthesize"]["synthesis"]
            heard = await _listen(listener, synthesis["id"])
            assert heard.seconds == pytest.approx(0.4)
            link = await player.get(synthesis["audioUrl"])
            assert read_wav(link.content).to_int16() == heard.to_int16()
            # The voice is the one that was made from the recording.
            made_of = pitch_of(town.provider.cloned[0].recording)
            assert pitch_of(heard) == pytest.approx(made_of, abs=3)

            deleted = (await _run(program, "DeleteVoice", id=own["id"]))["deleteVoice"]
            assert deleted == {"deletedId": own["id"], "userErrors": []}
            assert (await _run(program, "Voices"))["viewer"]["voices"]["edges"] == []


async def _run(session: Any, operation: str, **variables: Any) -> Mapping[str, Any]:
    result: Mapping[str, Any] = await session.execute(GraphQLRequest(OPERATIONS[operation], variable_values=variables))
    return result


async def _be_called(town: Town, listener: Any, clone: Mapping[str, Any]) -> Mapping[str, Any]:
    """Be the person at the phone; the last that the subscription told, and that it told all states in order."""
    speech = read_audio_file(ROOT / "deadringer" / "data" / "caller.flac")
    script = Script(keys=(clone["call"]["confirmationCode"], "1", "1"), speech=(speech,))
    phone = asyncio.create_task(run_script(town.exchange, PHONE, script))
    states: list[str] = []
    request = GraphQLRequest(OPERATIONS["FollowClone"], variable_values={"id": clone["id"]})
    told: Mapping[str, Any] = {}
    async for event in listener.subscribe(request):
        told = event["clone"]
        states += [told["status"]] if told["status"] not in states else []
    await phone
    assert told["failure"] is None
    assert states[-3:] == ["ANALYZING", "CLONING", "READY"]
    return told


async def _listen(listener: Any, synthesis_id: str) -> Pcm:
    """What the subscription brings, put together."""
    request = GraphQLRequest(OPERATIONS["FollowSpeech"], variable_values={"id": synthesis_id})
    chunks = [event["synthesis"] async for event in listener.subscribe(request) if "pcm" in event["synthesis"]]
    return Pcm.join(Pcm.from_int16(base64.b64decode(chunk["pcm"]), chunk["sampleRate"]) for chunk in chunks)
