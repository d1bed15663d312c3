"""`deadringer providers`: what is installed, and what it can do."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from providers.contract import ProviderError, Synthesizer, capabilities_of
from providers.manager import load_providers


async def list_providers(console: Console | None = None) -> None:
    console = console or Console()
    registry = load_providers()
    table = Table("name", "title", "version", "capabilities", "available", box=None, pad_edge=False)
    voices: list[str] = []
    troubles: list[str] = []
    for provider in registry.providers.values():
        health = await provider.health()
        words = "yes" if health.available else f"no: {health.reason}"
        able = ", ".join(sorted(capability.lower() for capability in capabilities_of(provider)))
        table.add_row(provider.name, provider.title, provider.version, able, words)
        if isinstance(provider, Synthesizer):
            try:
                voices += [f"{provider.name}:{voice.key}" for voice in await provider.voices()]
            except ProviderError as trouble:
                troubles.append(f"The voices of {provider.title} cannot be listed: {trouble}")
    for broken in registry.broken:
        table.add_row(broken.name, "", "", "", f"broken: {broken.reason}")
    console.print(table)
    console.print(f"\nBuilt-in voices: {', '.join(voices)}" if voices else "\nNo built-in voices.")
    for words in troubles:
        console.print(words)
    await registry.aclose()
