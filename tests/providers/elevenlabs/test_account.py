"""What the account has: its key, its allowances, its voices; and how an operator is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from providers.contract import (
    Artefact,
    Check,
    Cloner,
    CloneRequest,
    Examined,
    Health,
    NotConfigured,
    Quota,
    Refused,
    Synthesizer,
    Transient,
)
from providers.elevenlabs.account import Account
from providers.elevenlabs.clones import ARTEFACT_KIND
from providers.elevenlabs.connection import Connection
from providers.elevenlabs.provider import ElevenLabsProvider
from providers.elevenlabs.settings import ElevenLabsSettings
from providers.elevenlabs.voices import BuiltInVoices
from providers.manager import load_providers
from tests.providers.elevenlabs.acts import Act, body, error
from tests.providers.elevenlabs.conftest import LABEL, MakeProvider
from tests.providers.elevenlabs.standin import KEY, PREMADE, StandIn


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    monkeypatch.delenv("ELEVENLABS_API_URL", raising=False)


async def test_it_is_listed_without_a_key_and_says_what_to_set(eleven: StandIn) -> None:
    registry = load_providers(("providers.elevenlabs",), installed=False)
    provider = registry.get("elevenlabs")
    assert isinstance(provider, Cloner)
    assert isinstance(provider, Synthesizer)
    assert isinstance(provider, Examined)
    health = await provider.health()
    assert not health.available
    assert "ELEVENLABS_API_KEY" in (health.reason or "")
    assert await provider.voices() == ()
    for attempt in (provider.clone_quota, provider.warm_up):
        with pytest.raises(NotConfigured, match="ELEVENLABS_API_KEY"):
            await attempt()
    [check] = [check async for check in provider.examine()]
    assert (check.good, "ELEVENLABS_API_KEY" in check.words) == (False, True)
    await registry.aclose()


async def test_the_key_is_read_when_the_provider_is_made(eleven: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("ELEVENLABS_API_URL", eleven.url)
    registry = load_providers(("providers.elevenlabs",), installed=False)
    provider = registry.get("elevenlabs")
    assert isinstance(provider, Synthesizer)
    assert await provider.health() == Health(True)
    assert eleven.received == []
    assert len(await provider.voices()) == len(PREMADE)
    await registry.aclose()


@pytest.mark.parametrize("settings", [{"api_key": "two words"}, {"api_key": "clé"}, {"api_url": "elevenlabs.io"}])
def test_settings_that_cannot_be(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        ElevenLabsSettings.model_validate(settings)
    assert settings.get("api_key", "-") not in str(caught.value).replace("-", "")


# ── allowances ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("subscription", "quota"),
    [
        ({"voice_slots_used": 9, "voice_add_edit_counter": 10}, Quota(9, 10, "voice slots")),
        (
            {"voice_slots_used": 2, "voice_add_edit_counter": 49},
            Quota(49, 50, "additions of voices this month"),
        ),
        (
            {"voice_slots_used": 9, "voice_add_edit_counter": 60, "max_voice_add_edits": None},
            Quota(9, 10, "voice slots"),
        ),
    ],
)
async def test_the_tighter_allowance_is_told(
    eleven: StandIn, provider: ElevenLabsProvider, subscription: Mapping[str, Any], quota: Quota
) -> None:
    eleven.subscription |= subscription
    assert await provider.clone_quota() == quota


async def test_a_plan_without_cloning_is_refused_in_words(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    eleven.subscription["can_use_instant_voice_cloning"] = False
    with pytest.raises(Refused, match="Starter"):
        await provider.clone_quota()


async def test_allowances_are_kept_for_half_a_minute_but_not_across_a_change(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    for _ in range(3):
        assert await provider.clone_quota() == Quota(0, 10, "voice slots")
    assert len(eleven.of("subscription")) == 1
    voice = await provider.clone(request_)
    assert await provider.clone_quota() == Quota(1, 10, "voice slots")
    await provider.delete_voice(voice.artefact)
    eleven.subscription["voice_limit"] = 4
    assert await provider.clone_quota() == Quota(0, 4, "voice slots")


async def test_what_was_asked_before_a_change_is_not_kept(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    kept = eleven.keep(LABEL)
    eleven.gates["subscription"].after.hold()
    asking = asyncio.create_task(provider.clone_quota())
    await eleven.gates["subscription"].after.reached()
    await provider.delete_voice(Artefact(ARTEFACT_KIND, kept.voice_id.encode()))
    eleven.gates["subscription"].after.open()
    assert await asking == Quota(1, 10, "voice slots")
    assert await provider.clone_quota() == Quota(0, 10, "voice slots")


async def test_allowances_grow_old(eleven: StandIn) -> None:
    clock = Clock()
    connection = Connection(ElevenLabsSettings.model_validate({"api_key": KEY, "api_url": eleven.url}))
    account = Account(connection, clock)
    for clock.now in (0.0, 29.0, 31.0):
        await account.allowances()
    assert len(eleven.of("subscription")) == 2
    await connection.aclose()


@pytest.mark.parametrize(
    "act",
    [
        Act(answer=(b"{}", "application/json")),
        Act(answer=(b'{"voice_slots_used": "many"}', "application/json")),
        Act(answer=(b'{"tier": "sta', "application/json")),
        Act(answer=(b"[]", "application/json")),
        body(200, b"<html>", "text/html"),
    ],
)
async def test_an_account_that_makes_no_sense(eleven: StandIn, provider: ElevenLabsProvider, act: Act) -> None:
    eleven.always("subscription", act)
    with pytest.raises(Transient):
        await provider.clone_quota()


# ── built-in voices ──────────────────────────────────────────────────────────


async def test_built_in_voices_have_language_and_sample(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    voices = await provider.voices()
    assert [voice.key for voice in voices] == list(PREMADE)
    assert {voice.language for voice in voices} == {"en"}
    assert voices[0].sample_url == f"{eleven.url}/preview/{PREMADE[0]}.mp3"
    await provider.voices()
    assert len(eleven.of("search")) == 1


async def test_what_others_have_cloned_is_not_listed(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    kept = eleven.keep(LABEL)
    # Should their filter let one through:
    shown = eleven._shown(kept) | {"category": "cloned"}
    premade = eleven._shown(eleven.voices[PREMADE[0]])
    eleven.script("search", Act(answer=(_page(shown, premade), "application/json")))
    assert [voice.key for voice in await provider.voices()] == [PREMADE[0]]


async def test_voices_on_several_pages(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    for _ in range(230):
        eleven.keep("", category="premade")
    assert len(await provider.voices()) == 230 + len(PREMADE)
    assert [asked.content.get("next_page_token") for asked in eleven.of("search")] == [None, "100", "200"]


async def test_pages_without_an_end(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    page = b'{"voices": [], "has_more": true, "next_page_token": "5"}'
    eleven.always("search", Act(answer=(page, "application/json")))
    assert await provider.voices() == ()
    assert len(eleven.of("search")) == 20


async def test_built_in_voices_grow_old(eleven: StandIn) -> None:
    clock = Clock()
    connection = Connection(ElevenLabsSettings.model_validate({"api_key": KEY, "api_url": eleven.url}))
    voices = BuiltInVoices(connection, clock)
    for clock.now in (0.0, 599.0, 601.0):
        await voices.all()
    assert len(eleven.of("search")) == 2
    eleven.always("search", body(502, b"<html>"))
    clock.now = 1300.0
    for _ in range(2):
        assert list(await voices.all()) == list(PREMADE)
    assert len(eleven.of("search")) == 4  # asked once, by the SDK twice
    eleven.always("search", None)
    clock.now = 1331.0
    await voices.all()
    assert len(eleven.of("search")) == 5
    await connection.aclose()


def _page(*voices: Mapping[str, Any]) -> bytes:
    return json.dumps({"voices": voices, "has_more": False, "total_count": len(voices)}).encode()


# ── the operator's examination ───────────────────────────────────────────────


async def checks(provider: ElevenLabsProvider) -> dict[str, Check]:
    return {check.what: check async for check in provider.examine()}


async def test_a_good_account_spends_nothing_on_being_examined(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    eleven.keep(LABEL)
    found = await checks(provider)
    assert all(check.good for check in found.values())
    assert "starter" in found["key"].words
    assert found["voice slots"].words == "1 of 10 used"
    assert "1 cloned" in found["voices"].words
    assert {request.route for request in eleven.received} == {"subscription", "search", "models"}


async def test_each_lack_is_found(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    eleven.subscription |= {
        "can_use_instant_voice_cloning": False,
        "voice_slots_used": 10,
        "voice_add_edit_counter": 50,
        "character_count": 30_000,
    }
    eleven.models.pop()
    eleven.always("search", error(401, "missing_permissions", "missing the permission voices_read to execute"))
    found = await checks(provider)
    assert [what for what, check in found.items() if check.good] == ["key"]
    assert "voices_read" in found["voices"].words
    assert "eleven_flash_v2_5" in found["models"].words


async def test_a_bad_key_ends_the_examination(eleven: StandIn, make: MakeProvider) -> None:
    [check] = (await checks(make(key="sk_wrong"))).values()
    assert (check.what, check.good) == ("account", False)
    assert "ELEVENLABS_API_KEY" in check.words
