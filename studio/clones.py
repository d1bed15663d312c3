"""Clones as their owners see them: begun, followed, canceled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import structlog
from sqlmodel import col, select

from audio.pcm import Pcm
from audio.vad import speech_seconds
from providers.contract import Cloner, ProviderError
from providers.manager import ProviderRegistry
from studio.calls import Calls
from studio.cloning import clone_workflow
from studio.database import Database
from studio.mistakes import Mistake, MistakeCode
from studio.moves import move_clone
from studio.numbers import callable_number
from studio.ports import Carrier
from studio.repositories import Repository, living_user
from studio.states import CallPurpose, CloneStatus
from studio.tables import Clone, Consent, Recording
from studio.texts import checked_name, is_id
from studio.workflows import Workflows

_log = structlog.get_logger()


class Clones(Repository[Clone]):
    def __init__(
        self,
        database: Database,
        providers: ProviderRegistry,
        carrier: Carrier,
        calls: Calls,
        workflows: Workflows,
        countries: Collection[str],
        default_provider: str,
    ) -> None:
        super().__init__(database, Clone, "clone")
        self._providers = providers
        self._carrier = carrier
        self._calls = calls
        self._workflows = workflows
        self._countries = frozenset(countries)
        self._default_provider = default_provider
        self._warming: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)

    async def start(self, owner: str, name: str, phone: str | None = None, provider: str | None = None) -> Clone:
        """Place the call that clones a voice. Everything that can be known to stand in the way is said before it rings.

        Raises:
            Mistake: REQUIRED, TOO_LONG, INVALID, NOT_FOUND, NOT_CONFIGURED, QUOTA, COUNTRY_NOT_ALLOWED, RATE_LIMITED,
                WRONG_STATE.
        """
        name = checked_name(name)
        cloner = await self._ready_cloner(provider or self._default_provider)
        missing = await self._carrier.health()
        if missing is not None:
            raise Mistake(MistakeCode.NOT_CONFIGURED, missing)
        async with self._database.transaction() as unit:
            user = await living_user(unit, owner)
            number = phone or user.phone
            if not number:
                raise Mistake(MistakeCode.REQUIRED, "Which phone shall ring? Give its number.", ("phone",))
            number = callable_number(number, self._countries)
            call = await self._calls.order(unit, user, number, CallPurpose.CLONE)
            await unit.flush()
            clone = Clone(user_id=owner, name=name, provider=cloner.name, call_id=call.id)
            unit.add(clone)
        await self._workflows.start(clone_workflow, clone.id)
        self._warm_up(cloner)
        return clone

    async def cancel(self, owner: str, clone_id: str) -> Clone:
        """
        Raises:
            Mistake: NOT_FOUND; WRONG_STATE, if it is over already.
        """
        async with self._database.transaction() as unit:
            clone = await self.locked(unit, owner, clone_id)
            if clone.status.over:
                message = f"This clone is {clone.status.lower()} already."
                raise Mistake(MistakeCode.WRONG_STATE, message, ("id",))
            move_clone(unit, clone, CloneStatus.CANCELED)
            unit.touch(f"call:{clone.call_id}")
        return clone

    def follow(self, owner: str, clone_id: str) -> AsyncIterator[Clone]:
        return self._follow(owner, clone_id, over=lambda clone: clone.status.over)

    async def consents(self, owner: str, clone_ids: Collection[str]) -> list[Consent]:
        statement = select(Consent).where(Consent.user_id == owner, col(Consent.clone_id).in_(clone_ids))
        async with self._database.reading() as session:
            return list((await session.exec(statement)).all())

    async def recordings(self, owner: str, clone_ids: Collection[str]) -> list[Recording]:
        """The takes that were kept."""
        statement = select(Recording).where(
            Recording.user_id == owner, col(Recording.clone_id).in_(clone_ids), col(Recording.kept).is_(True)
        )
        async with self._database.reading() as session:
            return list((await session.exec(statement)).all())

    async def recording(self, owner: str, recording_id: str) -> Recording | None:
        if not is_id(recording_id):
            return None
        async with self._database.reading() as session:
            statement = select(Recording).where(Recording.id == recording_id, Recording.user_id == owner)
            return (await session.exec(statement)).first()

    async def _ready_cloner(self, name: str) -> Cloner:
        provider = self._providers.get(name)
        if provider is None:
            known = ", ".join(self._providers.providers)
            raise Mistake(MistakeCode.NOT_FOUND, f"There is no provider {name!r}. There are: {known}.", ("provider",))
        if not isinstance(provider, Cloner):
            raise Mistake(MistakeCode.INVALID, f"{provider.title} does not clone voices.", ("provider",))
        health = await provider.health()
        if not health.available:
            raise Mistake(
                MistakeCode.NOT_CONFIGURED, health.reason or f"{provider.title} is not available.", ("provider",)
            )
        try:
            quota = await provider.clone_quota()
        except ProviderError as trouble:
            _log.warning("provider.quota_unknown", provider=provider.name, problem=str(trouble))
            quota = None  # if there is none left, cloning will say so
        if quota is not None and quota.used >= quota.limit:
            message = f"{provider.title} has no more room: {quota.used} of {quota.limit} {quota.what} are used."
            raise Mistake(MistakeCode.QUOTA, message, ("provider",))
        return provider

    def _warm_up(self, cloner: Cloner) -> None:
        """While the phone rings, the models load."""
        task = asyncio.create_task(_warmed(cloner))
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)


async def _warmed(cloner: Cloner) -> None:
    try:
        # What listens to the first take, too: it would be loaded while webhooks of the call wait for their answers.
        await asyncio.to_thread(speech_seconds, Pcm.silence(1.0, 8000))
        await cloner.warm_up()
    except Exception as trouble:
        _log.warning("provider.not_warm", provider=cloner.name, problem=repr(trouble))
