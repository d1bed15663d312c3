"""The REST API, as far as the Twilio SDK needs it for calls, recordings, and questions about the account.

Paths, fields, bodies and error codes are those of Twilio's API, version 2010-04-01.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from telephony.exchange import account
from telephony.exchange.asked import Asked, page_of
from telephony.exchange.calls import API_VERSION, CallStatus, Instructions
from telephony.exchange.detection import MachineDetection
from telephony.exchange.errors import ApiError
from telephony.exchange.exchange import Exchange
from telephony.exchange.webhooks import Document

MAX_BODY_BYTES = 64 * 1024
MAX_TWIML_CHARACTERS = 4000
E164 = re.compile(r"\+[1-9]\d{6,14}")
EVENTS = {"initiated", "ringing", "answered", "completed"}


# ── calls ────────────────────────────────────────────────────────────────────


async def create_call(asked: Asked) -> Response:
    to, caller = asked.text("To"), asked.text("From")
    if not to:
        raise ApiError(400, 21201, "No 'To' number is specified")
    if not caller:
        raise ApiError(400, 21213, "No 'From' number is specified")
    if not E164.fullmatch(to):
        raise ApiError(400, 21211, f"The phone number you are attempting to call, {to}, is not valid.")
    if not E164.fullmatch(caller):
        raise ApiError(400, 21212, f"The source phone number provided, {caller}, is not valid.")
    url, twiml = asked.url("Url", 21205), asked.text("Twiml")
    if not url and not twiml:
        raise ApiError(400, 21205, "Url parameter is required.")
    if len(twiml) > MAX_TWIML_CHARACTERS:
        raise ApiError(400, 20001, f"Twiml is longer than {MAX_TWIML_CHARACTERS} characters")
    # Both ways of giving several: the field repeated, and one field with spaces. As with Twilio, an unknown event is no
    # error: its callback never comes.
    events = frozenset(" ".join(asked.form.get("StatusCallbackEvent", ["completed"])).split())
    instructions = Instructions(
        to=to,
        caller=caller,
        url=url,
        method=asked.method("Method"),
        twiml=None if url else twiml,
        fallback_url=asked.url("FallbackUrl", 21205),
        fallback_method=asked.method("FallbackMethod"),
        status_callback=asked.url("StatusCallback", 21609),
        status_callback_method=asked.method("StatusCallbackMethod"),
        status_callback_events=events & EVENTS,
        timeout=asked.seconds("Timeout", 60, 600),
        time_limit=asked.seconds("TimeLimit", 14400, 86400),
        machine_detection=_machine_detection(asked),
        async_amd=asked.text("AsyncAmd", "false").lower() == "true",
        async_amd_callback=asked.url("AsyncAmdStatusCallback", 20001),
        async_amd_callback_method=asked.method("AsyncAmdStatusCallbackMethod"),
    )
    return JSONResponse(asked.exchange.place(instructions).resource(), 201)


def _machine_detection(asked: Asked) -> MachineDetection | None:
    match asked.text("MachineDetection"):
        case "":
            return None
        case "Enable":
            return "Enable"
        case "DetectMessageEnd":
            return "DetectMessageEnd"
    raise ApiError(400, 20001, "MachineDetection should be Enable or DetectMessageEnd")


async def read_call(asked: Asked) -> Response:
    return JSONResponse(asked.call().resource())


async def update_call(asked: Asked) -> Response:
    call, status = asked.call(), asked.text("Status")
    url, twiml = asked.url("Url", 21205), asked.text("Twiml")
    if status not in ("", "canceled", "completed"):
        raise ApiError(400, 21218, f"Status should be canceled or completed, not {status}")
    if status == "completed" or (status == "canceled" and not call.answered):
        await asked.exchange.stop(call)
    elif not status and (url or twiml):
        asked.exchange.redirect(call, Document(url, asked.method("Method"), twiml=None if url else twiml))
    return JSONResponse(call.resource())


async def list_calls(asked: Asked) -> Response:
    to, caller, status = asked.query("To"), asked.query("From"), asked.query("Status")
    if status is not None and status not in set(CallStatus):
        raise ApiError(400, 20001, f"there is no call status {status}")
    before, after = _moment(asked.query("StartTime<")), _moment(asked.query("StartTime>"))
    found = [
        call.resource()
        for call in asked.exchange.calls
        if to in (None, call.instructions.to)
        and caller in (None, call.instructions.caller)
        and status in (None, call.status.value)
        and (before is None or (call.started or call.created) <= before)
        and (after is None or (call.started or call.created) >= after)
    ]
    return page_of(asked, "calls", found)


# ── recordings ───────────────────────────────────────────────────────────────


async def list_recordings(asked: Asked) -> Response:
    call_sid = asked.request.path_params.get("sid") or asked.query("CallSid")
    with_deleted = (asked.query("IncludeSoftDeleted") or "").lower() == "true"
    found = [
        recording.resource(asked.exchange.settings.base_url)
        for recording in asked.exchange.recordings.list(call_sid)
        if with_deleted or recording.status != "deleted"
    ]
    return page_of(asked, "recordings", found)


async def read_recording(asked: Asked) -> Response:
    return JSONResponse(asked.recording().resource(asked.exchange.settings.base_url))


async def delete_recording(asked: Asked) -> Response:
    recording = asked.recording()
    if recording.status == "in-progress":
        raise ApiError(409, 20409, "A recording that is in progress cannot be deleted")
    asked.exchange.recordings.delete(recording)
    return Response(status_code=204)


async def recording_media(asked: Asked) -> Response:
    recording = asked.recording()
    if recording.status != "completed":
        raise asked.not_found()
    return FileResponse(asked.exchange.recordings.media(recording), media_type="audio/x-wav")


# ── around them ──────────────────────────────────────────────────────────────


def routes(exchange: Exchange) -> list[Route]:
    own = f"/{API_VERSION}/Accounts/{{account}}"

    def route(path: str, **handlers: Callable[[Asked], Awaitable[Response]]) -> list[Route]:
        return [Route(path, _endpoint(exchange, handler), methods=[method]) for method, handler in handlers.items()]

    return [
        *route(f"{own}.json", GET=account.read_account),
        *route(f"{own}/Balance.json", GET=account.read_balance),
        *route(f"{own}/IncomingPhoneNumbers.json", GET=account.list_numbers),
        *route(f"{own}/OutgoingCallerIds.json", GET=account.list_verified_numbers),
        *route("/v1/DialingPermissions/Countries/{country}", GET=account.read_dialing_permissions),
        *route(f"{own}/Calls.json", POST=create_call, GET=list_calls),
        *route(f"{own}/Calls/{{sid}}/Recordings.json", GET=list_recordings),
        *route(f"{own}/Calls/{{sid}}.json", GET=read_call, POST=update_call),
        *route(f"{own}/Recordings.json", GET=list_recordings),
        *route(f"{own}/Recordings/{{sid}}.json", GET=read_recording, DELETE=delete_recording),
        *route(f"{own}/Recordings/{{sid}}.wav", GET=recording_media),
        *route(f"{own}/Recordings/{{sid}}", GET=recording_media, DELETE=delete_recording),
    ]


def error_response(error: ApiError) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if error.status == 401 else None
    return JSONResponse(error.body(), error.status, headers)


def _endpoint(
    exchange: Exchange, handler: Callable[[Asked], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            _authenticate(request, exchange)
            return await handler(Asked(request, exchange, await _form(request)))
        except ApiError as error:
            return error_response(error)

    return endpoint


def _authenticate(request: Request, exchange: Exchange) -> None:
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        given = b""
    settings = exchange.settings
    wanted = f"{settings.account_sid}:{settings.auth_token}".encode()
    known = kind.lower() == "basic" and secrets.compare_digest(given, wanted)
    if not known or request.path_params.get("account", settings.account_sid) != settings.account_sid:
        raise ApiError(401, 20003, "Authenticate")


async def _form(request: Request) -> Mapping[str, Sequence[str]]:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(413, 20001, f"a request has at most {MAX_BODY_BYTES} bytes")
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise ApiError(400, 20001, "the request's body is not a form") from None


def _moment(text: str | None) -> datetime | None:
    """Raises:
    ApiError: for what is neither a day nor a time in ISO 8601.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ApiError(400, 20001, f"{text!r} is not a day or a time as 2026-11-22T10:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
