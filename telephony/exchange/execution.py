"""Carrying out TwiML: document after document, verb after verb, as long as the call lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import urljoin

from telephony.exchange import protocol
from telephony.exchange.calls import Call
from telephony.exchange.clock import Clock
from telephony.exchange.errors import DOCUMENT_PARSE_FAILURE, INVALID_CONTENT_TYPE, CallError
from telephony.exchange.interruption import Interrupted, Interruption, Redirected
from telephony.exchange.keypad import Keypad
from telephony.exchange.phones import Line
from telephony.exchange.protocol import SAMPLE_RATE
from telephony.exchange.recorder import Recorder
from telephony.exchange.recordings import Recording, Recordings, StatusCallback
from telephony.exchange.sounds import Sounds
from telephony.exchange.twiml import (
    Gather,
    Hangup,
    Pause,
    Play,
    Prompt,
    Record,
    Redirect,
    Reject,
    Say,
    Verb,
    parse,
)
from telephony.exchange.webhooks import Document, WebhookClient

CHARACTERS_PER_SECOND = 15
"""Of speech."""
BEEP_SECONDS = 0.5
PIECE_SECONDS = 0.2
"""Of a played sound, sent together."""
STALL_SECONDS = 2.0
"""Real seconds beyond the silence that ends a recording, in which a phone that sends no sound at all may still
begin."""
TWIML_TYPES = {"text/xml", "application/xml", "text/html", "application/twiml+xml"}


T = TypeVar("T")


class Background(Protocol):
    """Starts work that goes on when the call is over."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What a call uses of the exchange."""

    clock: Clock
    webhooks: WebhookClient
    sounds: Sounds
    recordings: Recordings
    base_url: str
    """The exchange's own."""
    in_background: Background
    recording_changed: Callable[[Recording], None]
    """Tells the application, if it wants to know."""
    publish: Callable[[Recording], Coroutine[Any, Any, None]]
    """Makes a recording available, after the delay that recordings have."""


class _CallOver(Exception):
    """A verb ended the call."""


