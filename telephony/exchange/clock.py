"""Simulated time: what lasts seconds on a real telephone lasts `1 / speed` as long here."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

PATIENCE = 1.0
"""Real seconds for which a person's reaction is awaited at least, however fast time passes: a busy machine that
simulates at a high speed must not turn into an impatient one."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Raises:
    ValueError: for a speed that is not positive.
    """

    speed: float = 1.0

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"the speed must be positive, not {self.speed}")

    async def sleep(self, seconds: float) -> None:
        """Let simulated `seconds` pass."""
        await asyncio.sleep(seconds / self.speed)

    def patience(self, seconds: float) -> float:
        """Real seconds to wait for a person who may take simulated `seconds` to react."""
        return max(seconds / self.speed, min(seconds, PATIENCE))

    def since(self, moment: float) -> float:
        """Simulated seconds since `moment`, a reading of `time.monotonic`."""
        return (time.monotonic() - moment) * self.speed
