"""A process that was replaced does nothing outside any more, and who replaces it does nothing twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from providers.contract import Artefact, ClonedVoice, CloneRequest, Transient
from providers.manager import ProviderRegistry
from studio.cloning import clone_workflow
from studio.mistakes import FailureCode
from studio.moves import call_and_clone, fail_clone
from studio.ports import CarrierUnavailable
from studio.states import CallStatus, CloneStatus
from studio.studio import Studio, StudioSettings, open_studio
from studio.tables import Executor, User
from studio.workflows import Replaced
from tests.providers.tone import ToneProvider
from tests.studio.carrier import ScriptedCarrier
from tests.studio.people import PATIENCE, call_when, clone_when, new_take, new_user, workflow_over
from tests.studio.sounds import spoken


async def suspended(studio: Studio) -> None:
    """As others see a process that has been stopped: it says nothing any more, and its token is taken away."""
    await studio.workflows._stop(studio.workflows._keepers)
    async with studio.database.transaction() as unit:
        await unit.delete(await unit.get_one(Executor, studio.workflows.executor_id))


async def at_rest(studio: Studio) -> None:
    """Until the runs of this process have ended where they were."""
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*studio.workflows._running, return_exceptions=True)


@pytest.fixture
def settings(settings: StudioSettings, database_url: str) -> StudioSettings:
    return replace(settings, database_url=database_url)


async def test_no_voice_is_made_by_who_was_replaced(
    settings: StudioSettings, providers: ProviderRegistry, provider: ToneProvider, carrier: ScriptedCarrier
) -> None:
    made: list[CloneRequest] = []
    provider.cloning.hold()
    async with open_studio(settings, providers, carrier) as studio:
        user = await new_user(studio)
        clone = await new_take(studio, user, CloneStatus.CLONING)
        await studio.workflows.start(clone_workflow, clone.id)
        await asyncio.wait_for(provider.cloning.reached(), PATIENCE)
        await suspended(studio)
        provider.cloning.open()
        await at_rest(studio)
        row = await studio.clones.get(user.id, clone.id)
        assert row is not None
        assert (row.status, row.voice_id) == (CloneStatus.CLONING, None)
        made += provider.cloned
    async with open_studio(settings, providers, carrier) as studio:
        await clone_when(studio, clone, CloneStatus.READY)
    assert [request.tried_before for request in provider.cloned] == [False, True]
    assert len(made) == 1
    assert provider.discarded == []


async def test_no_phone_rings_for_who_was_replaced(
    settings: StudioSettings, providers: ProviderRegistry, carrier: ScriptedCarrier
) -> None:
    carrier.placing.hold()
    async with open_studio(settings, providers, carrier) as studio:
        user = await new_user(studio, "+14155550101", proven=True)
        clone = await studio.clones.start(user.id, "Me")
        await asyncio.wait_for(carrier.placing.reached(), PATIENCE)
        await suspended(studio)
        carrier.placing.open()
        await at_rest(studio)
        call = await studio.calls.get(user.id, clone.call_id or "")
        assert call is not None
        assert call.sid is None
    async with open_studio(settings, providers, carrier) as studio:
        over = await clone_when(studio, clone, CloneStatus.FAILED)
        assert over.failure_code == "call_uncertain"
    assert len(carrier.orders) == 1, "it is not dialled again"


async def test_nothing_is_deleted_by_who_was_replaced(
    settings: StudioSettings, providers: ProviderRegistry, provider: ToneProvider, carrier: ScriptedCarrier
) -> None:
    provider.cloning.hold()
    async with open_studio(settings, providers, carrier) as studio:
        user = await new_user(studio)
        clone = await new_take(studio, user, CloneStatus.CLONING)
        await studio.workflows.start(clone_workflow, clone.id)
        await asyncio.wait_for(provider.cloning.reached(), PATIENCE)
        row = await studio.clones.get(user.id, clone.id)
        assert row is not None
        call = await studio.calls.get(user.id, row.call_id or "")
        assert call is not None
        assert call.sid is not None
        carrier.record(call.sid, spoken())
        await studio.clones.cancel(user.id, clone.id)
        await suspended(studio)
        provider.cloning.open()
        await at_rest(studio)
        assert carrier.deleted == []
    async with open_studio(settings, providers, carrier):
        await workflow_over(clone.id)
    assert len(set(carrier.deleted)) == 2, "the take, and one that nobody knew of"
    assert carrier.listed[call.sid] == []


async def test_the_permit_is_for_the_life_in_which_a_run_began(studio: Studio) -> None:
    with studio.workflows.running():
        await studio.workflows.permit()
        async with studio.database.transaction() as unit:
            (await unit.get_one(Executor, studio.workflows.executor_id)).life = "another"
        with pytest.raises(Replaced):
            await studio.workflows.permit()


async def test_a_try_whose_outcome_is_unknown_is_told_to_the_next(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    async def loses_the_answer(request: CloneRequest) -> ClonedVoice:
        seen.append(request.tried_before)
        if len(seen) < 3:
            raise Transient("The answer was lost.")
        return ClonedVoice(Artefact("tone-pitch", b"200"))

    monkeypatch.setattr(provider, "clone", loses_the_answer)
    clone = await new_take(studio, user, CloneStatus.CLONING)
    await studio.workflows.start(clone_workflow, clone.id)
    await clone_when(studio, clone, CloneStatus.READY)
    assert seen == [False, True, True]
    await workflow_over(clone.id)
    assert provider.discarded == []


async def test_what_a_failed_clone_may_have_left_is_discarded(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.cloning._PROVIDER_SECONDS", 0.0)
    provider.failing = Transient("It did not answer.")
    clone = await new_take(studio, user, CloneStatus.CLONING)
    await studio.workflows.start(clone_workflow, clone.id)
    await clone_when(studio, clone, CloneStatus.FAILED)
    await workflow_over(clone.id)
    assert clone.id in provider.discarded


async def test_what_was_never_asked_for_is_not_discarded(
    studio: Studio, user: User, provider: ToneProvider, carrier: ScriptedCarrier
) -> None:
    carrier.fail("place_call", CarrierUnavailable("no answer"))
    clone = await studio.clones.start(user.id, "Me", "+14155550101")
    await clone_when(studio, clone, CloneStatus.FAILED)
    await workflow_over(clone.id)
    assert provider.discarded == []


async def test_a_call_that_a_machine_answers_is_hung_up(studio: Studio, user: User, carrier: ScriptedCarrier) -> None:
    clone = await studio.clones.start(user.id, "Me", "+14155550101")
    call = await call_when(studio, clone, CallStatus.INITIATED)
    async with studio.database.transaction() as unit:
        row, failing = await call_and_clone(unit, clone.id)
        fail_clone(unit, failing, FailureCode.ANSWERING_MACHINE)
        unit.touch(f"call:{row.id}")
    await workflow_over(clone.id)
    assert carrier.hung_up == [call.sid]