class Execution:
    """The instructions of one answered call."""

    def __init__(self, call: Call, line: Line, interruption: Interruption, services: Services) -> None:
        self.farewell: Document | None = None
        """What is still sent to the application when the call is over; its answer does not matter."""
        self._call = call
        self._line = line
        self._interruption = interruption
        self._services = services
        self._document = Document()
        """The one that is carried out."""

    async def run(self, document: Document) -> None:
        """Return when the instructions are at their end.

        Raises:
            CallError: what the application sent cannot be carried out, and neither can what its fallback URL sent.
            Interrupted: the call ended from outside.
        """
        is_fallback = False
        following: Document | None = document
        while following is not None:
            try:
                following = await self._follow(following)
                is_fallback = False
            except Redirected as redirection:
                self._interruption.clear()
                following, is_fallback = redirection.document, False
            except _CallOver:
                return
            except CallError as error:
                instructions = self._call.instructions
                if not instructions.fallback_url or is_fallback:
                    raise
                parameters = {"ErrorCode": str(error.code), "ErrorUrl": error.url}
                following = Document(instructions.fallback_url, instructions.fallback_method, parameters)
                is_fallback = True

    async def _follow(self, document: Document) -> Document | None:
        """Carry out a document; return the next one, if it names one."""
        self._document = document
        try:
            for verb in parse(await self._fetch(document)):
                following = await self._perform(verb)
                if following is not None:
                    return following
        except CallError as error:
            error.url = error.url or document.url
            raise
        return None

    async def _fetch(self, document: Document) -> str:
        if document.twiml is not None:
            return document.twiml
        parameters = self._call.webhook_parameters() | dict(document.parameters)
        # In the background, because a request that is on its way arrives even if the person hangs up.
        sending = self._services.in_background(self._services.webhooks.send(document.method, document.url, parameters))
        response = await self._interruption.wait(sending)
        if response.content_type not in TWIML_TYPES:
            kind = response.content_type or "nothing"
            raise CallError(INVALID_CONTENT_TYPE, f"the application should send text/xml; it sent {kind}")
        try:
            return response.body.decode()
        except UnicodeDecodeError as error:
            raise CallError(DOCUMENT_PARSE_FAILURE, "the TwiML document is not UTF-8 text") from error

    async def _perform(self, verb: Verb) -> Document | None:
        match verb:
            case Say() | Play() | Pause():
                await self._interruption.guard(self._prompt(verb))
            case Gather():
                return await self._gather(verb)
            case Record():
                return await self._record(verb)
            case Redirect():
                return Document(self._resolve(verb.url), verb.method)
            case Hangup() | Reject():
                raise _CallOver
        return None

    # ── prompts ──────────────────────────────────────────────────────────────

    async def _prompt(self, prompt: Prompt) -> None:
        match prompt:
            case Pause():
                await self._services.clock.sleep(prompt.length)
            case Say() if prompt.text:
                seconds = len(prompt.text) / CHARACTERS_PER_SECOND
                for _ in _turns(prompt.loop):
                    await self._line.tell(protocol.Said(text=prompt.text, seconds=round(seconds, 2)))
                    await self._services.clock.sleep(seconds)
            case Play():
                sound = await self._services.sounds.fetch(self._resolve(prompt.url))
                for _ in _turns(prompt.loop):
                    await self._play(prompt.url, sound)

    async def _prompts(self, prompts: Sequence[Prompt]) -> None:
        for prompt in prompts:
            await self._prompt(prompt)

    async def _play(self, url: str, sound: bytes) -> None:
        await self._line.tell(protocol.Played(url=url, seconds=round(len(sound) / SAMPLE_RATE, 2)))
        clock, started = self._services.clock, time.monotonic()
        piece = round(PIECE_SECONDS * SAMPLE_RATE)
        for place in range(0, len(sound), piece):
            await self._line.tell(sound[place : place + piece])
            # Measured from the start, so that late wake-ups do not add up.
            await clock.sleep(min(place + piece, len(sound)) / SAMPLE_RATE - clock.since(started))

    # ── keys ─────────────────────────────────────────────────────────────────

    async def _gather(self, gather: Gather) -> Document | None:
        keypad = Keypad(gather.num_digits, gather.finish_on_key)
        self._line.ear = keypad
        try:
            await self._line.tell(
                protocol.Gathering(
                    num_digits=gather.num_digits, finish_on_key=gather.finish_on_key, timeout=gather.timeout
                )
            )
            await self._interruption.guard(keypad.unless_pressed(self._prompts(gather.prompts)))
            if not keypad.complete:
                await self._line.tell(protocol.AwaitingKeys())
                patience = self._services.clock.patience(gather.timeout)
                await self._interruption.guard(keypad.gather(patience))
        finally:
            self._line.ear = None
        await self._line.tell(protocol.Gathered(digits=keypad.digits))
        if not keypad.digits and not gather.action_on_empty_result:
            return None
        return Document(
            self._resolve(gather.action),
            gather.method,
            {"Digits": keypad.digits, "FinishedOnKey": keypad.finished_on, "msg": "Gather End"},
        )

    # ── recording ────────────────────────────────────────────────────────────

    async def _record(self, record: Record) -> Document | None:
        services = self._services
        if record.play_beep:
            await self._interruption.guard(services.clock.sleep(BEEP_SECONDS))
        action = self._resolve(record.action)
        recording = services.recordings.begin(self._call, self._status_callback(record))
        services.recording_changed(recording)
        recorder = Recorder(record.timeout, record.max_length, record.finish_on_key)
        interrupted = await self._listen(recorder, record)
        reason = await recorder.ended
        await self._line.tell(protocol.Recorded(reason=reason, seconds=round(recorder.seconds, 2)))

        if recorder.is_empty:
            services.recordings.lose(recording)
            services.recording_changed(recording)
            if interrupted is not None:
                raise interrupted
            return None

        await services.recordings.keep(recording, recorder.sound(trim=record.trim))
        services.in_background(services.publish(recording))
        parameters = {
            "RecordingSid": recording.sid,
            "RecordingUrl": f"{services.base_url}{recording.uri}",
            "RecordingDuration": str(recording.seconds),
        }
        if interrupted is not None:
            if not isinstance(interrupted, Redirected):
                self.farewell = Document(action, record.method, parameters | {"Digits": "hangup"})
            raise interrupted
        return Document(action, record.method, parameters | ({"Digits": recorder.key} if recorder.key else {}))

    async def _listen(self, recorder: Recorder, record: Record) -> Interrupted | None:
        """Until the recorder has ended; returns what interrupted it, if anything did."""
        self._line.ear = recorder
        try:
            await self._line.tell(
                protocol.Recording(
                    beep=record.play_beep,
                    finish_on_key=record.finish_on_key,
                    timeout=record.timeout,
                    max_length=record.max_length,
                )
            )
            await self._interruption.guard(self._hear_out(recorder, record.timeout))
        except Interrupted as interruption:
            recorder.end("redirected" if isinstance(interruption, Redirected) else "hang-up")
            return interruption
        finally:
            self._line.ear = None
        return None

    async def _hear_out(self, recorder: Recorder, timeout: float) -> None:
        """A phone that sends no sound, not even silence, is silent."""
        while not recorder.ended.done():
            before = recorder.seconds
            await asyncio.wait([recorder.ended], timeout=self._services.clock.patience(timeout) + STALL_SECONDS)
            if recorder.seconds == before:
                recorder.end("silence")

    def _status_callback(self, record: Record) -> StatusCallback | None:
        if not record.status_callback:
            return None
        return StatusCallback(
            url=self._resolve(record.status_callback),
            method=record.status_callback_method,
            events=record.status_callback_events,
        )

    def _resolve(self, url: str) -> str:
        """Absolute, from an address in the current document; that document's own if there is none."""
        return urljoin(self._document.url, url) if url else self._document.url


def _turns(loop: int) -> Sequence[int]:
    """So many times; 0 means without end."""
    return range(loop or 2**62)
