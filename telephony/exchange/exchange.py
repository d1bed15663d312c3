"""The exchange: it places calls, rings phones, follows the application's instructions, and reports."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from telephony.exchange.callbacks import Callbacks
from telephony.exchange.calls import Call, CallStatus, Instructions, masked
from telephony.exchange.clock import Clock
from telephony.exchange.detection import MachineDetection, detect
from telephony.exchange.errors import EXCHANGE_FAILURE, ApiError, CallError
from telephony.exchange.execution import Execution, Services
from telephony.exchange.interruption import HungUp, Interrupted, Interruption, Redirected, Stopped
from telephony.exchange.phones import Line, Switchboard
from telephony.exchange.protocol import Answered, Ended, Said
from telephony.exchange.recordings import Recording, Recordings
from telephony.exchange.sounds import Sounds
from telephony.exchange.store import Store
from telephony.exchange.webhooks import Document, WebhookClient

logger = logging.getLogger(__name__)

QUEUE_SECONDS = 0.3
"""From the request to dialling, and from there to the first ring, in simulated seconds."""
DIAL_SECONDS = 1.0
MAX_CALLS = 100
"""That are not over yet."""
APOLOGY = "We are sorry, an application error has occurred. Goodbye."
APOLOGY_SECONDS = 4.0
FAREWELL_SECONDS = 3.0
"""Real seconds that a stopping exchange takes to deliver what it has to tell."""
UPDATE_WITHIN = 2.0
"""Real seconds that an update through the API waits for its effect."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    account_sid: str
    auth_token: str
    data: Path
    """Where calls and recordings are kept."""
    base_url: str
    """Under which the exchange is reached."""
    recording_delay: float = 1.5
    """Simulated seconds between a recording and its file."""
    speed: float = 1.0
    """Simulated seconds per second."""


@dataclass(frozen=True, slots=True)
class _Live:
    """A call that is not over."""

    interruption: Interruption
    task: asyncio.Task[None]


