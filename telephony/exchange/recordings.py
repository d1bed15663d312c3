"""Recordings: stored as WAV, available a while after they are made, and gone when they are deleted."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from audio.g711 import decode_mulaw
from audio.wav import write_wav
from telephony.exchange.calls import API_VERSION, Call, new_sid, rfc2822, utc_now
from telephony.exchange.store import Store, Stored
from telephony.exchange.webhooks import Method

RecordingStatus = Literal["in-progress", "processing", "completed", "absent", "deleted"]


class StatusCallback(BaseModel):
    url: str
    method: Method
    events: frozenset[str]


class Recording(Stored):
    account_sid: str
    call_sid: str
    updated: datetime
    status: RecordingStatus = "in-progress"
    seconds: int = 0
    """Of the sound that is kept, in whole seconds as Twilio counts them."""
    error_code: int | None = None
    status_callback: StatusCallback | None = None

    @property
    def uri(self) -> str:
        return f"/{API_VERSION}/Accounts/{self.account_sid}/Recordings/{self.sid}"

    def resource(self, base_url: str) -> dict[str, object]:
        """As the REST API shows it; `base_url` is the exchange's own."""
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "call_sid": self.call_sid,
            "conference_sid": None,
            "status": self.status,
            "channels": 1,
            "source": "RecordVerb",
            "duration": str(self.seconds) if self.status in ("completed", "deleted") else None,
            "error_code": self.error_code,
            "start_time": rfc2822(self.created),
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(self.updated),
            "api_version": API_VERSION,
            "price": None,
            "price_unit": "USD",
            "encryption_details": None,
            "uri": f"{self.uri}.json",
            "media_url": f"{base_url}{self.uri}",
            "subresource_uris": {},
        }

    def status_callback_parameters(self, base_url: str) -> dict[str, str] | None:
        """Those of the status callback for the present state, or None if the application did not ask for one."""
        if self.status_callback is None or self.status not in self.status_callback.events:
            return None
        parameters = {
            "AccountSid": self.account_sid,
            "CallSid": self.call_sid,
            "RecordingSid": self.sid,
            "RecordingUrl": f"{base_url}{self.uri}",
            "RecordingStatus": self.status,
            "RecordingChannels": "1",
            "RecordingStartTime": rfc2822(self.created) or "",
            "RecordingSource": "RecordVerb",
            "RecordingTrack": "inbound",
        }
        if self.status != "in-progress":
            parameters["RecordingDuration"] = str(self.seconds)
        if self.error_code is not None:
            parameters["RecordingErrorCode"] = str(self.error_code)
        return parameters


class Recordings:
    """All recordings of the exchange, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder, Recording)

    def begin(self, call: Call, status_callback: StatusCallback | None) -> Recording:
        now = utc_now()
        recording = Recording(
            sid=new_sid("RE"),
            account_sid=call.account_sid,
            call_sid=call.sid,
            created=now,
            updated=now,
            status_callback=status_callback,
        )
        self._save(recording)
        return recording

    async def keep(self, recording: Recording, sound: bytes) -> None:
        """Store μ-law `sound`; it stays hidden until `make_available`."""
        pcm = decode_mulaw(sound)
        # A recording of less than a second lasts one: for Twilio 0 means that there is none.
        recording.seconds = max(1, round(pcm.seconds))
        await asyncio.to_thread(lambda: self.media(recording).write_bytes(write_wav(pcm)))
        self._change(recording, "processing")

    def make_available(self, recording: Recording) -> None:
        self._change(recording, "completed")

    def lose(self, recording: Recording) -> None:
        """Nothing was recorded."""
        self._change(recording, "absent")

    def delete(self, recording: Recording) -> None:
        """The sound goes at once; that it was there is remembered."""
        self.media(recording).unlink(missing_ok=True)
        self._change(recording, "deleted")

    def get(self, sid: str) -> Recording | None:
        return self._store.get(sid)

    def list(self, call_sid: str | None = None) -> list[Recording]:
        """Newest first."""
        return [recording for recording in self._store if call_sid in (None, recording.call_sid)]

    def media(self, recording: Recording) -> Path:
        """The file of a recording that is `completed`."""
        return self._store.folder / f"{recording.sid}.wav"

    def _change(self, recording: Recording, status: RecordingStatus) -> None:
        recording.status, recording.updated = status, utc_now()
        self._save(recording)

    def _save(self, recording: Recording) -> None:
        for gone in self._store.save(recording):
            self.media(gone).unlink(missing_ok=True)
