"""Finding the providers: built-in plugins and installed ones register by the same hook.

A plugin that cannot be loaded is kept as a `BrokenPlugin` with its reason and logged; the others go on.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points

import pluggy
import structlog

from providers import hookspecs
from providers.contract import Capability, Provider, capabilities_of

# Adding a built-in provider: its folder, and its line here.
DEFAULT_PLUGINS = ("providers.local", "providers.elevenlabs")
ENTRY_POINTS = "deadringer"
ONLY = "DEADRINGER_LOAD_PLUGINS"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_CLOSE_SECONDS = 10.0
_log = structlog.get_logger()


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin or provider that could not be used, and why."""

    name: str
    reason: str


@dataclass
class ProviderRegistry:
    """The providers by name, in the order in which they registered; and what could not be loaded."""

    providers: dict[str, Provider] = field(default_factory=dict)
    broken: list[BrokenPlugin] = field(default_factory=list)

    def get(self, name: str) -> Provider | None:
        return self.providers.get(name)

    def having(self, capability: Capability) -> list[Provider]:
        return [provider for provider in self.providers.values() if capability in capabilities_of(provider)]

    async def aclose(self) -> None:
        """Close all providers; one that fails or hangs does not keep the others from it."""
        async with asyncio.TaskGroup() as group:
            for provider in self.providers.values():
                group.create_task(_closed(provider))


def load_providers(
    plugins: Sequence[str] = DEFAULT_PLUGINS,
    installed: bool = True,
    environment: Mapping[str, str] = os.environ,
) -> ProviderRegistry:
    """Load built-in plugins by module name, then installed ones by their entry points in the group `deadringer`.

    The variable DEADRINGER_LOAD_PLUGINS limits the installed ones to those that it names, separated by commas; empty
    means none.
    """
    registry = ProviderRegistry()
    for name in plugins:
        _load(registry, name, partial(import_module, name))
    if installed:
        points = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
        wanted = environment.get(ONLY)
        names = {point.name for point in points}
        if wanted is not None:
            names = {name.strip() for name in wanted.split(",") if name.strip()}
        for point in points:
            if point.name in names:
                _load(registry, point.name, point.load)
        for name in sorted(names - {point.name for point in points}):
            _break(registry, name, f"{ONLY} names it, and no installed package has such a plugin")
    return registry


def _load(registry: ProviderRegistry, name: str, load: Callable[[], object]) -> None:
    """One plugin, in a manager of its own: what is wrong with it can be told from what is wrong with others."""
    manager = pluggy.PluginManager("deadringer")
    manager.add_hookspecs(hookspecs)
    found: list[Provider] = []
    try:
        manager.register(load(), name)
        manager.check_pending()  # names a misspelt hook
        if not manager.hook.register_providers.get_hookimpls():
            raise TypeError("it does not implement the hook register_providers")
        manager.hook.register_providers(register=found.append)
        for provider in found:
            reason = _unfit(registry, provider)
            if reason is None:
                registry.providers[provider.name] = provider
            else:
                _break(registry, name, reason)
    except (Exception, SystemExit) as problem:  # whatever a stranger's code may raise
        _break(registry, name, f"{type(problem).__name__}: {problem}")


def _unfit(registry: ProviderRegistry, provider: object) -> str | None:
    if not isinstance(provider, Provider):
        return f"{provider!r} is no provider: see providers.contract.Provider"
    if not isinstance(provider.name, str) or not _NAME.fullmatch(provider.name):
        return f"{provider.name!r} is no name for a provider: up to 40 of a-z, 0-9, - and _, a letter first"
    if provider.name in registry.providers:
        return f"there is a provider {provider.name!r} already"
    if not capabilities_of(provider):
        return f"the provider {provider.name!r} has none of the capabilities"
    return None


def _break(registry: ProviderRegistry, name: str, reason: str) -> None:
    registry.broken.append(BrokenPlugin(name, reason))
    _log.error("plugin.broken", plugin=name, reason=reason)


async def _closed(provider: Provider) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await provider.aclose()
    except Exception as problem:
        _log.warning("provider.not_closed", provider=provider.name, problem=repr(problem))
