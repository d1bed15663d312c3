"""Clones whose provider does not do what it should."""

from __future__ import annotations

import pytest

from providers.contract import (
    AtCapacity,
    Gone,
    NotConfigured,
    ProviderError,
    Quota,
    QuotaExceeded,
    Refused,
    Transient,
)
from providers.manager import ProviderRegistry
from studio.cloning import clone_workflow
from studio.mistakes import FailureCode, Mistake, MistakeCode
from studio.states import CloneStatus
from studio.studio import Studio
from studio.tables import User
from tests.providers.tone import ToneProvider
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import clone_when, new_take
from tests.studio.troubles import fail_first


async def test_each_error_has_its_code_and_its_own_words(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.cloning._PROVIDER_SECONDS", 0.0)
    problems: dict[ProviderError, FailureCode] = {
        NotConfigured("Set ELEVENLABS_API_KEY."): FailureCode.PROVIDER_NOT_CONFIGURED,
        Refused("This voice needs verification."): FailureCode.PROVIDER_REFUSED,
        QuotaExceeded("All 10 voices are used."): FailureCode.PROVIDER_QUOTA,
        Gone("It is gone."): FailureCode.VOICE_GONE,
        Transient("It did not answer."): FailureCode.PROVIDER_UNAVAILABLE,
        AtCapacity("It is busy."): FailureCode.PROVIDER_UNAVAILABLE,
    }
    for problem, code in problems.items():
        provider.failing = problem
        clone = await new_take(studio, user, CloneStatus.CLONING)
        await studio.workflows.start(clone_workflow, clone.id)
        failed = await clone_when(studio, clone, CloneStatus.FAILED)
        assert (failed.failure_code, failed.failure_message) == (code, str(problem))
        assert failed.voice_id is None


async def test_what_passes_is_tried_again(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_first(monkeypatch, provider, "clone", Transient("not now"), AtCapacity("come again", retry_after=0.1))
    clone = await new_take(studio, user, CloneStatus.CLONING)
    await studio.workflows.start(clone_workflow, clone.id)
    await clone_when(studio, clone, CloneStatus.READY)
    assert [request.label for request in provider.cloned] == [clone.id]


async def test_a_surprise_is_no_secret_of_the_log(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_first(monkeypatch, provider, "clone", RuntimeError("/secret/path"))
    clone = await new_take(studio, user, CloneStatus.CLONING)
    await studio.workflows.start(clone_workflow, clone.id)
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert failed.failure_code == FailureCode.INTERNAL
    assert "secret" not in (failed.failure_message or "")


async def test_a_provider_that_never_ends(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.cloning._CLONE_SECONDS", 0.05)
    provider.cloning.hold()
    clone = await new_take(studio, user, CloneStatus.CLONING)
    await studio.workflows.start(clone_workflow, clone.id)
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert failed.failure_code == FailureCode.PROVIDER_UNAVAILABLE


async def test_a_provider_that_was_removed(studio: Studio, user: User, providers: ProviderRegistry) -> None:
    clone = await new_take(studio, user, CloneStatus.CLONING)
    providers.providers.clear()
    await studio.workflows.start(clone_workflow, clone.id)
    failed = await clone_when(studio, clone, CloneStatus.FAILED)
    assert failed.failure_code == FailureCode.PROVIDER_NOT_CONFIGURED


async def test_what_is_known_to_stand_in_the_way_is_said_before_it_rings(
    studio: Studio, user: User, provider: ToneProvider, carrier: ScriptedCarrier
) -> None:
    async def refused(provider_name: str | None = None) -> MistakeCode:
        with pytest.raises(Mistake) as caught:
            await studio.clones.start(user.id, "Me", provider=provider_name)
        return caught.value.code

    assert await refused("nobody") is MistakeCode.NOT_FOUND
    provider.unavailable = "its weights are not installed"
    assert await refused() is MistakeCode.NOT_CONFIGURED
    provider.unavailable = None
    provider.quota = Quota(10, 10, "voices")
    assert await refused() is MistakeCode.QUOTA
    provider.quota = Quota(9, 10, "voices")
    carrier.missing = "Set TWILIO_AUTH_TOKEN."
    assert await refused() is MistakeCode.NOT_CONFIGURED
    assert carrier.orders == []


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (NotConfigured("Add a permission."), MistakeCode.NOT_CONFIGURED),
        (Refused("The plan has no cloning."), MistakeCode.NOT_CONFIGURED),
        (QuotaExceeded("No slots."), MistakeCode.QUOTA),
    ],
)
async def test_what_an_allowance_is_refused_for_is_said_before_a_phone_rings(
    studio: Studio,
    user: User,
    provider: ToneProvider,
    carrier: ScriptedCarrier,
    monkeypatch: pytest.MonkeyPatch,
    trouble: ProviderError,
    code: MistakeCode,
) -> None:
    fail_first(monkeypatch, provider, "clone_quota", trouble)
    with pytest.raises(Mistake, match=str(trouble)) as caught:
        await studio.clones.start(user.id, "Me")
    assert caught.value.code is code
    assert carrier.orders == []


async def test_an_allowance_that_cannot_be_asked_for_is_no_hindrance(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_first(monkeypatch, provider, "clone_quota", Transient("not now"))
    clone = await studio.clones.start(user.id, "Me")
    await clone_when(studio, clone, CloneStatus.CALLING)
