"""What must never be read in a log: whole phone numbers, tokens, passwords, signatures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote

from studio.numbers import masked

HIDDEN: Final = "•••"

# Entries of a log line or of something in it, by name ("set-cookie" and "setCookie" count as "set_cookie").
_SECRET_NAMES: Final = frozenset(
    {
        "auth",
        "auth_token",
        "authorization",
        "confirmation_code",
        "cookie",
        "password",
        "proxy_authorization",
        "secret",
        "secret_key",
        "set_cookie",
        "signature",
        "token",
        "x_twilio_signature",
        "xi_api_key",
    }
)
_PHONE_NAMES: Final = frozenset({"called", "caller", "from", "phone", "to"})

_Replacement: TypeAlias = str | Callable[[re.Match[str]], str]
_PATTERNS: Final[tuple[tuple[re.Pattern[str], _Replacement], ...]] = (
    # E.164, as it is or as part of an address (%2B is +)
    (re.compile(r"(?:\+|%2B)[1-9]\d{6,14}(?!\d)", re.IGNORECASE), lambda found: masked(unquote(found.group()))),
    (re.compile(r"\bdr_[\w-]{8,}"), f"dr_{HIDDEN}"),
    (re.compile(r"\b(Bearer|Basic|Digest)\s+[\w.~+/=-]{4,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # name: value, name=value, "name": "value"; a value in quotes to its end, any other to the next space or separator
    (
        re.compile(
            r"""\b((?:\w+[-_])?(?:authorization|cookie|password|secret|secret[-_]key|session|signature|token))"""
            r"""(["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s&;,"'{}()\[\]]+)""",
            re.IGNORECASE,
        ),
        rf"\1\2{HIDDEN}",
    ),
    # the user and password of an address
    (re.compile(r"://[^\s/@]+@"), f"://{HIDDEN}@"),
)


def redact(text: str) -> str:
    """A text as it may stand in a log."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_value(value: object, name: str = "") -> object:
    """The same for anything that is logged under a name, whatever it is made of."""
    match value:
        case None | bool() | float():
            return value
        case Mapping():
            return {key: redact_value(entry, str(key)) for key, entry in value.items()}
        case list() | tuple() | set() | frozenset():
            return [redact_value(entry, name) for entry in value]
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|-", "_", name).lower()
    if name in _SECRET_NAMES:
        return HIDDEN
    if name in _PHONE_NAMES and len(re.sub(r"\D", "", str(value))) > 6:
        return masked(str(value))
    return value if isinstance(value, int) else redact(str(value))
