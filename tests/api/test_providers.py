"""What is told of providers, whatever they do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from strawberry.relay import GlobalID

from providers.contract import Health, Quota, Transient, VoiceInfo
from providers.manager import BrokenPlugin
from studio.tables import Clone
from tests.api.service import Person, Service
from tests.providers.tone import ToneProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUERY = "{ providers { name title version capabilities available unavailableReason quota { used limit what } } }"


class Unwell(ToneProvider):
    """Somebody else's, with faults."""

    async def health(self) -> Health:
        raise RuntimeError("no idea")

    async def clone_quota(self) -> Quota | None:
        raise Transient("not now")

    async def voices(self) -> Sequence[VoiceInfo]:
        raise Transient("The tone generator is on fire. Try again later.")


async def test_everybody_may_see_what_can_be_done_here(service: Service) -> None:
    [provider] = (await service.ask(QUERY))["providers"]
    assert provider == {
        "name": "tone",
        "title": "Test tones",
        "version": "1.0",
        "capabilities": ["CLONE", "SYNTHESIZE"],
        "available": True,
        "unavailableReason": None,
        "quota": None,
    }


async def test_a_provider_says_what_it_lacks_and_how_much_room_there_is(service: Service) -> None:
    service.provider.unavailable, service.provider.quota = "Set TONE_KEY.", Quota(1, 3, "voice slots")
    try:
        [provider] = (await service.ask(QUERY))["providers"]
    finally:
        service.provider.unavailable, service.provider.quota = None, None
    assert (provider["available"], provider["unavailableReason"]) == (False, "Set TONE_KEY.")
    assert provider["quota"] == {"used": 1, "limit": 3, "what": "voice slots"}


async def test_broken_ones_do_not_hide_the_others(service: Service) -> None:
    registry = service.studio.providers
    registry.providers["unwell"] = Unwell("unwell")
    registry.broken.append(BrokenPlugin("stranger", "ImportError: no module named 'x'"))
    try:
        tone, unwell, stranger = (await service.ask(QUERY))["providers"]
    finally:
        del registry.providers["unwell"]
        registry.broken.clear()
    assert tone["available"]
    assert (unwell["available"], unwell["quota"]) == (False, None)
    assert "log" in unwell["unavailableReason"]
    assert (stranger["name"], stranger["available"], stranger["capabilities"]) == ("stranger", False, [])
    assert stranger["unavailableReason"] == "It failed to load: ImportError: no module named 'x'"


async def test_what_a_provider_says_when_it_is_asked_reaches_the_user(service: Service, ann: Person) -> None:
    service.studio.providers.providers["unwell"] = Unwell("unwell")
    try:
        query = "query ($id: ID!) { node(id: $id) { id } }"
        [error] = await service.errors(query, ann, id=str(GlobalID("Voice", "unwell:low")))
    finally:
        del service.studio.providers.providers["unwell"]
    assert error["message"] == "The tone generator is on fire. Try again later."
    assert error["extensions"] == {"code": "PROVIDER_UNAVAILABLE"}


async def test_the_provider_of_an_old_clone_may_be_gone(service: Service, ann: Person) -> None:
    clone = await service.finished_clone(ann)
    async with service.studio.database.transaction() as unit:
        (await unit.get_one(Clone, clone.id)).provider = "formerly"
    query = "query ($id: ID!) { clone(id: $id) { provider { name available unavailableReason } } }"
    provider = (await service.ask(query, ann, id=str(GlobalID("Clone", clone.id))))["clone"]["provider"]
    assert provider == {
        "name": "formerly",
        "available": False,
        "unavailableReason": "The provider 'formerly' is not installed any more.",
    }
