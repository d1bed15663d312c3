"""What the account's plan allows, and how much of it is used."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from providers.contract import Quota, Refused
from providers.elevenlabs.connection import REPEATABLE, Connection, in_words
from providers.elevenlabs.errors import NO_CLONING, BadAnswer

_FRESH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Allowances:
    """`additions`: how many voices may yet be added or changed this month; None where the plan does not count them."""

    plan: str
    cloning: bool
    slots: Quota
    additions: Quota | None
    credits: Quota


class Account:
    """Asked for at most every half a minute, and anew after `forget`."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._known: tuple[float, Allowances] | None = None
        self._changes = 0

    def forget(self) -> None:
        """A voice was, or may have been, added or deleted."""
        self._known = None
        self._changes += 1

    async def allowances(self) -> Allowances:
        """
        Raises:
            ProviderError
        """
        if self._known is not None and self._clock() - self._known[0] < _FRESH_SECONDS:
            return self._known[1]
        changes = self._changes
        async with self._connection.asking() as sdk:
            subscription = await sdk.user.subscription.get(request_options=REPEATABLE)
        with in_words():
            found = _read(subscription)
        if changes == self._changes:
            self._known = self._clock(), found
        return found

    async def clone_quota(self) -> Quota:
        """Of voice slots and of this month's additions, that of which less is left.

        Raises:
            Refused: the plan does not include cloning.
            ProviderError: it cannot be asked.
        """
        allowed = await self.allowances()
        if not allowed.cloning:
            raise Refused(NO_CLONING)
        bounds = [allowed.slots] + ([allowed.additions] if allowed.additions is not None else [])
        return min(bounds, key=lambda quota: quota.limit - quota.used)


def _read(subscription: object) -> Allowances:
    """The SDK checks nothing of what it was sent."""

    def number(name: str) -> int:
        value = getattr(subscription, name, None)
        if not isinstance(value, int):
            raise BadAnswer(f"a subscription without {name}")
        return value

    counted = isinstance(getattr(subscription, "max_voice_add_edits", None), int)
    return Allowances(
        plan=str(getattr(subscription, "tier", "")) or "unknown",
        cloning=getattr(subscription, "can_use_instant_voice_cloning", None) is True,
        slots=Quota(number("voice_slots_used"), number("voice_limit"), "voice slots"),
        additions=Quota(
            number("voice_add_edit_counter"), number("max_voice_add_edits"), "additions of voices this month"
        )
        if counted
        else None,
        credits=Quota(number("character_count"), number("character_limit"), "credits (about one a character)"),
    )
