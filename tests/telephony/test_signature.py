"""Who may speak for Twilio: the signature of webhooks, and every way to get it wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from telephony.signature import MAX_BODY_BYTES, Signatures, signed_form

TOKEN = "12345"
BASE = "https://voices.example.com"
FORM = {"CallSid": "CA1234567890ABCDE", "Digits": "1"}
FORM_TYPE = "application/x-www-form-urlencoded"


def application(base: str = BASE) -> FastAPI:
    app = FastAPI()
    signatures = Signatures(TOKEN, base)

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
    client: httpx.AsyncClient, path: str, body: str | bytes, signed: str | None, kind: str = FORM_TYPE
) -> httpx.Response:
    headers = {"Content-Type": kind} | ({"X-Twilio-Signature": signed} if signed is not None else {})
    return await client.post(path, content=body, headers=headers)


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
    assert Signatures(TOKEN, "https://mycompany.com").match(path, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert not Signatures(TOKEN, "http://mycompany.com").match(path, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert not Signatures("12346", "https://mycompany.com").match(path, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")


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
    assert Signatures(TOKEN, base).match("/x", form, signature(f"{signed_under}/x", FORM))
    assert Signatures(TOKEN, base).match("/x", form, signature(f"{base}/x", FORM))


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
        (b'{"CallSid": "CA1"}', "application/json", 415),
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
