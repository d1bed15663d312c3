"""The switchboard: which phones are connected, which of them rings, and the line between a call and a phone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from telephony.exchange.calls import masked
from telephony.exchange.protocol import (
    CLOSE_REPLACED,
    MAX_SOUND_BYTES,
    Answer,
    Decline,
    FromExchange,
    FromPhone,
    HangUp,
    PickedUpBy,
    PressKeys,
    Problem,
    Registered,
    Replaced,
    Ringing,
    RingingStopped,
    decode_from_phone,
)

logger = logging.getLogger(__name__)

OUTBOX = 64
"""Messages that wait for a slow phone."""
TAKE_WITHIN = 5.0
"""Real seconds in which a phone with a full outbox must take a message, or it is cut off."""
CLOSE_NORMAL = 1000
CLOSE_RESTART = 1012
CLOSE_TOO_SLOW = 1013

RingResult = Literal["answer", "busy", "failed", "gone"]


class Ear(Protocol):
    """What listens to a phone during a call."""

    def press(self, key: str) -> None: ...
    def hear(self, sound: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class _Leg:
    """A call's end at a phone."""

    hung_up: Callable[[], None]
    result: asyncio.Future[RingResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def answered(self) -> bool:
        return self.result.done() and not self.result.cancelled() and self.result.result() == "answer"


class Line:
    """One connected phone; for the call that it is in, the way to it and from it."""

    def __init__(self, number: str, socket: WebSocket) -> None:
        self.number = number
        self.ear: Ear | None = None
        """Who gets the keys and the sound just now."""
        self.picked_up_by: PickedUpBy = "human"
        """Who answered the call that it is in."""
        self._socket = socket
        self._leg: _Leg | None = None
        self._outbox: asyncio.Queue[str | bytes | None] = asyncio.Queue(OUTBOX)
        self._closed: tuple[int, str] | None = None

    @property
    def is_free(self) -> bool:
        return self._leg is None and self._closed is None

    async def ring(self, call_sid: str, caller: str, hung_up: Callable[[], None]) -> RingResult:
        """Ring until the person decides, or the phone is gone.

        When it is answered, the phone is in the call until `end`; `hung_up` is called if the person ends it before.
        """
        leg = self._leg = _Leg(hung_up)
        result: RingResult = "gone"
        try:
            await self.tell(Ringing(call_sid=call_sid, caller=caller))
            result = await leg.result
            return result
        finally:
            if result != "answer":
                self._leg = None

    async def end(self, message: FromExchange) -> None:
        """The call is over."""
        self._leg, self.ear = None, None
        await self.tell(message)

    async def tell(self, message: FromExchange | bytes) -> None:
        """Send a message or sound, as soon as the phone takes it; a phone that does not is cut off."""
        if self._closed is not None:
            return
        try:
            async with asyncio.timeout(TAKE_WITHIN):
                await self._outbox.put(message if isinstance(message, bytes) else message.encode())
        except TimeoutError:
            self.close(CLOSE_TOO_SLOW, "the phone does not take what it is sent")

    def close(self, code: int, reason: str) -> None:
        """What was told before is still sent."""
        if self._closed is None:
            self._closed = code, reason
            if not self._outbox.full():
                self._outbox.put_nowait(None)  # wakes the writing

    async def run(self) -> None:
        """Carry messages both ways until the connection ends."""
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.close(CLOSE_NORMAL, "")
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            if self._leg is not None and self._leg.answered:
                self._leg.hung_up()
            elif self._leg is not None and not self._leg.result.done():
                self._leg.result.set_result("gone")

    async def _write(self) -> None:
        while self._closed is None or not self._outbox.empty():
            message = await self._outbox.get()
            if message is None:
                break
            async with asyncio.timeout(TAKE_WITHIN):
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_text(message)
        code, reason = self._closed or (CLOSE_NORMAL, "")
        await self._socket.close(code, reason)

    async def _read(self) -> None:
        while True:
            try:
                frame = await self._socket.receive()
            except WebSocketDisconnect:
                return
            if frame["type"] == "websocket.disconnect":
                return
            if (sound := frame.get("bytes")) is not None:
                problem = self._hear(sound)
            else:
                problem = self._act_on(frame.get("text") or "")
            if problem is not None:
                await self.tell(Problem(message=problem))

    def _hear(self, sound: bytes) -> str | None:
        """Returns what is wrong with it, if anything is; so does `_act_on`."""
        if len(sound) > MAX_SOUND_BYTES:
            return f"a piece of sound has at most {MAX_SOUND_BYTES} bytes"
        if self.ear is not None:
            self.ear.hear(sound)
        return None

    def _act_on(self, text: str) -> str | None:
        try:
            message: FromPhone = decode_from_phone(text)
        except ValueError:
            return "this is no message that a phone can send"
        leg = self._leg
        match message:
            case Answer() | Decline():
                if leg is None or leg.result.done():
                    return "the phone does not ring"
                if isinstance(message, Answer):
                    self.picked_up_by = message.by
                leg.result.set_result("answer" if isinstance(message, Answer) else message.reason)
            case PressKeys() | HangUp() if leg is None or not leg.answered:
                return "the phone is in no call"
            case PressKeys(keys=keys):
                for key in keys:
                    if self.ear is not None:
                        self.ear.press(key)
            case HangUp() if leg is not None:
                leg.hung_up()
        return None


class Switchboard:
    """All connected phones, one per number."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._lines: dict[str, Line] = {}
        self._serving: set[asyncio.Future[None]] = set()
        """Done when a connection has ended."""
        self._arrival = asyncio.Event()
        """Set, and replaced by a new one, when a phone connects."""

    async def connect(self, number: str, socket: WebSocket) -> None:
        """Serve an accepted connection as the phone `number`, until it ends."""
        line = Line(number, socket)
        older = self._lines.get(number)
        if older is not None:
            reason = "another phone took this number"
            await older.tell(Replaced(reason=reason))
            older.close(CLOSE_REPLACED, reason)
        await line.tell(Registered(number=number, speed=self._speed))
        self._lines[number] = line
        self._arrival.set()
        self._arrival = asyncio.Event()
        logger.info("phone %s connected", masked(number))
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._serving.add(ended)
        try:
            await line.run()
        finally:
            self._serving.discard(ended)
            ended.set_result(None)
            if self._lines.get(number) is line:
                del self._lines[number]
            logger.info("phone %s disconnected", masked(number))

    async def close(self) -> None:
        """Disconnect all phones; who is in a call hangs up."""
        for line in self._lines.values():
            line.close(CLOSE_RESTART, "the exchange stops")
        if self._serving:
            await asyncio.wait(self._serving, timeout=TAKE_WITHIN)

    async def dial(
        self, number: str, call_sid: str, caller: str, patience: float, hung_up: Callable[[], None]
    ) -> Line | Literal["busy", "failed", "no-answer"]:
        """Ring the phone, now or when it connects, for `patience` real seconds.

        Returns the line if it is answered; `hung_up` is then called if the person ends the call. If this is cancelled,
        the phone stops ringing.
        """
        rung: Line | None = None
        try:
            async with asyncio.timeout(patience):
                while True:
                    line = await self._phone(number)
                    if not line.is_free:
                        return "busy"
                    rung = line
                    match await line.ring(call_sid, caller, hung_up):
                        case "answer":
                            return line
                        case "busy" | "failed" as refusal:
                            await line.tell(RingingStopped(call_sid=call_sid, status=refusal))
                            return refusal
        except TimeoutError:
            if rung is not None:
                await rung.tell(RingingStopped(call_sid=call_sid, status="no-answer"))
            return "no-answer"
        except asyncio.CancelledError:
            if rung is not None:
                await rung.tell(RingingStopped(call_sid=call_sid, status="canceled"))
            raise

    async def _phone(self, number: str) -> Line:
        while number not in self._lines:
            await self._arrival.wait()
        return self._lines[number]
