"""What a phone sends while it is being recorded: speech where there is some, silence elsewhere, without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from telephony.exchange.protocol import MAX_SOUND_BYTES, SAMPLE_RATE, SILENCE

TICK = 0.02
"""Real seconds between two sendings: at speed 1 a piece holds 20 ms, as a telephone network's packets do."""


class Microphone:
    """Sends sound at the pace of simulated time from `open` to `close`.

    Speech runs at full speed however far behind the clock is; silence at no more than one simulated second per tick, so
    that a person who acts when the speech is over is never late because the machine was slow.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]], speed: float) -> None:
        self._send = send
        self._speed = speed
        self._speech = memoryview(b"")
        self._spoken: asyncio.Future[bool] | None = None
        self._sending: asyncio.Task[None] | None = None

    def open(self) -> None:
        if self._sending is None:
            self._sending = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop sending; speech that is still running ends unspoken."""
        sending, self._sending = self._sending, None
        self._finish_speech(spoken=False)
        if sending is not None:
            sending.cancel()
            await asyncio.wait([sending])

    async def speak(self, sound: bytes) -> bool:
        """Speak μ-law `sound` and wait until it is sent: true if all of it was, false if the microphone is closed
        before.

        Speech that still runs is cut short by the new.
        """
        if self._sending is None:
            return False
        self._finish_speech(spoken=False)
        if not sound:
            return True
        self._speech = memoryview(sound)
        self._spoken = asyncio.get_running_loop().create_future()
        return await self._spoken

    def _finish_speech(self, *, spoken: bool) -> None:
        self._speech = memoryview(b"")
        if self._spoken is not None and not self._spoken.done():
            self._spoken.set_result(spoken)
        self._spoken = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        started, sent = loop.time(), 0
        while True:
            await asyncio.sleep(TICK)
            due = round((loop.time() - started) * SAMPLE_RATE * self._speed) - sent
            while due > 0 and self._speech:
                piece = self._speech[: min(due, MAX_SOUND_BYTES)]
                self._speech = self._speech[len(piece) :]
                await self._send(bytes(piece))
                sent, due = sent + len(piece), due - len(piece)
                if not self._speech:
                    self._finish_speech(spoken=True)
                    due = 0  # whoever waited for the end of the speech acts before silence goes on
            if due > 0:
                await self._send(SILENCE * min(due, MAX_SOUND_BYTES))
                started, sent = loop.time(), 0
