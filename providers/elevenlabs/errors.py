"""ElevenLabs' errors in the words of the contract.

An error is an HTTP status and `{"detail": {"code", "status", "message", …}}`; `status` is the older name of `code`, and
both are still met, at times with different values. `detail` may also be a text, or FastAPI's list of what is wrong with
the fields (422), and something between here and there may answer with a page of its own.

Source: ElevenLabs' documentation of errors and its help centre, read in November 2026, and what users of the API have
published of the older names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import httpx
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.parse_error import ParsingError

from providers.contract import (
    AtCapacity,
    Gone,
    NotConfigured,
    ProviderError,
    QuotaExceeded,
    Refused,
    Transient,
)

VERIFY = (
    "ElevenLabs wants a proof that this voice is the speaker's own before it may speak. Whoever runs the ElevenLabs "
    "account opens the voice under elevenlabs.io/app/voice-lab and chooses Verify."
)

_BAD_KEY = (
    "ElevenLabs does not accept the API key. Set ELEVENLABS_API_KEY to a key from elevenlabs.io/app/settings/api-keys."
)
_PERMISSION = "The ElevenLabs API key lacks the permission {}. Add it under elevenlabs.io/app/settings/api-keys."
_CREDITS = (
    "The ElevenLabs account has no credits left for this. They come back with the next month; more can be had under "
    "elevenlabs.io/app/subscription."
)
_SLOTS = "All voice slots of the ElevenLabs account are taken. Delete a voice, or choose a larger plan."
_ADDITIONS = (
    "The ElevenLabs account may add no more voices this month; deleting some does not help. Wait for the next month, "
    "or choose a larger plan."
)
NO_CLONING = (
    "The plan of the ElevenLabs account does not include instant voice cloning. Choose Starter or a larger one under "
    "elevenlabs.io/app/subscription."
)
_PLAN = "The plan of the ElevenLabs account does not include this. Choose a larger one."
_UNUSUAL = (
    "ElevenLabs has closed its free plan to this account or network. A paid plan is not affected "
    "(elevenlabs.io/app/subscription)."
)
_TEXT_LENGTH = "The text is longer than ElevenLabs takes. Shorten it."
_TEXT = "ElevenLabs cannot speak this text. Change it."
_POLICY = "ElevenLabs does not allow this by its rules of use."
_AUDIO_SHORT = "The recording is too short for ElevenLabs. Record again, and keep talking for 20 to 30 seconds."
_AUDIO = "ElevenLabs cannot use the recording. Record again in a quiet place."
_VOICE_GONE = "This voice no longer exists at ElevenLabs."
_MODEL = "The ElevenLabs account cannot use the model that is asked for. `deadringer doctor` lists what is missing."
_BUSY = "ElevenLabs is busy. Try again in a moment."
_FULL = "All requests that the ElevenLabs plan allows at once are in use. Try again in a moment."
_NO_ANSWER = "ElevenLabs did not answer as it should. Try again in a moment."
_NOT_REACHED = "ElevenLabs cannot be reached. Try again in a moment."
_NOT_THE_API = "What answers at ELEVENLABS_API_URL is not the API of ElevenLabs. Check the address."

# By code or older status.
_BY_CODE: Final[Mapping[str, tuple[type[ProviderError], str]]] = {
    **dict.fromkeys(
        (
            "invalid_api_key",
            "missing_api_key",
            "api_key_disabled",
            "expired_api_key",
            "needs_authorization",
            "invalid_authorization_header",
            "unauthorized",
            "sign_in_required",
        ),
        (NotConfigured, _BAD_KEY),
    ),
    "ip_not_allowed": (NotConfigured, "The ElevenLabs API key does not allow requests from this network."),
    **dict.fromkeys(("quota_exceeded", "insufficient_credits"), (QuotaExceeded, _CREDITS)),
    "voice_limit_reached": (QuotaExceeded, _SLOTS),
    "voice_already_exists": (Refused, "ElevenLabs has a voice of this name already. Choose another."),
    "voice_add_edit_limit_reached": (QuotaExceeded, _ADDITIONS),
    **dict.fromkeys(("can_not_use_instant_voice_cloning", "ivc_not_permitted"), (Refused, NO_CLONING)),
    **dict.fromkeys(
        (
            "paid_plan_required",
            "subscription_required",
            "feature_not_available",
            "only_for_creator+",
            "free_users_not_allowed",
        ),
        (Refused, _PLAN),
    ),
    "detected_unusual_activity": (Refused, _UNUSUAL),
    **dict.fromkeys(("text_too_long", "max_character_limit_exceeded"), (Refused, _TEXT_LENGTH)),
    **dict.fromkeys(("text_too_short", "empty_text", "invalid_text"), (Refused, _TEXT)),
    **dict.fromkeys(
        ("content_against_policy", "famous_voice_not_permitted", "voice_blocked_detected"), (Refused, _POLICY)
    ),
    "audio_too_short": (Refused, _AUDIO_SHORT),
    **dict.fromkeys(
        ("invalid_audio", "invalid_audio_format", "invalid_file_type", "audio_too_long", "request_too_large"),
        (Refused, _AUDIO),
    ),
    **dict.fromkeys(("voice_not_found", "voice_does_not_exist"), (Gone, _VOICE_GONE)),
    **dict.fromkeys(("model_not_found", "model_access_denied", "unsupported_model"), (Refused, _MODEL)),
    **dict.fromkeys(("too_many_concurrent_requests", "concurrent_limit_exceeded"), (AtCapacity, _FULL)),
    **dict.fromkeys(("rate_limit_exceeded", "system_busy", "maintenance"), (AtCapacity, _BUSY)),
}
_PERMISSION_CODES = frozenset({"missing_permissions", "insufficient_permissions"})

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
_PASSING_STATUSES = frozenset({408, 409, 425})
_RETRY_AFTER = 1.0  # s, where they do not say
_LONGEST_RETRY_AFTER = 60.0
_LONGEST_QUOTE = 200
_SECRET = re.compile(r"\bsk_\w+|\b[0-9a-fA-F]{32,}\b")
_NAMED_PERMISSION = re.compile(r"permission[: ]+[`'\"]?([a-z]+(?:_[a-z]+)+)")


class BadAnswer(Exception):
    """A success that does not hold what it should."""


TROUBLES: Final = (ApiError, ParsingError, httpx.HTTPError, httpx.StreamError, TimeoutError, BadAnswer, TypeError)
"""What can go wrong between the SDK and ElevenLabs. It raises `TypeError` where the JSON is not an object (2.78)."""

Trouble = ApiError | ParsingError | httpx.HTTPError | httpx.StreamError | TimeoutError | BadAnswer | TypeError


def explained(problem: Trouble) -> ProviderError:
    """What went wrong, in words for people; neither a key nor a raw answer is in them."""
    if isinstance(problem, _NEVER_SENT):
        return Transient(_NOT_REACHED)
    status = _status_of(problem)
    if status is None or 200 <= status < 300:  # nothing came, or what came was cut short or garbled
        return Transient(_NO_ANSWER)
    detail = _detail_of(problem)
    return _by_code(detail, problem) or _by_status(detail, status, problem)


def may_have_happened(problem: Trouble) -> bool:
    """Whether a request that ended like this may have had its effect all the same."""
    if isinstance(problem, _NEVER_SENT):
        return False
    status = _status_of(problem)
    return status is None or 200 <= status < 300 or status >= 500 or status in (408, 425)


def _status_of(problem: Trouble) -> int | None:
    """None: no answer came."""
    return problem.status_code if isinstance(problem, ApiError | ParsingError) else None


def _detail_of(problem: Trouble) -> Any:
    """A mapping, a text, a list, or None where the answer is not of ElevenLabs' form."""
    body = problem.body if isinstance(problem, ApiError | ParsingError) else None
    return body.get("detail") if isinstance(body, dict) else None


