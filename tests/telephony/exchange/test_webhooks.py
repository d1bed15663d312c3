"""What happens when the application answers badly, late or not at all."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import Response

from telephony.exchange.app import listen
from telephony.exchange.protocol import Ended, FromExchange, FromPhone, Said
from telephony.exchange.scripted import Script
from tests.telephony.exchange.harness import Application, ExchangeUnderTest, Webhook, pick_up, twiml


async def outcome(exchange: ExchangeUnderTest, **options: str) -> tuple[int | None, list[str]]:
    """The error that ended a call, and what was said in it."""
    heard: list[FromExchange | FromPhone] = []
    phone = await pick_up(exchange, Script(), heard=heard)
    await exchange.call(**options)
    [end] = await phone
    assert isinstance(end, Ended)
    assert end.status == "completed"
    return end.error_code, [message.text for message in heard if isinstance(message, Said)]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (twiml("<?xml version='1.0'?><Response><Say>Hello</Response>"), 12100),
        (twiml("<?xml version='1.0'?><!DOCTYPE Response [<!ENTITY a 'b'>]><Response/>"), 12100),
        (Response(b"<Response><Say>\xff</Say></Response>", media_type="text/xml"), 12100),
        (Response("", media_type="text/xml"), 12100),
        (twiml("<?xml version='1.0'?><Answer/>"), 12200),
        (twiml("<Sing>La la</Sing>"), 12200),
        (twiml("<say>Lower case</say>"), 12200),
        (twiml("<Connect><Stream url='wss://example.com'/></Connect>"), 12200),
        (twiml("<Gather timeout='soon'/>"), 12200),
        (twiml("<Gather><Record/></Gather>"), 12200),
        (twiml("<Gather input='speech'/>"), 12200),
        (twiml("<Record finishOnKey='x'/>"), 12200),
        (twiml("<Play/>"), 12200),
        (twiml("<Say>Hi</Say>", content_type="application/json"), 12300),
        (Response(b"<Response/>"), 12300),
        (twiml(f"<Say>{'a' * 70_000}</Say>"), 11750),
        (Response(status_code=404), 11200),
        (Response(status_code=500), 11200),
        (Response(status_code=302, headers={"Location": "/elsewhere"}), 11200),
        (twiml("<Redirect>ftp://example.com/</Redirect>"), 11100),
    ],
)
async def test_bad_answer_ends_the_call_with_its_error(
    exchange: ExchangeUnderTest, application: Application, answer: Response, code: int
) -> None:
    application.answers["/voice"] = answer
    error, said = await outcome(exchange, url=f"{application.url}/voice")
    assert error == code
    assert said == ["We are sorry, an application error has occurred. Goodbye."]


async def test_error_is_found_before_anything_of_the_document_is_carried_out(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    application.answers["/voice"] = "<Say>Good morning.</Say><Sing/>"
    error, said = await outcome(exchange, url=f"{application.url}/voice")
    assert error == 12200
    assert "Good morning." not in said


async def test_error_is_kept_with_the_call(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/voice"] = Response(status_code=500)
    await outcome(exchange, url=f"{application.url}/voice", status_callback=f"{application.url}/status")
    [callback] = await application.wait_for("/status")
    assert callback.parameters["CallStatus"] == "completed"
    assert callback.parameters["ErrorCode"] == "11200"


async def test_fallback_is_asked_when_the_document_fails(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/voice"] = Response(status_code=500)
    application.answers["/fallback"] = "<Say>Please call again.</Say>"
    error, said = await outcome(
        exchange, url=f"{application.url}/voice", fallback_url=f"{application.url}/fallback", fallback_method="GET"
    )
    assert (error, said) == (None, ["Please call again."])
    [asked] = application.received("/fallback")
    assert (asked.method, asked.signed) == ("GET", True)
    assert asked.parameters["ErrorCode"] == "11200"
    assert asked.parameters["ErrorUrl"] == f"{application.url}/voice"


async def test_fallback_is_asked_for_later_documents_too(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/voice"] = "<Redirect>/broken</Redirect>"
    application.answers["/broken"] = "<Sing/>"
    application.answers["/fallback"] = "<Say>Please call again.</Say>"
    error, said = await outcome(exchange, url=f"{application.url}/voice", fallback_url=f"{application.url}/fallback")
    assert (error, said) == (None, ["Please call again."])
    assert application.received("/fallback")[0].parameters["ErrorCode"] == "12200"


async def test_fallback_that_fails_ends_the_call(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/voice"] = Response(status_code=500)
    application.answers["/fallback"] = "<Sing/>"
    error, _ = await outcome(exchange, url=f"{application.url}/voice", fallback_url=f"{application.url}/fallback")
    assert error == 12200
    assert len(application.received("/fallback")) == 1


async def test_application_that_is_down(exchange: ExchangeUnderTest, application: Application) -> None:
    closed, down = listen("127.0.0.1", 0)
    closed.close()
    application.answers["/fallback"] = "<Say>Please call again.</Say>"
    error, said = await outcome(exchange, url=f"{down}/voice", fallback_url=f"{application.url}/fallback")
    assert (error, said) == (None, ["Please call again."])
    assert application.received("/fallback")[0].parameters["ErrorCode"] == "11205"
    assert (await outcome(exchange, url=f"{down}/voice"))[0] == 11205


async def test_time_out_of_the_url_is_kept(exchange: ExchangeUnderTest, application: Application) -> None:
    released = asyncio.Event()

    async def never(_: Webhook) -> str:
        await released.wait()
        return ""

    application.answers["/voice"] = never
    error, _ = await outcome(exchange, url=f"{application.url}/voice#rt=100")
    released.set()
    assert error == 11200


async def test_retries_as_the_url_asks_with_one_token(exchange: ExchangeUnderTest, application: Application) -> None:
    unavailable = Response(status_code=503)
    application.answers["/voice"] = [unavailable, unavailable, "<Say>At last.</Say>"]
    error, said = await outcome(exchange, url=f"{application.url}/voice?a=b#rc=2&rp=5xx,ct")
    assert (error, said) == (None, ["At last."])
    asked = application.received("/voice")
    assert len(asked) == 3
    assert len({webhook.headers["i-twilio-idempotency-token"] for webhook in asked}) == 1
    assert all(webhook.signed and webhook.url.endswith("/voice?a=b") for webhook in asked)


@pytest.mark.parametrize("fragment", ["", "#rc=3", "#rc=3&rp=4xx", "#rc=nonsense&rp=", "#rc=0&rp=all"])
async def test_retries_nothing_that_the_url_does_not_ask_for(
    exchange: ExchangeUnderTest, application: Application, fragment: str
) -> None:
    application.answers["/voice"] = Response(status_code=503)
    await outcome(exchange, url=f"{application.url}/voice{fragment}")
    assert len(application.received("/voice")) == 1


async def test_two_events_have_two_tokens(exchange: ExchangeUnderTest, application: Application) -> None:
    await outcome(exchange, url=f"{application.url}/voice")
    await outcome(exchange, url=f"{application.url}/voice")
    assert len({webhook.headers["i-twilio-idempotency-token"] for webhook in application.webhooks}) == 2
