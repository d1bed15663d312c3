"""The REST API as the Twilio SDK sees it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from telephony.exchange.exchange import MAX_CALLS
from tests.telephony.exchange import harness
from tests.telephony.exchange.harness import ACCOUNT, CALLER, NUMBER, TOKEN, ExchangeUnderTest


async def refusal(exchange: ExchangeUnderTest, use: Any) -> TwilioRestException:
    with pytest.raises(TwilioRestException) as refused:
        await exchange.api(use)
    return refused.value


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"to": "4155550123"}, 21211),
        ({"to": "+0123456789"}, 21211),
        ({"to": "+141555"}, 21211),
        ({"to": "client:alice"}, 21211),
        ({"to": ""}, 21201),
        ({"from_": ""}, 21213),
        ({"from_": "Deadringer"}, 21212),
        ({"twiml": None}, 21205),
        ({"url": "ftp://example.com/voice"}, 21205),
        ({"url": "/voice"}, 21205),
        ({"fallback_url": "voice"}, 21205),
        ({"status_callback": "nowhere"}, 21609),
        ({"twiml": "<Response>" + " " * 4000 + "</Response>"}, 20001),
        ({"timeout": 601}, 20001),
        ({"time_limit": 0}, 20001),
        ({"method": "PUT"}, 20001),
    ],
)
async def test_call_that_cannot_be_placed(exchange: ExchangeUnderTest, options: dict[str, Any], code: int) -> None:
    given = {"to": NUMBER, "from_": CALLER, "twiml": "<Response/>", **options}
    error = await refusal(exchange, lambda client: client.calls.create(**given))
    assert (error.status, error.code) == (400, code)
    assert await exchange.api(lambda client: client.calls.list()) == []


async def test_wrong_credentials(exchange: ExchangeUnderTest) -> None:
    client = exchange.client(token="0" * 32)
    with pytest.raises(TwilioRestException) as refused:
        await asyncio.to_thread(lambda: client.calls(f"CA{'0' * 32}").fetch())
    client.http_client.session.close()
    assert (refused.value.status, refused.value.code) == (401, 20003)


async def test_errors_are_shaped_as_twilios(exchange: ExchangeUnderTest) -> None:
    account = f"{exchange.url}/2010-04-01/Accounts/{ACCOUNT}"
    async with httpx.AsyncClient(trust_env=False) as client:
        anonymous = await client.get(f"{account}/Calls.json")
        assert anonymous.status_code == 401
        assert anonymous.headers["www-authenticate"].startswith("Basic")
        assert anonymous.json() == {
            "code": 20003,
            "message": "Authenticate",
            "more_info": "https://www.twilio.com/docs/errors/20003",
            "status": 401,
        }
        garbled = await client.get(f"{account}/Calls.json", headers={"Authorization": "Basic !!!"})
        assert garbled.status_code == 401
        auth = (ACCOUNT, TOKEN)
        elsewhere = await client.get(f"{exchange.url}/2010-04-01/Accounts/AC{'0' * 32}/Calls.json", auth=auth)
        assert elsewhere.json()["code"] == 20003
        unknown = await client.get(f"{account}/Conferences.json", auth=auth)
        assert (unknown.status_code, unknown.json()["code"]) == (404, 20404)
        wrong_method = await client.put(f"{account}/Calls.json", auth=auth)
        assert (wrong_method.status_code, wrong_method.json()["code"]) == (405, 20004)
        too_large = await client.post(f"{account}/Calls.json", auth=auth, content=b"a=" + b"b" * 70_000)
        assert too_large.status_code == 413
        no_form = await client.post(f"{account}/Calls.json", auth=auth, content=b"\xff")
        assert (no_form.status_code, no_form.json()["code"]) == (400, 20001)


async def test_what_does_not_exist_is_not_found(exchange: ExchangeUnderTest) -> None:
    nothing = "0" * 32
    for use in (
        lambda client: client.calls(f"CA{nothing}").fetch(),
        lambda client: client.calls(f"CA{nothing}").update(status="completed"),
        lambda client: client.recordings(f"RE{nothing}").fetch(),
        lambda client: client.recordings(f"RE{nothing}").delete(),
        lambda client: client.recordings("../calls").fetch(),
    ):
        error = await refusal(exchange, use)
        assert (error.status, error.code) == (404, 20404)


async def test_call_that_is_over_cannot_be_redirected(exchange: ExchangeUnderTest) -> None:
    call = await exchange.call(twiml="<Response/>", timeout=600)
    early = await refusal(exchange, lambda client: client.calls(call.sid).update(twiml="<Response/>"))
    await exchange.api(lambda client: client.calls(call.sid).update(status="canceled"))
    late = await refusal(exchange, lambda client: client.calls(call.sid).update(twiml="<Response/>"))
    assert [(error.status, error.code) for error in (early, late)] == [(400, 21220)] * 2


async def test_calls_are_listed_newest_first_by_filters_and_pages(exchange: ExchangeUnderTest) -> None:
    other = "+442071838750"
    calls = [await exchange.call(twiml="<Response/>", timeout=600, to=to) for to in (NUMBER, other, NUMBER)]
    sids = [call.sid for call in calls]

    async def listed(**filters: Any) -> list[str]:
        found = await exchange.api(lambda client: client.calls.list(**filters))
        return [call.sid for call in found]

    assert await listed() == sids[::-1]
    assert await listed(page_size=2) == sids[::-1]
    assert await listed(page_size=1, limit=2) == [sids[2], sids[1]]
    assert await listed(to=NUMBER) == [sids[2], sids[0]]
    assert await listed(to=NUMBER, page_size=1) == [sids[2], sids[0]]
    assert await listed(from_=other) == []
    now = datetime.now(UTC)
    assert await listed(start_time_after=now - timedelta(minutes=1)) == sids[::-1]
    assert await listed(start_time_before=now - timedelta(minutes=1)) == []
    await exchange.api(lambda client: client.calls(sids[1]).update(status="canceled"))
    assert await listed(status="canceled") == [sids[1]]
    with pytest.raises(TwilioException, match="asleep"):
        await listed(status="asleep")


async def test_more_calls_than_the_exchange_holds(exchange: ExchangeUnderTest) -> None:
    account = f"{exchange.url}/2010-04-01/Accounts/{ACCOUNT}"
    form = {"To": NUMBER, "From": CALLER, "Twiml": "<Response/>", "Timeout": "600"}
    async with httpx.AsyncClient(auth=(ACCOUNT, TOKEN), trust_env=False) as client:
        for _ in range(MAX_CALLS):
            assert (await client.post(f"{account}/Calls.json", data=form)).status_code == 201
        refused = await client.post(f"{account}/Calls.json", data=form)
    assert (refused.status_code, refused.json()["code"]) == (429, 20429)


class _AsyncRewriting(AsyncTwilioHttpClient):  # type: ignore[misc] # the SDK is not typed
    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=harness.WITHIN)
        self._base_url = base_url

    async def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        rewritten = url.replace("https://api.twilio.com", self._base_url)
        return await super().request(method, rewritten, *args, **options)


# The SDK uses aiohttp in a way that aiohttp will give up.
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated", "ignore:The 'auth' parameter is deprecated")
async def test_asynchronous_client(exchange: ExchangeUnderTest) -> None:
    async with _AsyncRewriting(exchange.url) as http_client:
        client = Client(ACCOUNT, TOKEN, http_client=http_client)
        call = await client.calls.create_async(to=NUMBER, from_=CALLER, twiml="<Response/>", timeout=600)
        assert (await client.calls(call.sid).fetch_async()).status in ("queued", "initiated", "ringing")
        assert [listed.sid for listed in await client.calls.list_async(to=NUMBER)] == [call.sid]
        assert (await client.calls(call.sid).update_async(status="canceled")).status == "canceled"
        with pytest.raises(TwilioRestException):
            await client.calls.create_async(to="nobody", from_=CALLER, twiml="<Response/>")


async def test_calls_that_were_cut_off_are_reported_when_the_exchange_is_back(tmp_path: Path) -> None:
    async with harness.application() as application:
        events = {"status_callback": f"{application.url}/status", "status_callback_event": ["ringing", "completed"]}
        async with harness.exchange(tmp_path) as exchange:
            call = await exchange.call(twiml="<Response/>", timeout=600, **events)
            await application.wait_for("/status")
        async with harness.exchange(tmp_path) as exchange:
            callbacks = await application.wait_for("/status", 2)
            assert callbacks[1].parameters["CallStatus"] == "failed"
            assert callbacks[1].parameters["SequenceNumber"] == "1"
            assert await exchange.status(call.sid) == "failed"
