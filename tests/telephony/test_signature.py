"""Who may speak for Twilio: the signature of webhooks, and every way to get it wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from telephony.settings import TelephonySettings
from telephony.signature import MAX_BODY_BYTES, Forged, Signatures, signed_form
from telephony.urls import RETRIES

TOKEN = "12345"
SHARED = {"webhooks_sharedkey_1": "the-first-secret", "webhooks_sharedkey_2": "the-second-secret"}
BASE = "https://voices.example.com"
FORM = {"CallSid": "CA1234567890ABCDE", "Digits": "1"}
FORM_TYPE = "application/x-www-form-urlencoded"


def application(base: str = BASE) -> FastAPI:
    app = FastAPI()
    signatures = Signatures(TOKEN, base, SHARED)

    @app.post("/hook/{rest:path}")
    async def hook(request: Request) -> list[tuple[str, str]]:
        return (await signed_form(request, signatures)).multi_items()

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url="http://10.0.0.7:8000") as it:
        yield it


def signature(url: str, form: dict[str, str] | ImmutableMultiDict[str, str], token: str = TOKEN) -> str:
    return str(RequestValidator(token).compute_signature(url, form))


async def post(
    client: httpx.AsyncClient,
    path: str,
    body: str | bytes,
    signed: str | None,
    kind: str = FORM_TYPE,
    signer: str | None = None,
) -> httpx.Response:
    headers = {"Content-Type": kind} | ({"X-Twilio-Signature": signed} if signed is not None else {})
    headers |= {"X-Twilio-Webhooks-Signature-Settings": signer} if signer is not None else {}
    return await client.post(path, content=body, headers=headers)


def matches(base: str, path: str, form: ImmutableMultiDict[str, str], signed: str, token: str = TOKEN) -> bool:
    try:
        Signatures(token, base).check(path, form, signed)
    except Forged:
        return False
    return True


def test_the_documented_example() -> None:
    """From "Security" in Twilio's documentation."""
    form = ImmutableMultiDict(
        {
            "CallSid": "CA1234567890ABCDE",
            "Caller": "+14158675309",
            "Digits": "1234",
            "From": "+14158675309",
            "To": "+18005551212",
        }
    )
    path = "/myapp.php?foo=1&bar=2"
    assert matches("https://mycompany.com", path, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert not matches("http://mycompany.com", path, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert not matches("https://mycompany.com", path, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", token="12346")


@pytest.mark.parametrize(
    ("base", "signed_under"),
    [
        ("https://voices.example.com", "https://voices.example.com:443"),
        ("https://voices.example.com:443", "https://voices.example.com"),
        ("http://voices.example.com", "http://voices.example.com:80"),
        ("https://voices.example.com:8443/app", "https://voices.example.com/app"),
        ("http://[::1]:8000", "http://[::1]"),
        ("http://[::1]", "http://[::1]:80"),
    ],
)
def test_with_and_without_the_port(base: str, signed_under: str) -> None:
    form = ImmutableMultiDict(FORM)
    assert matches(base, "/x", form, signature(f"{signed_under}/x", FORM))
    assert matches(base, "/x", form, signature(f"{base}/x", FORM))


@pytest.mark.parametrize(
    ("configured", "signed_under"),
    [
        ("https://Voices.Example.COM/App/", "https://voices.example.com/App"),
        ("HTTPS://voices.example.com:443", "https://voices.example.com"),
        ("https://stimmen-für-alle.example/", "https://xn--stimmen-fr-alle-7vb.example"),
        ("https://xn--stimmen-fr-alle-7vb.example", "https://xn--stimmen-fr-alle-7vb.example:443"),
        ("https://voices.example.com/a%20b%2Fc", "https://voices.example.com/a%20b%2Fc"),
    ],
)
def test_addresses_that_can_be_written_in_several_ways(configured: str, signed_under: str) -> None:
    """Twilio is given the canonical form and signs it."""
    base = TelephonySettings(public_base_url=configured).public_base_url
    assert matches(base, "/x?a=%7E", ImmutableMultiDict(FORM), signature(f"{signed_under}/x?a=%7E", FORM))


async def test_whether_the_fragment_is_signed_does_not_matter(client: httpx.AsyncClient) -> None:
    for fragment, status in (("", 200), (RETRIES, 200), ("#rc=5", 403)):
        signed = signature(f"{BASE}/hook/a?step=1{fragment}", FORM)
        assert (await post(client, "/hook/a?step=1", urlencode(FORM), signed)).status_code == status


async def test_what_twilio_signed_is_believed_whatever_the_host_header_says(client: httpx.AsyncClient) -> None:
    signed = signature(f"{BASE}/hook/a%20b?step=1&x=%2F", FORM)
    answer = await post(client, "/hook/a%20b?step=1&x=%2F", urlencode(FORM), signed)
    assert answer.status_code == 200
    assert answer.json() == [["CallSid", "CA1234567890ABCDE"], ["Digits", "1"]]


async def test_the_host_header_does_not_decide(client: httpx.AsyncClient) -> None:
    signed = signature("https://evil.example.com/hook/a", FORM)
    headers = {"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "https"}
    client.headers.update(headers)
    assert (await post(client, "/hook/a", urlencode(FORM), signed)).status_code == 403


async def test_a_base_address_with_a_path() -> None:
    """Behind a proxy that takes the path away, and with a server that has been told of it."""
    base = "https://example.com/voices"
    signed = signature(f"{base}/hook/a", FORM)
    for root_path, path in (("", "/hook/a"), ("/voices", "/voices/hook/a")):
        transport = httpx.ASGITransport(application(base), root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7") as client:
            assert (await post(client, path, urlencode(FORM), signed)).status_code == 200, root_path


@pytest.mark.parametrize(
    "body",
    ["Digits=&CallSid=CA1", "CallSid=CA1&Digits=", "B=2&A=1&B=1&B=2", "Name=Zo%C3%AB+%26+co", ""],
)
async def test_blank_repeated_and_foreign_values_are_signed_as_they_are(client: httpx.AsyncClient, body: str) -> None:
    form = ImmutableMultiDict(parse_qsl(body, keep_blank_values=True))
    answer = await post(client, "/hook/a", body, signature(f"{BASE}/hook/a", form))
    assert answer.status_code == 200
    assert [tuple(each) for each in answer.json()] == form.multi_items()


@pytest.mark.parametrize(
    "forged",
    [None, "", "x", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", "A" * 10_000, "ÿþ", "=", " "],
)
async def test_without_the_right_signature_nobody_is_believed(client: httpx.AsyncClient, forged: str | None) -> None:
    headers = {} if forged is None else {"X-Twilio-Signature": forged.encode("latin-1")}
    answer = await client.post("/hook/a", data=FORM, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 403
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/hook/b", FORM),
        ("/hook/a?step=2", FORM),
        ("/hook/a", {**FORM, "Digits": "2"}),
        ("/hook/a", {**FORM, "More": ""}),
        ("/hook/a", {"CallSid": FORM["CallSid"]}),
    ],
)
async def test_nothing_that_is_signed_can_be_changed(
    client: httpx.AsyncClient, path: str, form: dict[str, str]
) -> None:
    signed = signature(f"{BASE}/hook/a", FORM)
    assert (await post(client, path, urlencode(form), signed)).status_code == 403


async def test_another_token_signs_nothing_here(client: httpx.AsyncClient) -> None:
    signed = signature(f"{BASE}/hook/a", FORM, token="54321")
    assert (await post(client, "/hook/a", urlencode(FORM), signed)).status_code == 403


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"CallSid": "CA1"}', "application/json", 403),
        (b"<CallSid/>", "application/xml", 415),
        (b"CallSid=CA1", "text/plain", 415),
        (b"CallSid=CA1", "", 415),
        (b"CallSid=%FF%FE", FORM_TYPE, 400),
        (b"CallSid=\xff", FORM_TYPE, 400),
        (b"no pairs at all", FORM_TYPE, 400),
        (b"&".join(b"a%d=1" % number for number in range(500)), FORM_TYPE, 400),
        (b"a=" + b"b" * MAX_BODY_BYTES, FORM_TYPE, 413),
        (b"a=" + b"b" * (MAX_BODY_BYTES - 2), f"{FORM_TYPE}; charset=UTF-8", 403),
    ],
)
async def test_what_is_no_form_of_twilios_is_refused_in_words(
    client: httpx.AsyncClient, body: bytes, kind: str, status: int
) -> None:
    answer = await post(client, "/hook/a", body, "wrong", kind)
    assert answer.status_code == status
    assert answer.json()["detail"]


async def test_a_body_without_end_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MAX_BODY_BYTES:
            sent += 8192
            yield b"a" * 8192

    headers = {"Content-Type": FORM_TYPE, "X-Twilio-Signature": "wrong"}
    answer = await client.post("/hook/a", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert sent < 3 * MAX_BODY_BYTES


# ── shared keys ──────────────────────────────────────────────────────────────


def by_shared_key(secret: str, algorithm: str = "HMAC_SHA256") -> str:
    return str(RequestValidator(secret).compute_signature(f"{BASE}/hook/a", FORM, algorithm))


@pytest.mark.parametrize("key", SHARED)
@pytest.mark.parametrize("header", ["key={},algorithm=HMAC_SHA256", " algorithm=HMAC_SHA256 , key = {} ,more=1"])
async def test_a_shared_key_signs_by_its_own_secret(client: httpx.AsyncClient, key: str, header: str) -> None:
    for named, secret in SHARED.items():
        answer = await post(client, "/hook/a", urlencode(FORM), by_shared_key(secret), signer=header.format(key))
        assert answer.status_code == (200 if named == key else 403)


@pytest.mark.parametrize(
    ("signer", "secret", "algorithm", "words"),
    [
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", TOKEN, "HMAC_SHA256", "TWILIO_SHARED_KEYS"),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", TOKEN, "HMAC_SHA1", "TWILIO_SHARED_KEYS"),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", "the-first-secret", "HMAC_SHA1", "TWILIO_SHARED_KEYS"),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA1", "the-first-secret", "HMAC_SHA1", "HMAC_SHA256"),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA1", TOKEN, "HMAC_SHA1", "HMAC_SHA256"),
        ("key=webhooks_sharedkey_1,algorithm=NONE", "the-first-secret", "HMAC_SHA256", "HMAC_SHA256"),
        ("key=webhooks_sharedkey_1", "the-first-secret", "HMAC_SHA256", "HMAC_SHA256"),
        ("key=somebody,algorithm=HMAC_SHA256", "the-first-secret", "HMAC_SHA256", "add its id"),
        ("key=,algorithm=HMAC_SHA256", TOKEN, "HMAC_SHA256", "add its id"),
        ("algorithm=HMAC_SHA256", TOKEN, "HMAC_SHA256", "add its id"),
        ("?", TOKEN, "HMAC_SHA1", "HMAC_SHA256"),
    ],
)
async def test_who_signs_is_not_the_senders_to_choose(
    client: httpx.AsyncClient, signer: str, secret: str, algorithm: str, words: str
) -> None:
    signed = by_shared_key(secret, algorithm)
    answer = await post(client, "/hook/a", urlencode(FORM), signed, signer=signer)
    assert answer.status_code == 403
    assert words in answer.json()["detail"]


async def test_a_shared_key_does_not_sign_unnamed(client: httpx.AsyncClient) -> None:
    for algorithm in ("HMAC_SHA1", "HMAC_SHA256"):
        signed = by_shared_key("the-first-secret", algorithm)
        assert (await post(client, "/hook/a", urlencode(FORM), signed)).status_code == 403
    assert (await post(client, "/hook/a", urlencode(FORM), by_shared_key(TOKEN, "HMAC_SHA1"))).status_code == 200


# ── JSON ─────────────────────────────────────────────────────────────────────


async def post_json(client: httpx.AsyncClient, body: str | bytes, digest: str | None = None) -> httpx.Response:
    data = body.encode() if isinstance(body, str) else body
    path = f"/hook/a?step=1&bodySHA256={digest or sha256(data).hexdigest()}"
    return await post(client, path, data, signature(BASE + path, {}), "application/json; charset=utf-8")


async def test_a_flat_json_object_is_read_like_a_form(client: httpx.AsyncClient) -> None:
    answer = await post_json(
        client, json.dumps({"CallSid": "CA1", "Digits": "", "N": 25, "F": 1.5, "B": True, "0": None})
    )
    assert answer.status_code == 200
    assert answer.json() == [["CallSid", "CA1"], ["Digits", ""], ["N", "25"], ["F", "1.5"], ["B", "true"]]


async def test_the_sdk_agrees_about_json() -> None:
    body = json.dumps(FORM)
    url = f"{BASE}/hook/a?bodySHA256={sha256(body.encode()).hexdigest()}"
    assert RequestValidator(TOKEN).validate(url, body, signature(url, {}))


@pytest.mark.parametrize(
    "body",
    [
        "[]", '"CallSid"', "null", "{", "", '{"a": {}}', '{"a": ["b"]}', '{"a": "\\ud800"}', "[" * 50_000, b"\xff",
        '{"a": ' + "9" * 5000 + "}", json.dumps({str(number): 1 for number in range(300)}),
    ],
)  # fmt: skip
async def test_json_that_could_not_have_been_a_form_is_refused(client: httpx.AsyncClient, body: str | bytes) -> None:
    answer = await post_json(client, body)
    assert answer.status_code == 400
    assert "JSON object" in answer.json()["detail"]


@pytest.mark.parametrize("digest", ["0" * 64, sha256(b"{}").hexdigest().upper(), "%C3%BF", "x"])
async def test_json_that_was_changed_is_not_believed(client: httpx.AsyncClient, digest: str) -> None:
    answer = await post_json(client, "{}", digest)
    assert answer.status_code == 403
    assert "bodySHA256" in answer.json()["detail"]


async def test_json_without_its_hash_is_not_believed(client: httpx.AsyncClient) -> None:
    answer = await post(client, "/hook/a", "{}", signature(f"{BASE}/hook/a", {}), "application/json")
    assert answer.status_code == 403
    assert "bodySHA256" in answer.json()["detail"]
