"""Twilio as the carrier of calls, by its official SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from twilio.base.exceptions import TwilioException
from twilio.rest import Client

from audio.wav import BadAudio, read_wav
from studio.mistakes import FailureCode
from studio.ports import (
    CallOrder,
    CallRefused,
    CarrierError,
    CarrierRecording,
    CarrierUnavailable,
    RecordingNotThere,
    RecordingUnusable,
)
from studio.states import CallStatus
from telephony.refusals import call_refusal, details
from telephony.rest import NoAnswer, NotSent, RestClient, TooLarge
from telephony.settings import TelephonySettings
from telephony.urls import CallUrls

MAX_RECORDING_BYTES = 50_000_000
"""Far above what is recorded here: 120 seconds are 2 MB."""
_MAX_RECORDINGS = 20
_WAV_TYPES = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
_INVALID_CALL_STATE = 21220
_STATUSES: Mapping[str, CallStatus] = {
    "queued": CallStatus.QUEUED,
    "initiated": CallStatus.INITIATED,
    "ringing": CallStatus.RINGING,
    "in-progress": CallStatus.IN_PROGRESS,
    "completed": CallStatus.COMPLETED,
    "busy": CallStatus.BUSY,
    "no-answer": CallStatus.NO_ANSWER,
    "failed": CallStatus.FAILED,
    "canceled": CallStatus.CANCELED,
}
_log = structlog.get_logger()


def call_status_of(text: str) -> CallStatus:
    """Twilio's name of a call's status.

    Raises:
        ValueError: it has none of this name.
    """
    try:
        return _STATUSES[text]
    except KeyError:
        raise ValueError(f"no status of a call: {text[:40]!r}") from None


class TwilioCarrier:
    """Fulfils `studio.ports.Carrier`. Close it with `aclose`, or use it as an async context manager.

    Each request takes at most `seconds`; none is ever repeated here.
    """

    def __init__(self, settings: TelephonySettings, *, seconds: float = 15.0) -> None:
        self._settings = settings
        self._rest = RestClient(settings.twilio_api_url, seconds)
        token = settings.twilio_auth_token
        # The SDK would fill in what is missing from the environment: it gets words in place of nothing.
        self._auth = (settings.twilio_account_sid or "none", token.get_secret_value() if token else "none")
        self._client = Client(*self._auth, http_client=self._rest)

    async def aclose(self) -> None:
        await self._rest.aclose()

    async def __aenter__(self) -> TwilioCarrier:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def health(self) -> str | None:
        return self._settings.problem()

    async def place_call(self, order: CallOrder) -> str:
        """
        Raises:
            CallRefused: it was not placed, for certain.
            CarrierUnavailable: it may have been placed.
        """
        problem = self._settings.problem()
        if problem is not None:
            raise CallRefused(problem, FailureCode.CARRIER_ACCOUNT)
        urls = CallUrls(self._settings.public_base_url, order.call_id)
        detection = _machine_detection(urls) if self._settings.twilio_machine_detection else {}
        await order.permit()
        try:
            call = await self._client.calls.create_async(
                to=order.phone,
                from_=self._settings.twilio_caller_id or "",
                url=urls.answer,
                method="POST",
                fallback_url=urls.fallback,
                fallback_method="POST",
                status_callback=urls.status,
                status_callback_method="POST",
                status_callback_event=["initiated", "ringing", "answered", "completed"],
                timeout=order.ring_seconds,
                time_limit=order.time_limit,
                record=False,
                **detection,
            )
        except NotSent as error:
            raise CallRefused(
                "Twilio cannot be reached, so no call was placed. Try again in a minute.",
                FailureCode.CARRIER_UNAVAILABLE,
                retryable=True,
            ) from error
        except (NoAnswer, TooLarge, ValueError) as error:
            raise CarrierUnavailable("Twilio gave no clear answer to our request to place the call.") from error
        except TwilioException as error:
            status, code, _ = details(error)
            _log.warning("carrier.call_refused", call_id=order.call_id, http_status=status, twilio_code=code)
            raise call_refusal(error) from error
        if not call.sid:
            raise CarrierUnavailable("Twilio accepted the call but gave no id for it.")
        return str(call.sid)

    async def call_status(self, sid: str) -> CallStatus:
        """
        Raises:
            CarrierError: Twilio does not know the call.
            CarrierUnavailable
        """
        async with _plainly(f"the call {sid}"):
            call = await self._client.calls(sid).fetch_async()
            return call_status_of(str(call.status))

    async def hang_up(self, sid: str) -> None:
        """A ringing call is cancelled. If it was answered at that very moment it is still there, and is completed."""
        try:
            status = await self.call_status(sid)
            if not status.over and status is not CallStatus.IN_PROGRESS:
                status = await self._end(sid, "canceled")
            if not status.over:
                await self._end(sid, "completed")
        except _NoSuchThing:
            return

    async def recordings_of(self, sid: str) -> Sequence[CarrierRecording]:
        """Those that are there or are being made, oldest first."""
        async with _plainly(f"the recordings of {sid}"):
            found = await self._client.recordings.list_async(call_sid=sid, limit=_MAX_RECORDINGS)
            living = [each for each in found if each.sid and str(each.status) not in ("absent", "deleted", "failed")]
            living.sort(key=lambda each: each.date_created or datetime.min.replace(tzinfo=UTC))
            return [
                # Twilio writes the duration as text, and -1 while it is not known.
                CarrierRecording(str(each.sid), max(0.0, float(each.duration or 0)), str(each.status) == "completed")
                for each in living
            ]

    async def fetch_recording(self, sid: str) -> bytes:
        """
        Raises:
            RecordingNotThere: not yet, or not any more.
            RecordingUnusable: not a whole WAV file with sound in it, or of more than `MAX_RECORDING_BYTES`.
            CarrierUnavailable
        """
        # Never the RecordingUrl of a webhook: this request carries the account's password.
        url = self._client.get_hostname(
            self._client.api.v2010.absolute_url(f"Accounts/{self._auth[0]}/Recordings/{sid}.wav")
        )
        try:
            response, data = await self._rest.download(url, self._auth, MAX_RECORDING_BYTES)
        except (NotSent, NoAnswer) as error:
            raise CarrierUnavailable(f"The recording could not be fetched from Twilio ({error}).") from error
        except TooLarge as error:
            raise RecordingUnusable(f"The recording is larger than {MAX_RECORDING_BYTES // 1_000_000} MB.") from error
        if response.status_code in (404, 410):
            raise RecordingNotThere("Twilio does not have the recording, or does not have it yet.")
        if response.status_code != 200:
            raise CarrierUnavailable(f"Twilio answered {response.status_code} when asked for the recording.")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _WAV_TYPES:
            raise RecordingUnusable(f"Twilio sent {kind or 'something without a type'} in place of a WAV recording.")
        try:
            await asyncio.to_thread(read_wav, data)
        except BadAudio as error:
            raise RecordingUnusable(f"The recording that Twilio sent cannot be used: {error}.") from error
        return data

    async def delete_recording(self, sid: str) -> None:
        try:
            async with _plainly(f"the recording {sid}"):
                await self._client.recordings(sid).delete_async()
        except _NoSuchThing:
            return

    async def _end(self, sid: str, status: str) -> CallStatus:
        try:
            async with _plainly(f"the call {sid}"):
                call = await self._client.calls(sid).update_async(status=status)
                return call_status_of(str(call.status))
        except _WrongState:
            # Over, or answered just now: only the first is the end of it.
            return await self.call_status(sid)


def _machine_detection(urls: CallUrls) -> Mapping[str, str]:
    """While the script is already being said: nobody is kept waiting for it."""
    return {
        "machine_detection": "Enable",
        "async_amd": "true",
        "async_amd_status_callback": urls.answered_by,
        "async_amd_status_callback_method": "POST",
    }


class _NoSuchThing(CarrierError):
    """Twilio does not know it (any more)."""


class _WrongState(CarrierError):
    """The call is not in a state for this."""


@asynccontextmanager
async def _plainly(subject: str) -> AsyncIterator[None]:
    """Whatever goes wrong between here and Twilio, as the port's errors."""
    try:
        yield
    except NotSent as error:
        raise CarrierUnavailable("Twilio cannot be reached.") from error
    except (NoAnswer, TooLarge, ValueError) as error:
        raise CarrierUnavailable(f"Twilio gave no clear answer about {subject}.") from error
    except TwilioException as error:
        status, code, _ = details(error)
        if status == 404:
            raise _NoSuchThing(f"Twilio does not know {subject}.") from error
        if code == _INVALID_CALL_STATE:
            raise _WrongState(f"Twilio cannot do this with {subject} now.") from error
        raise CarrierUnavailable(f"Twilio answered with error {code} about {subject}.") from error
