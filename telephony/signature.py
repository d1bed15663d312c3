"""Webhooks that really come from Twilio: their signature, and the form that it covers.

Twilio signs with base64(HMAC-SHA1(auth token, URL + each parameter's name and value, sorted)), the parameters being
those of the form alone. Source: "Security" in Twilio's documentation, https://www.twilio.com/docs/usage/security.

The SDK's `RequestValidator` computes it; its `validate` is not used, because it compares character by character with a
plain `==`, answers a missing header with a TypeError, and takes the URL's parts apart in ways that change some of them.
Signatures by a shared key (`X-Twilio-Webhooks-Signature-Settings`, a beta) are not accepted.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from fastapi import HTTPException, Request
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

SIGNATURE_HEADER = "X-Twilio-Signature"
MAX_BODY_BYTES = 64 * 1024
"""Twilio's webhooks are 1 to 2 KB."""
_MAX_FIELDS = 200
_FORM_TYPE = "application/x-www-form-urlencoded"
_DEFAULT_PORTS = {"http": 80, "https": 443}

Form = ImmutableMultiDict[str, str]


class Signatures:
    """Checks what comes in under `public_base_url`. That address is configured, never taken from a request: a Host or
    Forwarded header is the sender's to choose, and behind a proxy it is not what Twilio signed."""

    def __init__(self, auth_token: str, public_base_url: str) -> None:
        self._validator = RequestValidator(auth_token)
        self._bases = _with_and_without_port(public_base_url)

    def match(self, path_and_query: str, form: Form, signature: str) -> bool:
        """Whether the signature is right. Tells nobody by its timing how much of a wrong one is."""
        given = signature.encode()
        expected = [self._validator.compute_signature(base + path_and_query, form) for base in self._bases]
        return any(hmac.compare_digest(given, each.encode()) for each in expected)


async def signed_form(request: Request, signatures: Signatures) -> Form:
    """The form of a webhook, as Twilio signed it: with blank values and every repetition.

    Raises:
        HTTPException: 403 for a signature that is missing or wrong; 413, 415 and 400 for what is no form of Twilio's.
    """
    signature = request.headers.get(SIGNATURE_HEADER)
    if not signature:
        raise HTTPException(403, f"The header {SIGNATURE_HEADER} is missing: only Twilio may call this address.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM_TYPE:
        raise HTTPException(415, f"Webhooks are sent as {_FORM_TYPE}.")
    form = _parse(await _body(request))
    if not signatures.match(_path_and_query(request), form, signature):
        raise HTTPException(
            403, "The signature is wrong: check that TWILIO_AUTH_TOKEN and PUBLIC_BASE_URL are what Twilio uses."
        )
    return form


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"A webhook has at most {MAX_BODY_BYTES} bytes.")
    return bytes(body)


def _parse(body: bytes) -> Form:
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise HTTPException(400, "The body is no form: name=value pairs in UTF-8, percent-encoded.") from None
    return Form(fields)


def _path_and_query(request: Request) -> str:
    """As it was sent (percent-encoding taken away and put back is not always the same), below the base address."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = path.removeprefix(request.scope.get("root_path", "").encode())
    query: bytes = request.scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("latin-1")


def _with_and_without_port(base: str) -> Sequence[str]:
    """Twilio signs the URL with or without its port: not always as it was given, says the SDK."""
    parts = urlsplit(base)
    host = parts.netloc.removesuffix(f":{parts.port}") if parts.port else parts.netloc
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}{parts.path}", f"{parts.scheme}://{host}:{port}{parts.path}"
