"""Clones as their owners see them: begun, followed, canceled, tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import structlog
from sqlmodel import col, select

from audio.pcm import Pcm
from audio.wav import write_wav
from providers.contract import Cloner, NotConfigured, ProviderError, QuotaExceeded, Refused
from providers.manager import ProviderRegistry
from studio.blobs import Blobs
from studio.calls import Calls
from studio.cloning import clone_recorded_workflow, clone_workflow
from studio.database import Database, Unit
from studio.listening import Listeners
from studio.mistakes import Mistake, MistakeCode
from studio.moves import move_clone
from studio.numbers import callable_number
from studio.ports import Carrier
from studio.repositories import Repository, living_user
from studio.states import CallPurpose, CloneStatus
from studio.tables import Call, Clone, Consent, Recording
from studio.texts import checked_name, is_id
from studio.workflows import Workflows

_log = structlog.get_logger()


class Clones(Repository[Clone]):
    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        listeners: Listeners,
        providers: ProviderRegistry,
        carrier: Carrier,
        calls: Calls,
        workflows: Workflows,
        countries: Collection[str],
        default_provider: str,
    ) -> None:
        super().__init__(database, Clone, "clone")
        self._blobs = blobs
        self._listeners = listeners
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
        await self._check_carrier()
        async with self._database.transaction() as unit:
            clone = Clone(user_id=owner, name=name, provider=cloner.name)
            await self._order_call(unit, clone, phone)
        return await self._begun(clone, cloner)

    async def from_audio(
        self, owner: str, name: str, sound: Pcm, consent: bool, wording: str, provider: str | None = None
    ) -> Clone:
        """Clone a voice from a recording that is there already. `wording`: what its speaker is said to have agreed to.

        Raises:
            Mistake: REQUIRED, TOO_LONG, INVALID, NOT_FOUND, NOT_CONFIGURED, QUOTA.
        """
        name = checked_name(name)
        if not consent:
            raise Mistake(MistakeCode.REQUIRED, "A voice is cloned only with its speaker's consent.", ("consent",))
        cloner = await self._ready_cloner(provider or self._default_provider)
        blob = await self._blobs.put(await asyncio.to_thread(write_wav, sound), "wav")
        async with self._database.transaction() as unit:
            await living_user(unit, owner)
            await self._blobs.claim(unit, blob)
            clone = Clone(user_id=owner, name=name, provider=cloner.name)
            unit.add(clone)
            await unit.flush()
            unit.add(Consent(user_id=owner, clone_id=clone.id, how="given with the file", wording=wording))
            unit.add(Recording(user_id=owner, clone_id=clone.id, take=1, blob=blob, seconds=sound.seconds, kept=True))
        return await self._begun(clone, cloner)

    async def retry(self, owner: str, clone_id: str) -> Clone:
        """Try a clone that came to nothing again: with its recording if that is still here, or else by another call.
        The next try is a clone of its own.

        Raises:
            Mistake: NOT_FOUND; WRONG_STATE, if it is not over, became a voice, or was tried again already; REQUIRED, if
                there is neither a recording nor a phone; and as for `start`.
        """
        last = await self.get(owner, clone_id)
        if last is None:
            raise self._missing()
        cloner = await self._ready_cloner(last.provider)
        async with self._database.transaction() as unit:
            await living_user(unit, owner)
            last = await self.locked(unit, owner, clone_id)
            if last.status not in (CloneStatus.FAILED, CloneStatus.CANCELED):
                message = f"This clone is {last.status.lower()}: only one that failed or was canceled is tried again."
                raise Mistake(MistakeCode.WRONG_STATE, message, ("id",))
            if (await unit.exec(select(Clone.id).where(Clone.retry_of == clone_id))).first() is not None:
                raise Mistake(MistakeCode.WRONG_STATE, "This clone was tried again already.", ("id",))
            clone = Clone(user_id=owner, name=last.name, provider=last.provider, retry_of=last.id)
            if not await self._take_along(unit, last, clone):
                await self._check_carrier()
                await self._order_call(unit, clone, await self._phone_of(unit, last))
        return await self._begun(clone, cloner)

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
            if clone.call_id is not None:
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

    async def _check_carrier(self) -> None:
        missing = await self._carrier.health()
        if missing is not None:
            raise Mistake(MistakeCode.NOT_CONFIGURED, missing)

    async def _order_call(self, unit: Unit, clone: Clone, phone: str | None) -> None:
        """Add a clone that is made by telephone."""
        user = await living_user(unit, clone.user_id)
        number = phone or user.phone
        if not number:
            raise Mistake(MistakeCode.REQUIRED, "Which phone shall ring? Give its number.", ("phone",))
        number = callable_number(number, self._countries)
        call = await self._calls.order(unit, user, number, CallPurpose.CLONE)
        await unit.flush()
        clone.call_id = call.id
        unit.add(clone)

    async def _phone_of(self, unit: Unit, clone: Clone) -> str | None:
        if clone.call_id is None:
            raise Mistake(MistakeCode.WRONG_STATE, "The recording is not kept any more. Upload it again.", ("id",))
        return (await unit.get_one(Call, clone.call_id)).phone

    async def _take_along(self, unit: Unit, last: Clone, clone: Clone) -> bool:
        """Add a clone that is made from the recording of the last try, if that is still here."""
        statement = select(Recording).where(
            Recording.clone_id == last.id, col(Recording.kept).is_(True), col(Recording.blob).is_not(None)
        )
        take = (await unit.exec(statement.with_for_update())).first()
        consent = (await unit.exec(select(Consent).where(Consent.clone_id == last.id))).first()
        if take is None or take.problem is not None or consent is None or last.status is not CloneStatus.FAILED:
            return False
        unit.add(clone)
        await unit.flush()
        take.clone_id, take.take, take.keep_until = clone.id, 1, None
        agreed = consent.model_dump(exclude={"id", "clone_id"})
        unit.add(Consent(clone_id=clone.id, **agreed))
        return True

    async def _begun(self, clone: Clone, cloner: Cloner) -> Clone:
        await self._workflows.start(clone_workflow if clone.call_id else clone_recorded_workflow, clone.id)
        self._warm_up(cloner)
        return clone

    async def _ready_cloner(self, name: str) -> Cloner:
        await self._blobs.check()
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
        except QuotaExceeded as trouble:
            raise Mistake(MistakeCode.QUOTA, str(trouble), ("provider",)) from trouble
        except (NotConfigured, Refused) as trouble:
            raise Mistake(MistakeCode.NOT_CONFIGURED, str(trouble), ("provider",)) from trouble
        except ProviderError as trouble:
            _log.warning("provider.quota_unknown", provider=provider.name, problem=str(trouble))
            quota = None  # if there is none left, cloning will say so
        if quota is not None and quota.used >= quota.limit:
            message = f"{provider.title} has no more room: {quota.used} of {quota.limit} {quota.what} are used."
            raise Mistake(MistakeCode.QUOTA, message, ("provider",))
        return provider

    def _warm_up(self, cloner: Cloner) -> None:
        """While the phone rings, the models load."""
        task = asyncio.create_task(self._warmed(cloner))
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)

    async def _warmed(self, cloner: Cloner) -> None:
        try:
            await self._listeners.warm_up()
            await cloner.warm_up()
        except Exception as trouble:
            _log.warning("provider.not_warm", provider=cloner.name, problem=repr(trouble))
