"""The person at the phone, who does each thing when the test says so."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TypeVar

from audio.pcm import Pcm
from telephony.exchange.phone import Phone, line_sound
from telephony.exchange.protocol import Ended, FromExchange, Gathering, Recording, Ringing
from tests.faults.front import WITHIN

M = TypeVar("M", bound=FromExchange)


class Caller:
    """Works inside its `async with` block. `said` is what they say into a recording."""

    def __init__(self, exchange: str, number: str, said: Pcm) -> None:
        self._phone = Phone(exchange, number)
        self._said = said
        self._sound = b""
        self._heard: asyncio.Queue[FromExchange] = asyncio.Queue()
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Caller:
        self._sound = await asyncio.to_thread(line_sound, self._said)
        await self._phone.__aenter__()
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._phone.__aexit__(kind, error, trace)

    async def hears(self, *kinds: type[M]) -> M:
        """The next message of one of these kinds; what comes before it is passed over."""
        async with asyncio.timeout(WITHIN):
            while True:
                message = await self._heard.get()
                if isinstance(message, kinds):
                    return message

    async def agrees(self, key: str) -> None:
        """Pick up and press what shows that they agree; return when the recording runs."""
        await self.picks_up()
        await self._phone.press(key)
        await self.hears(Recording)

    async def picks_up(self) -> None:
        """Return when the question of whether they agree is being asked."""
        await self._phone.answer()
        await self.hears(Gathering)

    async def answers_in_vain(self) -> None:
        """Pick up while the application cannot be reached."""
        await self._phone.answer()
        await self.hears_it_break_off()

    async def hangs_up(self) -> None:
        await self._phone.hang_up()

    async def presses(self, key: str) -> None:
        await self._phone.press(key)

    async def speaks(self) -> bool:
        """Say it all; false if the recording ended before."""
        return await self._phone.speak(self._sound)

    async def stops(self) -> None:
        """End the recording, and keep it if there is time to ask: otherwise who says nothing keeps it."""
        await self._phone.press("1")
        if isinstance(await self.hears(Gathering, Ended), Gathering):
            await self._phone.press("1")
            await self.hears(Ended)

    async def tells_the_story(self, key: str) -> None:
        """From the ringing to the end of the call."""
        await self.hears(Ringing)
        await self.agrees(key)
        await self.speaks()
        await self.stops()

    async def hears_it_break_off(self) -> Ended:
        """The application cannot be reached: the exchange says so, and ends the call."""
        ended = await self.hears(Ended)
        assert ended.error_code is not None, "the call should have broken off"
        return ended

    async def _listen(self) -> None:
        async for message in self._phone:
            if not isinstance(message, bytes):
                self._heard.put_nowait(message)
