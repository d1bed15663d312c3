"""Strawberry's decorators with types: a resolver keeps its signature. Every field has a description."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry

F = TypeVar("F", bound=Callable[..., Any])


def field(description: str) -> Callable[[F], F]:
    """A field with a resolver."""
    return cast(Callable[[F], F], strawberry.field(description=description))


def subscription(description: str) -> Callable[[F], F]:
    """A subscription: a generator of what is streamed."""
    return cast(Callable[[F], F], strawberry.subscription(description=description))
