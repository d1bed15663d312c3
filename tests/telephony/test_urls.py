"""The addresses of a call."""

from __future__ import annotations

from urllib.parse import parse_qs, urldefrag

from telephony.exchange.webhooks import Connection
from telephony.urls import RETRIES, CallUrls


def test_every_address_of_a_call_is_under_the_public_one() -> None:
    urls = CallUrls("https://example.com/voices", "c1")
    ours = "https://example.com/voices/telephony/calls/c1"
    assert urls.to("takes/r1.wav", expires=3) == f"{ours}/takes/r1.wav?expires=3"
    for webhook, address in [
        (urls.answer, f"{ours}/answer"),
        (urls.fallback, f"{ours}/fallback"),
        (urls.status, f"{ours}/status"),
        (urls.answered_by, f"{ours}/answered-by"),
        (urls.recording, f"{ours}/recording"),
        (urls.webhook("choice", step=3, attempt=1), f"{ours}/choice?step=3&attempt=1"),
    ]:
        assert webhook == address + RETRIES
        assert urldefrag(webhook).url == address


def test_what_is_asked_of_twilio_is_within_its_limits() -> None:
    """From "Webhook connection overrides"."""
    asked = {name: values[0] for name, values in parse_qs(RETRIES.removeprefix("#")).items()}
    assert set(asked) <= {"ct", "rt", "tt", "rc", "rp", "sni", "edge"}
    assert 0 <= int(asked["rc"]) <= 5
    assert 100 <= int(asked["rt"]) <= 15_000
    assert set(asked["rp"].split(",")) <= {"4xx", "5xx", "ct", "rt", "all"}


def test_the_exchange_understands_it() -> None:
    connection = Connection.of_fragment(urldefrag(CallUrls("https://example.com", "c1").answer).fragment)
    assert connection.retries == 2
    assert all(connection.retries_after(failure) for failure in ("ct", "rt", "5xx"))
    assert not connection.retries_after("4xx")
    # A process that hangs leaves time for another to answer.
    assert connection.read_timeout * 2 <= connection.total_timeout
