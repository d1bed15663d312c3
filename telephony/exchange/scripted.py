"""A caller who follows a script: for tests, and for the demonstration that needs nobody at the phone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from audio.pcm import Pcm
from telephony.exchange.phone import Phone, PhoneError, line_sound
from telephony.exchange.protocol import (
    Answer,
    Answered,
    AwaitingKeys,
    Decline,
    Ended,
    FromExchange,
    FromPhone,
    Gathering,
    HangUp,
    PickedUpBy,
    Played,
    PressKeys,
    Recorded,
    Recording,
    Ringing,
    RingingStopped,
    Said,
)

HangUpPoint = Literal["answer", "consent", "speaking", "recording"]
CallEnd = Ended | RingingStopped
Listener = Callable[[FromExchange | FromPhone], None]


@dataclass(frozen=True, slots=True)
class Script:
    """What the person at the phone does.

    `keys` is taken one item at a time, wherever a person would press something: when a gathering has said its prompt
    and waits, and when a recording runs and the mouth has finished. An item may hold several keys (`"4821"`, a code);
    an empty one presses nothing there, so that the wait runs out. When no item is left, nothing more is pressed. So
    `("1", "1", "1")` is: agree, stop the recording, keep it.

    `speech` holds what is said into the first recording, the second and so on; the last is said again into any further
    one. With none, or after it, the mouth is silent.

    `pick_up` says what happens when it rings: answer it, decline it (`busy`), be a broken line (`failed`), or let it
    ring (`ignore`). `picked_up_by` says who answers, for a call that is to find out.

    `hang_up_after` ends the call early, at the first such point:
        `answer`: at once;
        `consent`: when the first item of keys was pressed and the application has replied to it;
        `speaking`: in the middle of the first speech;
        `recording`: when the first recording is over.
    """

    keys: Sequence[str] = ()
    speech: Sequence[Pcm] = ()
    pick_up: Literal["answer", "busy", "failed", "ignore"] = "answer"
    picked_up_by: PickedUpBy = "human"
    hang_up_after: HangUpPoint | None = None


async def run_script(
    url: str,
    number: str,
    script: Script,
    *,
    calls: int = 1,
    ring_within: float = 120.0,
    listener: Listener | None = None,
    registered: asyncio.Event | None = None,
) -> list[CallEnd]:
    """Be the phone `number` of the exchange at `url` for `calls` calls, following `script` in each; return how each
    ended.

    `listener` is told every message both ways (`narration.describe` puts them in words); `registered` is set once the
    phone can be rung.

    Raises:
        PhoneError: if the exchange cannot be reached or goes away, another phone takes the number, or it does not ring
            within `ring_within` seconds.
    """
    ends: list[CallEnd] = []
    speech = await asyncio.to_thread(lambda: [line_sound(said) for said in script.speech])
    async with Phone(url, number) as phone:
        if registered is not None:
            registered.set()
        while len(ends) < calls:
            ends.append(await _Caller(phone, script, speech, listener).take_call(ring_within))
    return ends


class _Caller:
    """The person during one call."""

    def __init__(self, phone: Phone, script: Script, speech: Sequence[bytes], listener: Listener | None) -> None:
        self._phone = phone
        self._script = script
        self._listener = listener
        self._keys = deque(script.keys)
        self._speech = deque(speech)
        self._speaking: asyncio.Task[None] | None = None
        self._consented = False
        self._hung_up = False

    async def take_call(self, ring_within: float) -> CallEnd:
        try:
            async with asyncio.timeout(ring_within) as waiting:
                async for message in self._phone:
                    if isinstance(message, bytes):
                        continue
                    if isinstance(message, Ringing):
                        waiting.reschedule(None)
                    self._report(message)
                    if isinstance(message, Ended | RingingStopped):
                        return message
                    await self._act_on(message)
        except TimeoutError:
            raise PhoneError(f"the phone {self._phone.number} did not ring within {ring_within:g} seconds") from None
        finally:
            await self._stop_speaking()
        raise AssertionError("a phone's messages end with an error only")

    async def _act_on(self, message: FromExchange) -> None:
        match message:
            case Ringing():
                await self._pick_up()
            case Answered():
                await self._maybe_hang_up("answer")
            case AwaitingKeys():
                await self._press_next()
            case Recording():
                self._speaking = asyncio.create_task(self._speak())
            case Recorded():
                await self._stop_speaking()
                await self._maybe_hang_up("recording")
        if self._consented and isinstance(message, Said | Played | Gathering | Recording):
            await self._maybe_hang_up("consent")

    async def _pick_up(self) -> None:
        match self._script.pick_up:
            case "answer":
                self._report(Answer(by=self._script.picked_up_by))
                await self._phone.answer(self._script.picked_up_by)
            case "busy" | "failed" as reason:
                self._report(Decline(reason=reason))
                await self._phone.decline(broken=reason == "failed")

    async def _press_next(self) -> None:
        keys = self._keys.popleft() if self._keys else ""
        if keys and not self._hung_up:
            self._report(PressKeys(keys=keys))
            await self._phone.press(keys)
            self._consented = True

    async def _speak(self) -> None:
        if self._speech:
            speech = self._speech[0] if len(self._speech) == 1 else self._speech.popleft()
            if self._script.hang_up_after == "speaking":
                if await self._phone.speak(speech[: len(speech) // 2]):
                    await self._maybe_hang_up("speaking")
                return
            if not await self._phone.speak(speech):
                return
        await self._press_next()

    async def _stop_speaking(self) -> None:
        speaking, self._speaking = self._speaking, None
        if speaking is not None:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _maybe_hang_up(self, point: HangUpPoint) -> None:
        if self._script.hang_up_after == point and not self._hung_up:
            self._hung_up = True
            self._report(HangUp())
            await self._phone.hang_up()

    def _report(self, message: FromExchange | FromPhone) -> None:
        if self._listener is not None:
            self._listener(message)
