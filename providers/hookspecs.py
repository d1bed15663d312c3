"""The hook that every provider registers by, built-in or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pluggy

from providers.contract import Provider

hookspec = pluggy.HookspecMarker("deadringer")
hookimpl = pluggy.HookimplMarker("deadringer")

Register: TypeAlias = Callable[[Provider], None]


@hookspec
def register_providers(register: Register) -> None:
    """Call `register` with each provider of the plugin. Be quick: load no model and use no network here."""
