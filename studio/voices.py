"""Voices that one can speak in: the owner's cloned ones, and those built into the providers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog
from sqlmodel import col

from providers.contract import Artefact, Capability, ProviderError, Synthesizer, VoiceInfo, capabilities_of
from providers.manager import ProviderRegistry
from studio import tables
from studio.database import Database
from studio.erasing import erase_voice_workflow
from studio.mistakes import Mistake, MistakeCode
from studio.pages import Page, bad_cursor, decode_cursor, encode_cursor, page_size
from studio.repositories import Repository
from studio.tables import Voice, now
from studio.texts import checked_name
from studio.workflows import Workflows

_log = structlog.get_logger()


class VoiceOrigin(StrEnum):
    BUILT_IN = "BUILT_IN"
    CLONED = "CLONED"


@dataclass(frozen=True)
class VoiceView:
    """A voice of either kind. `key` is a row's id, or `provider:key` of a built-in voice."""

    key: str
    name: str
    provider: str
    origin: VoiceOrigin
    language: str | None = None
    tags: tuple[str, ...] = ()
    sample_url: str | None = None
    similarity: float | None = None
    notes: tuple[str, ...] = ()
    clone_id: str | None = None
    created_at: datetime | None = None


class Voices:
    def __init__(self, database: Database, providers: ProviderRegistry, workflows: Workflows) -> None:
        self._database = database
        self._providers = providers
        self._workflows = workflows
        self.rows = Repository(database, Voice, "voice")

    async def find(self, owner: str, key: str) -> VoiceView | None:
        provider_name, colon, _ = key.partition(":")
        if colon:
            return next((view for view in await self._built_in(provider_name) if view.key == key), None)
        voice = await self._cloned(owner, key)
        return _view_of_row(voice) if voice is not None else None

    async def many(self, owner: str, keys: Sequence[str]) -> list[VoiceView]:
        """Those of the voices that there are, in any order: cloned ones by one statement."""
        cloned = await self.rows.many(owner, [key for key in keys if ":" not in key])
        providers = {key.partition(":")[0] for key in keys if ":" in key}
        built_in = [view for name in sorted(providers) for view in await self._listed(name)]
        views = [_view_of_row(voice) for voice in cloned if voice.deleted_at is None] + built_in
        return [view for view in views if view.key in keys]

    async def speakable(self, owner: str, key: str) -> tuple[Synthesizer, str | Artefact] | None:
        """Who speaks a voice, and what to give them for it; None if there is no such voice.

        Raises:
            Mistake: NOT_CONFIGURED, if its provider is not installed or cannot work now.
        """
        try:
            view = await self.find(owner, key)
        except ProviderError as trouble:
            raise Mistake(MistakeCode.NOT_CONFIGURED, str(trouble), ("voiceId",)) from trouble
        if view is None:
            return None
        provider = self._providers.get(view.provider)
        if not isinstance(provider, Synthesizer):
            message = f"The provider {view.provider!r} of this voice is not installed."
            raise Mistake(MistakeCode.NOT_CONFIGURED, message, ("voiceId",))
        if view.origin is VoiceOrigin.BUILT_IN:
            return provider, view.key.partition(":")[2]
        async with self._database.reading() as session:
            voice = await session.get_one(Voice, key)
            stored = await session.get_one(tables.Artefact, voice.artefact_id)
        return provider, Artefact(stored.kind, stored.data)

    async def page(
        self, owner: str, capability: Capability | None, provider: str | None, first: int, after: str | None
    ) -> Page[VoiceView]:
        """The owner's cloned voices, newest first, then the built-in ones, provider by provider."""
        size = page_size(first)
        names = [
            name
            for name, one in self._providers.providers.items()
            if provider in (None, name) and (capability is None or capability in capabilities_of(one))
        ]
        built_in = [view for name in names for view in await self._listed(name)]
        skip = 0
        views: list[VoiceView] = []
        more = False
        if after is None or not after.startswith(_BUILT_IN_CURSOR):
            page = await self.rows.page(
                owner, size, after, col(Voice.deleted_at).is_(None), col(Voice.provider).in_(names)
            )
            views = [_view_of_row(voice) for voice in page.items]
            more = page.has_next
        else:
            last = decode_cursor(after.removeprefix(_BUILT_IN_CURSOR), 1)[0]
            skip = next((index + 1 for index, view in enumerate(built_in) if view.key == last), 0)
            if skip == 0:
                raise bad_cursor()
        if not more:
            room = size - len(views)
            views += built_in[skip : skip + room]
            more = len(built_in) > skip + room
        return Page(views, has_next=more, has_previous=after is not None, cursor_of=_cursor)

    async def cloned(self, owner: str, first: int, after: str | None) -> Page[VoiceView]:
        page = await self.rows.page(owner, first, after, col(Voice.deleted_at).is_(None))
        return Page([_view_of_row(voice) for voice in page.items], page.has_next, page.has_previous, _cursor)

    async def rename(self, owner: str, voice_id: str, name: str) -> VoiceView:
        """
        Raises:
            Mistake: NOT_FOUND, REQUIRED, TOO_LONG.
        """
        name = checked_name(name)
        async with self._database.transaction() as unit:
            voice = await self.rows.locked(unit, owner, voice_id)
            if voice.deleted_at is not None:
                raise Mistake(MistakeCode.NOT_FOUND, "There is no such voice.", ("id",))
            voice.name = name
        return _view_of_row(voice)

    async def delete(self, owner: str, voice_id: str) -> None:
        """Gone for its owner at once; a workflow removes it at the provider, and the recording here and at the carrier.

        Raises:
            Mistake: NOT_FOUND.
        """
        async with self._database.transaction() as unit:
            voice = await self.rows.locked(unit, owner, voice_id)
            if voice.deleted_at is not None:
                raise Mistake(MistakeCode.NOT_FOUND, "There is no such voice.", ("id",))
            voice.deleted_at = now()
        await self._workflows.start(erase_voice_workflow, voice.id)

    async def _cloned(self, owner: str, voice_id: str) -> Voice | None:
        voice = await self.rows.get(owner, voice_id)
        return voice if voice is not None and voice.deleted_at is None else None

    async def _listed(self, provider_name: str) -> list[VoiceView]:
        """One provider that cannot say which voices it has does not hide those of the others."""
        try:
            return await self._built_in(provider_name)
        except ProviderError as trouble:
            _log.warning("provider.voices_unknown", provider=provider_name, problem=str(trouble))
            return []

    async def _built_in(self, provider_name: str) -> list[VoiceView]:
        provider = self._providers.get(provider_name)
        voices: Sequence[VoiceInfo] = await provider.voices() if isinstance(provider, Synthesizer) else ()
        return [
            VoiceView(
                key=f"{provider_name}:{voice.key}",
                name=voice.name,
                provider=provider_name,
                origin=VoiceOrigin.BUILT_IN,
                language=voice.language,
                tags=voice.tags,
                sample_url=voice.sample_url,
            )
            for voice in voices
        ]


_BUILT_IN_CURSOR = "b."


def _cursor(view: VoiceView) -> str:
    if view.created_at is None:
        return _BUILT_IN_CURSOR + encode_cursor(view.key)
    return encode_cursor(view.created_at.isoformat(), view.key)


def _view_of_row(voice: Voice) -> VoiceView:
    return VoiceView(
        key=voice.id,
        name=voice.name,
        provider=voice.provider,
        origin=VoiceOrigin.CLONED,
        language=voice.language,
        similarity=voice.similarity,
        notes=tuple(voice.notes),
        clone_id=voice.clone_id,
        created_at=voice.created_at,
    )
