"""Everything the product does, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from providers.manager import ProviderRegistry
from studio import cloning, erasing, speaking
from studio.accounts import Accounts
from studio.blobs import CLAIMED_WITHIN, Blobs
from studio.calling import Calling, CallTimes
from studio.calls import Calls
from studio.clones import Clones
from studio.cloning import Cloning, clone_recorded_workflow, clone_workflow
from studio.database import Database
from studio.desk import Desk
from studio.erasing import (
    Erasing,
    erase_account_workflow,
    erase_recording_workflow,
    erase_voice_workflow,
    sweep_file_workflow,
)
from studio.hub import ChangeHub
from studio.inbox import Inbox
from studio.listening import Listeners
from studio.ports import Carrier
from studio.speaking import Speaking, speak_workflow
from studio.speech import Speech
from studio.states import CloneStatus, SynthesisStatus
from studio.tables import Clone, Recording, Synthesis, UnclaimedFile, User, Voice, now
from studio.takes import Takes
from studio.voices import Voices
from studio.workflows import Workflows

# Where calls go by default (ISO 3166-1): a short list, since a service that rings numbers invites toll fraud.
_COUNTRIES = "AT AU BE CA CH CZ DE DK ES FI FR GB GR HU IE IS IT LU NL NO NZ PL PT SE US"
DEFAULT_COUNTRIES = tuple(_COUNTRIES.split())


@dataclass(frozen=True)
class StudioSettings:
    """`database_url` may be empty: an SQLite file in `data_dir`."""

    data_dir: Path
    database_url: str = ""
    allowed_countries: Sequence[str] = field(default_factory=lambda: DEFAULT_COUNTRIES)
    default_clone_provider: str = "local"
    calls_per_hour: int = 10
    calls_per_day: int = 50
    call_times: CallTimes = field(default_factory=CallTimes)


class Studio:
    """The services. Made by `open_studio`; one in a process."""

    def __init__(self, settings: StudioSettings, providers: ProviderRegistry, carrier: Carrier) -> None:
        self.settings = settings
        self.providers = providers
        self.carrier = carrier
        self.hub = ChangeHub()
        self.database = Database(
            settings.database_url or f"sqlite:///{settings.data_dir / 'deadringer.sqlite'}", self.hub
        )
        self.blobs = Blobs(settings.data_dir / "blobs", self.database)
        self.listeners = Listeners()
        self.workflows = Workflows(self.database, self._orphans)
        self.accounts = Accounts(self.database, settings.allowed_countries, self._erase_account)
        self.voices = Voices(self.database, providers, self.workflows)
        self.calls = Calls(self.database, settings.calls_per_hour, settings.calls_per_day)
        self.clones = Clones(
            self.database,
            self.blobs,
            self.listeners,
            providers,
            carrier,
            self.calls,
            self.workflows,
            settings.allowed_countries,
            settings.default_clone_provider,
        )
        self.speech = Speech(self.database, self.blobs, self.voices, self.workflows)
        self.inbox = Inbox(self.database)
        self.desk = Desk(self.database, self.blobs, providers)

    async def _erase_account(self, user_id: str) -> None:
        await self.workflows.start(erase_account_workflow, user_id)

    async def _orphans(self) -> Sequence[tuple[Callable[[str], Coroutine[Any, Any, None]], str]]:
        """Rows that want a workflow. A process that dies at the wrong moment leaves one without."""
        unfinished_clones = [status for status in CloneStatus if not status.over]
        unfinished_speech = [status for status in SynthesisStatus if not status.over]
        async with self.database.reading() as session:
            clones = await session.exec(select(Clone.id, Clone.call_id).where(col(Clone.status).in_(unfinished_clones)))
            speech = await session.exec(select(Synthesis.id).where(col(Synthesis.status).in_(unfinished_speech)))
            voices = await session.exec(select(Voice.id).where(col(Voice.deleted_at).is_not(None)))
            nobodys = await session.exec(
                select(UnclaimedFile.key).where(UnclaimedFile.created_at < now() - CLAIMED_WITHIN)
            )
            kept_long_enough = await session.exec(select(Recording.id).where(col(Recording.keep_until) < now()))
            users = await session.exec(select(User.id).where(col(User.deleted_at).is_not(None)))
            return [
                *((clone_workflow if call_id else clone_recorded_workflow, row_id) for row_id, call_id in clones.all()),
                *((speak_workflow, row_id) for row_id in speech.all()),
                *((erase_voice_workflow, row_id) for row_id in voices.all()),
                *((sweep_file_workflow, key) for key in nobodys.all()),
                *((erase_recording_workflow, row_id) for row_id in kept_long_enough.all()),
                *((erase_account_workflow, row_id) for row_id in users.all()),
            ]


@asynccontextmanager
async def open_studio(settings: StudioSettings, providers: ProviderRegistry, carrier: Carrier) -> AsyncIterator[Studio]:
    """Migrate the database, bind and launch the workflows, and take over what was left unfinished. What is still
    running when the context is left goes on the next time, or elsewhere."""
    await asyncio.to_thread(settings.data_dir.mkdir, parents=True, exist_ok=True)
    studio = Studio(settings, providers, carrier)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(studio.listeners.aclose)
        await studio.database.open()
        stack.push_async_callback(studio.database.aclose)
        times = settings.call_times
        takes = Takes(studio.database, studio.blobs, carrier, studio.listeners, times.fetch)
        stack.push_async_callback(takes.aclose)
        calling = Calling(studio.database, studio.hub, carrier, studio.workflows.permit, times)
        cloning.bind(Cloning(studio.database, providers, calling, takes, studio.workflows, times.late))
        speaking.bind(Speaking(studio.database, studio.blobs, studio.voices, studio.workflows))
        erasing.bind(Erasing(studio.database, studio.blobs, providers, carrier, studio.workflows))
        await studio.workflows.open()
        stack.push_async_callback(studio.workflows.aclose)
        stack.push_async_callback(studio.clones.aclose)
        yield studio
