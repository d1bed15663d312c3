"""`deadringer doctor`: what is set, missing, or out of reach, each with what to do about it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

from rich.console import Console
from rich.markup import escape

from api.settings import Settings, SettingsError, read_settings
from deadringer.exchange import is_loopback
from providers.contract import Examined
from providers.manager import load_providers
from studio.database import Database
from studio.hub import ChangeHub
from studio.studio import DEFAULT_COUNTRIES
from telephony.examination import examine as examine_twilio
from telephony.settings import TelephonySettings

_EXAMINATION_SECONDS = 20.0
"""For a provider to find out whatever it wants to."""


class Verdict(Enum):
    GOOD = "[green]✓[/green]"
    NOTE = "[yellow]•[/yellow]"
    BAD = "[red]✗[/red]"


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    what: str
    words: str


async def examine(console: Console | None = None, *, live: bool = True) -> bool:
    """Print every finding; whether the service can be run. Unless `live`, nobody on the network is asked, except the
    database."""
    console = console or Console(highlight=False, soft_wrap=True)
    good = True
    async for finding in _findings(live):
        console.print(f"{finding.verdict.value} [bold]{escape(finding.what)}[/bold]: {escape(finding.words)}")
        good = good and finding.verdict is not Verdict.BAD
    console.print("\nAll that is needed is there." if good else "\nMend what is marked ✗, then run this again.")
    return good


async def _findings(live: bool) -> AsyncIterator[Finding]:
    yield Finding(Verdict.GOOD, "Python", sys.version.split()[0])
    try:
        settings = read_settings(Settings)
    except SettingsError as problem:
        yield Finding(Verdict.BAD, "Settings", str(problem))
        return
    yield _data_folder(settings)
    yield await _database(settings)
    async for finding in _telephony(settings, live):
        yield finding
    async for finding in _providers(live):
        yield finding
    yield _node()


def _data_folder(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Finding(Verdict.BAD, "DATA_DIR", f"{folder} cannot be written. Set DATA_DIR to a folder that can.")
    free = shutil.disk_usage(existing).free / 1e9
    verdict = Verdict.GOOD if free > 1 else Verdict.NOTE
    return Finding(verdict, "DATA_DIR", f"{folder}, {free:.0f} GB free")


async def _database(settings: Settings) -> Finding:
    database = Database(settings.database_url, ChangeHub())
    kind = "SQLite, for one process" if database.sqlite else "PostgreSQL"
    where = database.url.render_as_string(hide_password=True)
    try:
        if not database.sqlite:
            await database.check()
    except Exception as problem:  # whatever the driver says
        return Finding(Verdict.BAD, "DATABASE_URL", f"{where} cannot be reached: {problem}")
    finally:
        await database.aclose()
    return Finding(Verdict.GOOD, "DATABASE_URL", f"{where} ({kind})")


async def _telephony(settings: Settings, live: bool) -> AsyncIterator[Finding]:
    try:
        telephony = read_settings(TelephonySettings, public_base_url=settings.public_base_url)
    except SettingsError as problem:
        yield Finding(Verdict.BAD, "Telephone", str(problem))
        return
    problem_words = telephony.problem()
    if telephony.twilio_account_sid is None and is_loopback(settings.host):
        yield Finding(Verdict.NOTE, "Telephone", "calls go through the local exchange; real phones need TWILIO_*")
    elif problem_words is None:
        yield Finding(Verdict.GOOD, "Telephone", f"calls go through {telephony.twilio_api_url or 'Twilio'}")
    else:
        yield Finding(Verdict.BAD, "Telephone", problem_words)
    if live:
        verdicts = {True: Verdict.GOOD, None: Verdict.NOTE, False: Verdict.BAD}
        async for check in examine_twilio(telephony, settings.allowed_countries or DEFAULT_COUNTRIES):
            yield Finding(verdicts[check.good], check.what, check.words)


async def _providers(live: bool) -> AsyncIterator[Finding]:
    registry = load_providers()
    try:
        for provider in registry.providers.values():
            if live and isinstance(provider, Examined):
                for finding in await _examined(provider):
                    yield finding
                continue
            health = await provider.health()
            verdict = Verdict.GOOD if health.available else Verdict.NOTE
            yield Finding(verdict, f"Provider {provider.name}", health.reason or f"{provider.title}, ready")
        for broken in registry.broken:
            yield Finding(Verdict.NOTE, f"Plugin {broken.name}", f"could not be loaded: {broken.reason}")
    finally:
        await registry.aclose()


async def _examined(provider: Examined) -> list[Finding]:
    """The service runs without any one provider: what is wrong there is a note. A plugin is somebody else's code."""
    found = []
    try:
        async with asyncio.timeout(_EXAMINATION_SECONDS):
            async for check in provider.examine():
                verdict = Verdict.GOOD if check.good else Verdict.NOTE
                found.append(Finding(verdict, f"Provider {provider.name}, {check.what}", check.words))
    except TimeoutError:
        found.append(Finding(Verdict.NOTE, f"Provider {provider.name}", "did not find out in time what works"))
    except Exception as problem:
        words = f"broke off while it examined itself: {type(problem).__name__}"
        found.append(Finding(Verdict.NOTE, f"Provider {provider.name}", words))
    return found


def _node() -> Finding:
    if shutil.which("npm") is None:
        return Finding(Verdict.NOTE, "Node", "npm is not there; set-up needs it for the playground and Kokoro's voices")
    return Finding(Verdict.GOOD, "Node", "npm is there")
