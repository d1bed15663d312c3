"""Behind a proxy that ends TLS, under a path of its own: what Twilio signs is not what the service sees."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urldefrag

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from twilio.request_validator import RequestValidator

from studio.states import CallStatus, CloneStatus
from studio.studio import StudioSettings
from studio.tables import ReceivedWebhook
from tests.telephony.calls import ONE, TOKEN, CallUnderTest, Wrapper, front_of, telephony_settings
from tests.telephony.proxy import CERTIFICATE, tls_proxy

# What proxies add, and what a sender may have put there before: none of it decides.
FORWARDED = {
    "host": "10.0.0.7:8000",
    "x-forwarded-host": "evil.example.com",
    "x-forwarded-proto": "http",
    "x-forwarded-prefix": "/evil",
    "forwarded": "host=evil.example.com;proto=http",
}


def told_of_the_prefix(app: ASGIApp) -> ASGIApp:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/voices"}, receive, send)

    return wrapped


def untold(app: ASGIApp) -> ASGIApp:
    return app


@asynccontextmanager
async def behind_a_proxy(data: Path, configured: str, stripped: str, wrapper: Wrapper) -> AsyncIterator[CallUnderTest]:
    async with tls_proxy(stripped, FORWARDED) as proxy:
        settings = telephony_settings(public_base_url=configured.format(port=proxy.port))
        async with front_of(StudioSettings(data), settings, wrapper) as front:
            proxy.target = front.port
            trust = ssl.create_default_context(cafile=CERTIFICATE)
            async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
                call = await front.place()
                call.client, call.base = client, settings.public_base_url
                yield call


@pytest.mark.parametrize(
    ("configured", "stripped", "wrapper"),
    [
        ("https://localhost:{port}", "", untold),
        ("https://localhost:{port}/voices", "/voices", untold),
        ("https://LocalHost:{port}/voices/", "/voices", untold),
        ("https://localhost:{port}/voices", "", told_of_the_prefix),
    ],
)
async def test_a_call_goes_through_the_proxy(tmp_path: Path, configured: str, stripped: str, wrapper: Wrapper) -> None:
    async with behind_a_proxy(tmp_path, configured, stripped, wrapper) as call:
        assert (await call.report("ringing")).status_code == 204
        hold = await call.speak(await call.agree(), ONE)
        assert hold.redirect.startswith(call.base + "/telephony/calls/")
        assert (await call.clone()).status is CloneStatus.REVIEWING


async def test_the_sdk_accepts_what_is_accepted_here(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path, "https://localhost:{port}/voices", "/voices", untold) as call:
        form = {"CallSid": call.sid, "CallStatus": "completed"}
        url = urldefrag(call.urls.status).url
        validator = RequestValidator(TOKEN)
        port = f":{httpx.URL(url).port}"
        without_port, evil = url.replace(port, ""), url.replace(f"localhost{port}", "evil.example.com")
        for signed_under, status in [
            (evil, 403),
            (url.replace("/voices", ""), 403),
            (url.replace("/voices", "/evil"), 403),
            (url.replace("https", "http"), 403),
            ("http://10.0.0.7:8000/telephony/calls/" + url.partition("/calls/")[2], 403),
            (without_port, 204),
            (url, 204),
        ]:
            signature = validator.compute_signature(signed_under, form)
            answer = await call.client.post(url, data=form, headers={"X-Twilio-Signature": signature})
            assert answer.status_code == status, signed_under
            assert validator.validate(url, form, signature) is (status == 204), signed_under
        assert len(await call.rows(ReceivedWebhook)) == 1
        assert (await call.call()).status is CallStatus.COMPLETED
