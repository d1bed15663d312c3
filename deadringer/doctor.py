"""`deadringer doctor`: what is set, missing, or out of reach, each with what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

from rich.console import Console

from api.settings import Settings, SettingsError, read_settings
from deadringer.exchange import is_loopback
from providers.manager import load_providers
from studio.database import Database
from studio.hub import ChangeHub
from telephony.settings import TelephonySettings


class Verdict(Enum):
    GOOD = "[green]✓[/green]"
    NOTE = "[yellow]•[/yellow]"
    BAD = "[red]✗[/red]"


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    what: str
    words: str


async def examine(console: Console | None = None) -> bool:
    """Print every finding; whether the service can be run."""
    console = console or Console(highlight=False, soft_wrap=True)
    good = True
    async for finding in _findings():
        console.print(f"{finding.verdict.value} [bold]{finding.what}[/bold]: {finding.words}")
        good = good and finding.verdict is not Verdict.BAD
    console.print("\nAll that is needed is there." if good else "\nMend what is marked ✗, then run this again.")
    return good


async def _findings() -> AsyncIterator[Finding]:
    yield Finding(Verdict.GOOD, "Python", sys.version.split()[0])
    try:
        settings = read_settings(Settings)
    except SettingsError as problem:
        yield Finding(Verdict.BAD, "Settings", str(problem))
        return
    yield _data_folder(settings)
    yield await _database(settings)
    yield _telephony(settings)
    async for finding in _providers():
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


def _telephony(settings: Settings) -> Finding:
    try:
        telephony = read_settings(TelephonySettings, public_base_url=settings.public_base_url)
    except SettingsError as problem:
        return Finding(Verdict.BAD, "Telephone", str(problem))
    problem_words = telephony.problem()
    if problem_words is None:
        return Finding(Verdict.GOOD, "Telephone", f"calls go through {telephony.twilio_api_url or 'Twilio'}")
    if telephony.twilio_account_sid is None and is_loopback(settings.host):
        return Finding(Verdict.NOTE, "Telephone", "calls go through the local exchange; real phones need TWILIO_*")
    return Finding(Verdict.BAD, "Telephone", problem_words)


async def _providers() -> AsyncIterator[Finding]:
    registry = load_providers()
    try:
        for provider in registry.providers.values():
            health = await provider.health()
            verdict = Verdict.GOOD if health.available else Verdict.NOTE
            yield Finding(verdict, f"Provider {provider.name}", health.reason or f"{provider.title}, ready")
        for broken in registry.broken:
            yield Finding(Verdict.NOTE, f"Plugin {broken.name}", f"could not be loaded: {broken.reason}")
    finally:
        await registry.aclose()


def _node() -> Finding:
    if shutil.which("npm") is None:
        return Finding(Verdict.NOTE, "Node", "npm is not there; set-up needs it for the playground and Kokoro's voices")
    return Finding(Verdict.GOOD, "Node", "npm is there")
