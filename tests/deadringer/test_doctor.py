"""What the doctor finds when it asks Twilio and the providers' services, and when it is told not to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from deadringer import doctor
from deadringer.doctor import examine
from providers.contract import Check
from providers.manager import ProviderRegistry
from telephony.exchange.app import listen
from tests.deadringer.test_commands import run
from tests.providers.tone import ToneProvider
from tests.telephony.exchange import harness
from tests.telephony.standin import refusal, stand_in


def environment(data: Path, api: str, **more: str) -> dict[str, str]:
    return {
        "DATA_DIR": str(data),
        "TWILIO_ACCOUNT_SID": harness.ACCOUNT,
        "TWILIO_AUTH_TOKEN": harness.TOKEN,
        "TWILIO_CALLER_ID": harness.CALLER,
        "TWILIO_API_URL": api,
        "PUBLIC_BASE_URL": "http://127.0.0.1:1",
        **more,
    }


async def test_exchange_in_good_order_is_found_so(tmp_path: Path) -> None:
    async with harness.exchange(tmp_path / "exchange") as exchange:
        status, printed = await run("doctor", **environment(tmp_path, exchange.url))
    assert status == 0, printed
    assert "✓ Twilio account: active" in printed
    assert "✓ TWILIO_CALLER_ID" in printed
    assert "✓ Countries" in printed
    assert "• PUBLIC_BASE_URL: Nothing answers" in printed


async def test_wrong_token_is_an_ill(tmp_path: Path) -> None:
    async with harness.exchange(tmp_path / "exchange") as exchange:
        status, printed = await run("doctor", **environment(tmp_path, exchange.url, TWILIO_AUTH_TOKEN="wrong"))
    assert status == 1
    assert "✗ Twilio account: Twilio does not accept the credentials" in printed
    assert "Traceback" not in printed


async def test_nobody_is_asked_offline(tmp_path: Path) -> None:
    async with stand_in() as twilio:
        twilio.reply(refusal(401, 20003))
        status, printed = await run("doctor", "--offline", **environment(tmp_path, twilio.url))
        assert twilio.received == []
    assert status == 0, printed
    assert "calls go through http://127.0.0.1" in printed


class Frank(ToneProvider):
    """Knows its troubles; `broken` is what happens in the middle of telling them."""

    broken: Exception | None = None
    stuck = False

    async def examine(self) -> AsyncIterator[Check]:
        yield Check("key", True, "accepted")
        if self.broken is not None:
            raise self.broken
        if self.stuck:
            await asyncio.Event().wait()
        yield Check("slots [of voices]", False, "All 10 are taken: delete a voice.")


@pytest.fixture
def frank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Frank:
    provider = Frank()
    monkeypatch.setattr(doctor, "load_providers", lambda: ProviderRegistry({provider.name: provider}))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    return provider


async def told(*, live: bool = True) -> str:
    out = StringIO()
    assert await examine(Console(file=out, highlight=False, soft_wrap=True), live=live)
    return out.getvalue()


async def test_provider_tells_its_troubles(frank: Frank) -> None:
    printed = await told()
    assert "✓ Provider tone, key: accepted" in printed
    assert "• Provider tone, slots [of voices]: All 10 are taken" in printed


async def test_provider_is_not_asked_offline(frank: Frank) -> None:
    printed = await told(live=False)
    assert "Provider tone" in printed
    assert "accepted" not in printed


async def test_provider_that_breaks_off_is_a_note(frank: Frank) -> None:
    frank.broken = RuntimeError("boom")
    printed = await told()
    assert "✓ Provider tone, key: accepted" in printed
    assert "• Provider tone: broke off while it examined itself: RuntimeError" in printed


async def test_provider_that_never_ends_is_left(frank: Frank, monkeypatch: pytest.MonkeyPatch) -> None:
    frank.stuck = True
    monkeypatch.setattr(doctor, "_EXAMINATION_SECONDS", 0.2)
    printed = await told()
    assert "✓ Provider tone, key: accepted" in printed
    assert "did not find out in time" in printed


async def test_twilio_out_of_reach_is_said_in_words(tmp_path: Path) -> None:
    listening, nobody = listen("127.0.0.1", 0)
    listening.close()
    status, printed = await run("doctor", **environment(tmp_path, nobody))
    assert status == 1
    assert "✗ Twilio account: Twilio cannot be reached" in printed
    assert "Traceback" not in printed