class Exchange:
    """Works inside its `async with` block."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock(settings.speed)
        self.switchboard = Switchboard(settings.speed)
        self.calls = Store(settings.data / "calls", Call)
        self.recordings = Recordings(settings.data / "recordings")
        self._webhooks = WebhookClient(settings.auth_token)
        self._callbacks = Callbacks(self._webhooks)
        self._live: dict[str, _Live] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._services = Services(
            clock=self.clock,
            webhooks=self._webhooks,
            sounds=Sounds(self._webhooks),
            recordings=self.recordings,
            base_url=settings.base_url,
            in_background=self._in_background,
            recording_changed=self._recording_changed,
            publish=self._publish,
        )

    async def __aenter__(self) -> Exchange:
        self._finish_what_was_cut_off()
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [live.task for live in self._live.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._callbacks.close(FAREWELL_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._webhooks.__aexit__()

    # ── what the API asks for ────────────────────────────────────────────────

    def place(self, instructions: Instructions) -> Call:
        """Raises:
        ApiError: 20429 if too many calls are under way.
        """
        if len(self._live) >= MAX_CALLS:
            raise ApiError(429, 20429, f"Too many requests: {MAX_CALLS} calls are under way")
        call = Call.create(self.settings.account_sid, instructions)
        self.calls.save(call)
        logger.info("call %s to %s", call.sid, masked(instructions.to))
        interruption = Interruption()
        self._live[call.sid] = _Live(interruption, asyncio.create_task(self._live_through(call, interruption)))
        return call

    async def stop(self, call: Call) -> None:
        """End a call: one that was answered is completed, any other is canceled."""
        live = self._live.get(call.sid)
        if live is not None:
            live.interruption.interrupt(Stopped())
            await asyncio.wait([live.task], timeout=UPDATE_WITHIN)

    def redirect(self, call: Call, document: Document) -> None:
        """Raises:
        ApiError: 21220 if the call is not in progress.
        """
        live = self._live.get(call.sid)
        if live is None or call.status is not CallStatus.IN_PROGRESS:
            raise ApiError(400, 21220, "Call is not in-progress. Cannot redirect.")
        live.interruption.interrupt(Redirected(document))

    # ── the life of a call ───────────────────────────────────────────────────

    async def _live_through(self, call: Call, interruption: Interruption) -> None:
        try:
            line = await self._reach(call, interruption)
            if line is not None:
                await self._talk(call, line, interruption)
        except Exception:
            logger.exception("call %s broke off", call.sid)
            if not call.status.is_final:
                self._move(call, CallStatus.COMPLETED if call.answered else CallStatus.FAILED)
        finally:
            del self._live[call.sid]

    async def _reach(self, call: Call, interruption: Interruption) -> Line | None:
        try:
            reached = await interruption.guard(self._dial(call, interruption))
        except Interrupted:
            self._move(call, CallStatus.CANCELED)
            return None
        if isinstance(reached, Line):
            return reached
        self._move(call, reached)
        return None

    async def _dial(self, call: Call, interruption: Interruption) -> Line | CallStatus:
        await self.clock.sleep(QUEUE_SECONDS)
        self._move(call, CallStatus.INITIATED)
        await self.clock.sleep(DIAL_SECONDS)
        self._move(call, CallStatus.RINGING)
        reached = await self.switchboard.dial(
            call.instructions.to,
            call.sid,
            call.instructions.caller,
            self.clock.patience(call.instructions.timeout),
            lambda: interruption.interrupt(HungUp()),
        )
        return reached if isinstance(reached, Line) else CallStatus(reached)

    async def _talk(self, call: Call, line: Line, interruption: Interruption) -> None:
        answered = time.monotonic()
        self._move(call, CallStatus.IN_PROGRESS)
        await line.tell(Answered(call_sid=call.sid))
        time_limit = asyncio.get_running_loop().call_later(
            call.instructions.time_limit / self.settings.speed, interruption.interrupt, Stopped()
        )
        execution = Execution(call, line, interruption, self._services)
        asked = call.instructions
        document = Document(asked.url, asked.method, twiml=asked.twiml)
        detecting: asyncio.Task[None] | None = None
        problem: CallError | None = None
        try:
            if asked.machine_detection is not None:
                detecting = self._in_background(self._detect_machine(call, asked.machine_detection, line))
                if not asked.async_amd:
                    document = await self._held_back(document, detecting, interruption)
            await execution.run(document)
        except Interrupted:
            pass
        except CallError as error:
            problem = error
            where = urlsplit(error.url)._replace(query="", fragment="").geturl()  # a query may hold a phone number
            logger.error("call %s: error %d at %s: %s", call.sid, error.code, where or "its TwiML", error.message)
            await self._apologize(line, interruption)
        except Exception:
            problem = CallError(EXCHANGE_FAILURE, "the exchange failed; its log says why")
            logger.exception("call %s broke off", call.sid)
        finally:
            time_limit.cancel()
            if detecting is not None:
                detecting.cancel()
        seconds = self.clock.since(answered)
        self._move(call, CallStatus.COMPLETED, seconds=seconds, error=problem)
        await line.end(
            Ended(
                call_sid=call.sid,
                status=call.status.value,
                seconds=round(seconds, 2),
                error_code=problem.code if problem else None,
                error_message=problem.message if problem else None,
            )
        )
        if execution.farewell is not None:
            self._in_background(self._bid_farewell(call, execution.farewell))

    async def _held_back(
        self, document: Document, detecting: asyncio.Task[None], interruption: Interruption
    ) -> Document:
        """What to carry out when it is known who answered; instructions that come by the API do not wait for that."""
        try:
            await interruption.wait(detecting)
        except Redirected as redirection:
            interruption.clear()
            return redirection.document
        return document

    async def _detect_machine(self, call: Call, mode: MachineDetection, line: Line) -> None:
        found, seconds = detect(line.picked_up_by, mode)
        await self.clock.sleep(seconds)
        call.answered_by = found
        self.calls.save(call)
        logger.info("call %s was answered by %s", call.sid, found)
        asked = call.instructions
        if asked.async_amd and asked.async_amd_callback:
            parameters = {
                "AccountSid": call.account_sid,
                "CallSid": call.sid,
                "AnsweredBy": found,
                "MachineDetectionDuration": str(round(1000 * seconds)),
            }
            self._callbacks.post(call.sid, asked.async_amd_callback, asked.async_amd_callback_method, parameters)

    async def _bid_farewell(self, call: Call, document: Document) -> None:
        parameters = call.webhook_parameters() | dict(document.parameters)
        try:
            await self._webhooks.send(document.method, document.url, parameters)
        except CallError as error:
            logger.warning("call %s: its last request is lost: %d %s", call.sid, error.code, error.message)

    async def _apologize(self, line: Line, interruption: Interruption) -> None:
        await line.tell(Said(text=APOLOGY, seconds=APOLOGY_SECONDS))
        with suppress(Interrupted):
            await interruption.guard(self.clock.sleep(APOLOGY_SECONDS))

    def _move(self, call: Call, status: CallStatus, *, seconds: float = 0, error: CallError | None = None) -> None:
        call.move_to(status, seconds=seconds, error=error)
        logger.info("call %s is %s", call.sid, status)
        parameters = call.status_callback_parameters()
        self.calls.save(call)
        if parameters is not None:
            asked = call.instructions
            self._callbacks.post(call.sid, asked.status_callback, asked.status_callback_method, parameters)

    # ── recordings ───────────────────────────────────────────────────────────

    def _recording_changed(self, recording: Recording) -> None:
        logger.info("recording %s is %s", recording.sid, recording.status)
        parameters = recording.status_callback_parameters(self.settings.base_url)
        callback = recording.status_callback
        if parameters is not None and callback is not None:
            self._callbacks.post(recording.call_sid, callback.url, callback.method, parameters)

    async def _publish(self, recording: Recording) -> None:
        await self.clock.sleep(self.settings.recording_delay)
        if recording.status == "processing":
            self.recordings.make_available(recording)
            self._recording_changed(recording)

    def _finish_what_was_cut_off(self) -> None:
        """When the exchange stopped, calls were under way and recordings unfinished: say how they ended."""
        for call in self.calls:
            if not call.status.is_final:
                self._move(call, CallStatus.COMPLETED if call.answered else CallStatus.FAILED)
        for recording in self.recordings.list():
            if recording.status == "in-progress":
                self.recordings.lose(recording)
                self._recording_changed(recording)
            elif recording.status == "processing":
                self._in_background(self._publish(recording))

    # ── work beside the calls ────────────────────────────────────────────────

    def _in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._background_done)
        return task

    def _background_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, CallError):  # those are for the call that waits for the task
            logger.error("work in the background failed", exc_info=error)
