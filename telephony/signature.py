"""Webhooks that really come from Twilio: their signature, and the parameters that it covers.

Twilio signs the address that it was given. With the account's auth token: base64(HMAC-SHA1(token, URL + each form
parameter's name and value, sorted)). With a shared key, which `X-Twilio-Webhooks-Signature-Settings:
key=…,algorithm=HMAC_SHA256` names: the same by HMAC-SHA256 and the secret of that key. A JSON body is covered by its
SHA-256 in the address, `bodySHA256=`, and nothing is appended. Sources: "Secure webhooks" and "Sign webhooks with
shared keys" in Twilio's documentation, https://www.twilio.com/docs/usage/webhooks/webhooks-security and
webhook-shared-keys.

The SDK's `RequestValidator` computes it; its `validate` is not used, because it compares character by character with a
plain `==`, answers a missing header with a TypeError, and takes the URL's parts apart in ways that change some of them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import HTTPException, Request
from pydantic import Field, TypeAdapter, ValidationError
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator

from telephony.urls import RETRIES

SIGNATURE_HEADER = "X-Twilio-Signature"
SIGNER_HEADER = "X-Twilio-Webhooks-Signature-Settings"
MAX_BODY_BYTES = 64 * 1024
"""Twilio's webhooks are 1 to 2 KB."""
_MAX_FIELDS = 200
_FORM_TYPE = "application/x-www-form-urlencoded"
_JSON_TYPE = "application/json"
_DEFAULT_PORTS = {"http": 80, "https": 443}

Form = ImmutableMultiDict[str, str]
_FLAT_OBJECT: TypeAdapter[dict[str, str | int | float | bool | None]] = TypeAdapter(
    Annotated[dict[str, str | int | float | bool | None], Field(max_length=_MAX_FIELDS)]
)


class Forged(Exception):
    """Not signed by Twilio, as far as can be told here; the message says what to check."""


class Signatures:
    """Checks what comes in under `public_base_url`. That address is configured, never taken from a request: a Host or
    Forwarded header is the sender's to choose, and behind a proxy it is not what Twilio signed."""

    def __init__(self, auth_token: str, public_base_url: str, shared_keys: Mapping[str, str] | None = None) -> None:
        self._own = RequestValidator(auth_token)
        self._shared = {key: RequestValidator(secret) for key, secret in (shared_keys or {}).items()}
        self._bases = _with_and_without_port(public_base_url)

    def check(self, path_and_query: str, form: Form, signature: str, signer: str = "") -> None:
        """`signer` is the header that names a shared key, empty if there is none. Tells nobody by its timing how much
        of a wrong signature is right.

        Raises:
            Forged
        """
        validator, algorithm = self._signer(signer)
        # Our addresses end in a fragment, which is never sent. Twilio's "full URL, through the end of the query string"
        # leaves it out; nowhere is it said plainly, and to accept it as well costs nothing.
        urls = [f"{base}{path_and_query}{end}" for base, end in product(self._bases, ("", RETRIES))]
        expected = [validator.compute_signature(url, form, algorithm) for url in urls]
        if not any(hmac.compare_digest(signature.encode(), each.encode()) for each in expected):
            secret = "TWILIO_SHARED_KEYS" if signer else "TWILIO_AUTH_TOKEN"
            raise Forged(f"The signature is wrong: check that {secret} and PUBLIC_BASE_URL are what Twilio uses.")

    def _signer(self, signer: str) -> tuple[RequestValidator, str]:
        """Who signs, and how: the auth token by SHA-1, or the shared key that is named, by SHA-256 and nothing else."""
        if not signer:
            return self._own, HMAC_SHA1
        parts = (part.partition("=") for part in signer.split(","))
        named = {name.strip(): value.strip() for name, _, value in parts}
        if named.get("algorithm") != HMAC_SHA256:
            raise Forged(f"Shared keys sign by {HMAC_SHA256}: set that algorithm in the webhook settings at Twilio.")
        validator = self._shared.get(named.get("key", ""))
        if validator is None:
            raise Forged("The shared key that signed is not known here: add its id and secret to TWILIO_SHARED_KEYS.")
        return validator, HMAC_SHA256


async def signed_form(request: Request, signatures: Signatures) -> Form:
    """The parameters of a webhook, as Twilio signed them: with blank values and every repetition.

    Raises:
        HTTPException: 403 for a signature that is missing or wrong; 413, 415 and 400 for what Twilio does not send.
    """
    signature = request.headers.get(SIGNATURE_HEADER)
    if not signature:
        raise HTTPException(403, f"The header {SIGNATURE_HEADER} is missing: only Twilio may call this address.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (_FORM_TYPE, _JSON_TYPE):
        raise HTTPException(415, f"Webhooks are sent as {_FORM_TYPE} or {_JSON_TYPE}.")
    body = await _body(request)
    form = _parse_form(body) if kind == _FORM_TYPE else Form()
    signer = request.headers.get(SIGNER_HEADER, "")
    try:
        if kind == _JSON_TYPE:
            _check_hash(body, request.query_params.get("bodySHA256"))
        signatures.check(_path_and_query(request), form, signature, signer)
    except Forged as forged:
        raise HTTPException(403, str(forged)) from None
    return form if kind == _FORM_TYPE else _parse_json(body)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"A webhook has at most {MAX_BODY_BYTES} bytes.")
    return bytes(body)


def _check_hash(body: bytes, given: str | None) -> None:
    """Raises: Forged"""
    if given is None:
        raise Forged("A JSON body is signed by bodySHA256 in the address, which is missing.")
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), given.encode()):
        raise Forged("The body is not the one that bodySHA256 in the address is of.")


def _parse_form(body: bytes) -> Form:
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


def _parse_json(body: bytes) -> Form:
    """A flat object as the form that it could have been; what is null could not have been in it."""
    try:
        values = _FLAT_OBJECT.validate_json(body)
    except ValidationError:
        raise HTTPException(400, "The body is no JSON object of texts and numbers.") from None
    return Form(
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
            if value is not None
        }
    )


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
