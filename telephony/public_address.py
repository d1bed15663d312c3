"""Whether PUBLIC_BASE_URL leads to this service, with signatures that hold: asked from here, as Twilio would."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from urllib.parse import urldefrag, urlsplit

import httpx
from twilio.request_validator import RequestValidator

from telephony.rest import DIRECT
from telephony.settings import TelephonySettings
from telephony.signature import SIGNATURE_HEADER
from telephony.urls import CallUrls

_MAX_ANSWER = 4096  # bytes
_NO_SUCH_CALL = {"detail": "There is no such call."}
_NOT_YET = "If the service is not running yet, start it and ask again."


@dataclass(frozen=True, slots=True)
class Check:
    """A finding. `good` is None for what stops no call and is worth knowing; `words` say what to do."""

    what: str
    good: bool | None
    words: str


async def check_address(settings: TelephonySettings, seconds: float) -> Check:
    """Takes at most `seconds`. What it sends to the service changes nothing there. For settings without a `problem`.

    The webhook that it sends is signed, and tells of a call that there is not: a service that runs with the same token
    and address says so, and any other refuses it.
    """
    what, base = "PUBLIC_BASE_URL", settings.public_base_url
    assert settings.twilio_auth_token is not None
    validator = RequestValidator(settings.twilio_auth_token.get_secret_value())
    status_url, _ = urldefrag(CallUrls(base, "doctor").status)
    report = {"CallSid": "CA" + "0" * 32, "CallStatus": "completed"}
    try:
        async with asyncio.timeout(seconds), httpx.AsyncClient(mounts=DIRECT) as http:
            alive = await _answer(http, http.build_request("GET", f"{base}/healthz"))
            if alive != (200, {"status": "alive"}):
                return Check(what, *_instead(base, *alive))
            headers = {SIGNATURE_HEADER: validator.compute_signature(status_url, report)}
            heard = await _answer(http, http.build_request("POST", status_url, data=report, headers=headers))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Check(what, False, f"The certificate of {base} is not valid, and Twilio would not accept it either.")
        return Check(what, None, f"Nothing answers at {base}. {_NOT_YET} Else look at the tunnel, proxy and firewall.")
    if heard == (404, _NO_SUCH_CALL):
        if settings.twilio_api_url is None and urlsplit(base).scheme != "https":
            return Check(what, None, f"{base} leads here, but not by https: everybody on the way can listen.")
        return Check(what, True, f"{base} leads here, and signed webhooks are accepted")
    if heard[0] == 403:
        words = (
            f"The service at {base} refuses our signature. It must run with the same TWILIO_AUTH_TOKEN and "
            "PUBLIC_BASE_URL, and a proxy must pass path and query on as they are."
        )
        return Check(what, False, words)
    return Check(what, False, f"{base} answered a webhook with HTTP status {heard[0]}: does the proxy pass POST on?")


def _instead(base: str, status: int, answer: object) -> tuple[bool | None, str]:
    """What it means that `answer` came in place of a sign of life."""
    if status in (502, 503, 504):
        return None, f"A proxy answers at {base}, and nothing behind it (HTTP status {status}). {_NOT_YET}"
    if 300 <= status < 400:
        return False, f"{base} redirects to {answer}. Set PUBLIC_BASE_URL to where it leads: Twilio signs its address."
    return False, f"Something else answers at {base} (HTTP status {status}). Make it lead to this service."


async def _answer(http: httpx.AsyncClient, request: httpx.Request) -> tuple[int, object]:
    """The status, and the JSON that came, or else where a redirection leads, or else None."""
    response = await http.send(request, stream=True)
    try:
        if response.next_request is not None:
            return response.status_code, str(response.next_request.url)
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > _MAX_ANSWER:
                return response.status_code, None
        return response.status_code, json.loads(body)
    except ValueError:
        return response.status_code, None
    finally:
        await response.aclose()
