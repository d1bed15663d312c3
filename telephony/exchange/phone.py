"""A telephone: the client's side of the phone protocol."""

from __future__ import annotations

import asyncio
from types import TracebackType
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from audio.g711 import encode_mulaw
from audio.pcm import Pcm
from audio.resample import resample
from telephony.exchange.microphone import Microphone
from telephony.exchange.protocol import (
    SAMPLE_RATE,
    Answer,
    Decline,
    Ended,
    FromExchange,
    FromPhone,
    HangUp,
    PickedUpBy,
    PressKeys,
    Recorded,
    Recording,
    Registered,
    Replaced,
    decode_from_exchange,
)

RETRY_EVERY = 0.2
"""Real seconds between attempts to reach an exchange that does not answer yet."""
REPLY_WITHIN = 5.0
"""Real seconds within which an exchange accepts a phone, or a message from it."""


class PhoneError(Exception):
    """The phone cannot go on; the message says why in words for its user."""


class Phone:
    """One phone, connected as long as its `async with` block runs.

    Iterating gives what the exchange tells it, and `bytes` for sound heard (μ-law at 8000 Hz). While a recording runs,
    the phone sends sound by itself: what `speak` gives it, and silence otherwise; this needs the iteration to go on.

        async with Phone("http://127.0.0.1:8001", "+14155550123") as phone:
            async for message in phone:
                match message:
                    case Ringing():
                        await phone.answer()
                    case AwaitingKeys():
                        await phone.press("1")
    """

    def __init__(self, url: str, number: str, *, connect_within: float = 10.0) -> None:
        """`url` is the exchange's (`http://host:port`), `number` the phone's in E.164 form. An exchange that does not
        answer yet is tried again for `connect_within` seconds."""
        self.url = url
        self.number = number
        self.speed = 1.0
        """Simulated seconds per second, as the exchange told it."""
        self._connect_within = connect_within
        self._socket: ClientConnection | None = None
        self._microphone: Microphone | None = None

    async def __aenter__(self) -> Phone:
        """Raises:
        PhoneError: if no exchange can be reached, or it refuses the number.
        """
        self._socket = await self._connect()
        try:
            async with asyncio.timeout(REPLY_WITHIN):
                first = await self._receive()
        except TimeoutError:
            await self._socket.close()
            raise PhoneError(f"what answers at {self.url} does not speak the phone protocol") from None
        if not isinstance(first, Registered):
            await self._socket.close()
            raise PhoneError(f"the exchange at {self.url} did not accept the phone")
        self.speed = first.speed
        self._microphone = Microphone(self._socket.send, first.speed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._mouth.close()
        await self._line.close()

    def __aiter__(self) -> Phone:
        return self

    async def __anext__(self) -> FromExchange | bytes:
        """Raises:
        PhoneError: if the exchange went away, or another phone took the number.
        """
        message = await self._receive()
        match message:
            case Recording():
                self._mouth.open()
            case Recorded() | Ended():
                await self._mouth.close()
            case Replaced():
                raise PhoneError(f"another phone took the number {self.number}")
        return message

    async def answer(self, by: PickedUpBy = "human") -> None:
        await self._tell(Answer(by=by))

    async def decline(self, *, broken: bool = False) -> None:
        """Refuse the ringing call: the caller finds the line busy, or with `broken` that the call failed."""
        await self._tell(Decline(reason="failed" if broken else "busy"))

    async def press(self, keys: str) -> None:
        """Press one or more of `0-9*#`.

        Raises:
            PhoneError: for any other key.
        """
        try:
            message = PressKeys(keys=keys)
        except ValueError:
            raise PhoneError(f"a phone has the keys 0-9, * and #, not {keys!r}") from None
        await self._tell(message)

    async def speak(self, sound: bytes) -> bool:
        """Say something into the running recording, and wait until it is said: false if the recording ended before, or
        none runs. `line_sound` makes the sound; make it beforehand, since a recording hears silence meanwhile."""
        return await self._mouth.speak(sound)

    async def hang_up(self) -> None:
        await self._tell(HangUp())

    @property
    def _line(self) -> ClientConnection:
        if self._socket is None:
            raise RuntimeError("a phone works inside its `async with` block")
        return self._socket

    @property
    def _mouth(self) -> Microphone:
        if self._microphone is None:
            raise RuntimeError("a phone works inside its `async with` block")
        return self._microphone

    async def _connect(self) -> ClientConnection:
        parts = urlsplit(self.url)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
        if scheme is None or not parts.netloc:
            raise PhoneError(f"{self.url!r} is no address of an exchange: it should look like http://127.0.0.1:8001")
        address = urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/phones/{quote(self.number)}", "", ""))
        deadline = asyncio.get_running_loop().time() + self._connect_within
        while True:
            try:
                return await connect(address, open_timeout=REPLY_WITHIN, close_timeout=REPLY_WITHIN, proxy=None)
            except InvalidStatus as error:
                if error.response.status_code == 403:
                    raise PhoneError(
                        f"the exchange refuses the number {self.number!r}: write it as +14155550123"
                    ) from None
                raise PhoneError(f"what answers at {self.url} is no exchange") from None
            except InvalidHandshake:
                raise PhoneError(f"what answers at {self.url} is no exchange") from None
            except (OSError, TimeoutError):
                if asyncio.get_running_loop().time() > deadline:
                    raise PhoneError(f"no exchange answers at {self.url}: is the service running?") from None
                await asyncio.sleep(RETRY_EVERY)

    async def _receive(self) -> FromExchange | bytes:
        try:
            frame = await self._line.recv()
        except ConnectionClosed:
            raise PhoneError(f"the exchange at {self.url} went away") from None
        if isinstance(frame, bytes):
            return frame
        try:
            return decode_from_exchange(frame)
        except ValueError:
            raise PhoneError(f"what answers at {self.url} does not speak the phone protocol") from None

    async def _tell(self, message: FromPhone) -> None:
        try:
            async with asyncio.timeout(REPLY_WITHIN):
                await self._line.send(message.encode())
        except (ConnectionClosed, TimeoutError):
            raise PhoneError(f"the exchange at {self.url} went away") from None


def line_sound(speech: Pcm) -> bytes:
    """As a telephone line carries it: μ-law at 8000 Hz."""
    return encode_mulaw(resample(speech, SAMPLE_RATE))
