"""The addresses of one call: where Twilio's webhooks go, and where it fetches what it plays."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

PREFIX = "/telephony/calls"
RETRIES = "#rc=2&rt=5000&rp=ct,rt,5xx"
"""Asks Twilio to send a webhook twice more if nobody is reached, nothing is answered in 5 seconds, or the answer is a
5xx: without it only a connection that fails is tried again. Twilio allows 15 seconds for all attempts together. Source:
"Webhook connection overrides", https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides.
"""
_TAKE_SECONDS = 900  # no call lasts longer


@dataclass(frozen=True, slots=True)
class CallUrls:
    """Absolute, from the configured base: what a relative address is resolved against is not ours to say."""

    public_base_url: str
    call_id: str

    @property
    def answer(self) -> str:
        return self.webhook("answer")

    @property
    def fallback(self) -> str:
        return self.webhook("fallback")

    @property
    def status(self) -> str:
        return self.webhook("status")

    @property
    def answered_by(self) -> str:
        return self.webhook("answered-by")

    @property
    def recording(self) -> str:
        return self.webhook("recording")

    def webhook(self, place: str, **query: int | str) -> str:
        return self.to(place, **query) + RETRIES

    def to(self, place: str, **query: int | str) -> str:
        url = f"{self.public_base_url}{PREFIX}/{self.call_id}/{place}"
        return f"{url}?{urlencode(query)}" if query else url


class TakeLinks:
    """Addresses of takes, to be played in their call. Whether Twilio signs the requests of <Play> is not documented, so
    they carry a signature of their own and expire."""

    def __init__(self, auth_token: str, clock: Callable[[], float] = time.time) -> None:
        # Drawn from the one secret that is shared with nobody but Twilio; another key for another use.
        self._key = hmac.digest(auth_token.encode(), b"deadringer: addresses of takes", hashlib.sha256)
        self._clock = clock

    def url(self, urls: CallUrls, recording_id: str, step: int) -> str:
        """`step`, which is not signed, is for Twilio to repeat if the take cannot be played."""
        expires = int(self._clock()) + _TAKE_SECONDS
        signature = self._signature(urls.call_id, recording_id, expires)
        return urls.to(f"takes/{recording_id}.wav", expires=expires, signature=signature, step=step)

    def valid(self, call_id: str, recording_id: str, expires: int, signature: str) -> bool:
        expected = self._signature(call_id, recording_id, expires)
        return hmac.compare_digest(expected.encode(), signature.encode()) and self._clock() < expires

    def _signature(self, call_id: str, recording_id: str, expires: int) -> str:
        digest = hmac.digest(self._key, f"{call_id}/{recording_id}/{expires}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a document of a call sends it next.

    `step` counts the documents of the call, so that each address occurs in it once: a repeated delivery is told from a
    second round of the same question by its address alone.
    """

    urls: CallUrls
    step: int
    links: TakeLinks

    def consent(self, attempt: int) -> str:
        return self.urls.webhook("consent", step=self.step, attempt=attempt)

    @property
    def take(self) -> str:
        return self.urls.webhook("take", step=self.step)

    @property
    def silent(self) -> str:
        return self.urls.webhook("silent", step=self.step)

    def review(self, waited: int) -> str:
        return self.urls.webhook("review", step=self.step, waited=waited)

    def choice(self, attempt: int) -> str:
        return self.urls.webhook("choice", step=self.step, attempt=attempt)

    def take_sound(self, recording_id: str) -> str:
        return self.links.url(self.urls, recording_id, self.step)