def _by_code(detail: Any, problem: Trouble) -> ProviderError | None:
    if not isinstance(detail, dict):
        return None
    for code in (detail.get("code"), detail.get("status")):
        if not isinstance(code, str):
            continue
        if code in _PERMISSION_CODES:
            named = _NAMED_PERMISSION.search(_message_of(detail))
            return NotConfigured(_PERMISSION.format(named[1] if named else "for this"))
        if "verif" in code:
            return Refused(VERIFY)
        if code in _BY_CODE:
            kind, words = _BY_CODE[code]
            return AtCapacity(words, _retry_after(problem)) if kind is AtCapacity else kind(words)
    return None


def _by_status(detail: Any, status: int, problem: Trouble) -> ProviderError:
    if status == 401:
        return NotConfigured(_BAD_KEY)
    if status == 402:
        return QuotaExceeded(_CREDITS)
    if status in (429, 503):
        return AtCapacity(_BUSY, _retry_after(problem))
    if status >= 500 or status in _PASSING_STATUSES:
        return Transient(_NO_ANSWER)
    if detail is None:
        return NotConfigured(_NOT_THE_API)
    if status == 404:
        return Gone("This no longer exists at ElevenLabs.")
    if "verification" in _message_of(detail).lower():
        return Refused(VERIFY)
    return Refused(f"ElevenLabs refused this{_quoted(_message_of(detail))}.")


def _message_of(detail: Any) -> str:
    if isinstance(detail, dict):
        detail = detail.get("message")
    if isinstance(detail, list):
        detail = "; ".join(str(part.get("msg")) for part in detail if isinstance(part, dict) and part.get("msg"))
    return detail if isinstance(detail, str) else ""


def _quoted(message: str) -> str:
    """Their words, in one line and without what looks like a key."""
    line = _SECRET.sub("…", " ".join(message.split())).rstrip(".")
    shortened = line if len(line) <= _LONGEST_QUOTE else line[:_LONGEST_QUOTE] + "…"
    return f": {shortened}" if shortened else ""


def _retry_after(problem: Trouble) -> float:
    headers = problem.headers if isinstance(problem, ApiError | ParsingError) else None
    wanted = (headers or {}).get("retry-after", "")
    return min(float(wanted), _LONGEST_RETRY_AFTER) if re.fullmatch(r"\d{1,6}", wanted) else _RETRY_AFTER
