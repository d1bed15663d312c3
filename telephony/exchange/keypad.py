"""Gathering keys."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

MAX_DIGITS = 256
"""Of a gathering without a number of digits; what is pressed beyond is lost."""


class Keypad:
    """Collects keys, by `press`, until there are enough or a finishing one comes; the person's voice is not listened
    to."""

    def __init__(self, num_digits: int | None, finish_on_key: str) -> None:
        self.digits = ""
        self.finished_on = ""
        """The key that finished it, if one did."""
        self.complete = False
        self._num_digits = num_digits
        self._finish_on_key = finish_on_key
        self._pressed = asyncio.Event()

    def press(self, key: str) -> None:
        if self.complete:
            return
        if key in self._finish_on_key:
            self.finished_on, self.complete = key, True
        elif len(self.digits) < MAX_DIGITS:
            self.digits += key
            self.complete = len(self.digits) == self._num_digits
        self._pressed.set()

    def hear(self, sound: bytes) -> None:
        pass

    async def unless_pressed(self, prompt: Coroutine[Any, Any, None]) -> None:
        """Carry out the prompt, up to the first key."""
        prompting = asyncio.ensure_future(prompt)
        pressing = asyncio.ensure_future(self._pressed.wait())
        try:
            await asyncio.wait([prompting, pressing], return_when=asyncio.FIRST_COMPLETED)
            if prompting.done():
                prompting.result()
        finally:
            prompting.cancel()
            pressing.cancel()
            await asyncio.gather(prompting, pressing, return_exceptions=True)

    async def gather(self, patience: float) -> None:
        """Wait until it is complete, or no key was pressed for `patience` real seconds."""
        try:
            while not self.complete:
                self._pressed.clear()
                async with asyncio.timeout(patience):
                    await self._pressed.wait()
        except TimeoutError:
            pass
