"""What is found out before a call is placed: by the real SDK, from an exchange in good order, and from a Twilio where
one thing after the other is not as it should be."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from api.app import create_app
from api.settings import Settings
from providers.manager import ProviderRegistry
from studio.studio import StudioSettings, open_studio
from telephony.examination import examine
from telephony.exchange.app import listen
from telephony.public_address import Check, check_address
from telephony.settings import TelephonySettings
from tests.api.service import QuietCarrier, serving
from tests.providers.tone import ToneProvider
from tests.telephony.calls import ACCOUNT, TOKEN
from tests.telephony.exchange import harness
from tests.telephony.standin import Reply, StandIn, json_reply, refusal, stand_in

CALLER = "+14155550100"
COUNTRIES = ("US", "FR", "CH")
PATIENCE = 0.5
"""Seconds for one request: nothing takes that long unless it is to."""
ACCOUNT_PATH = f"/2010-04-01/Accounts/{ACCOUNT}"
PROMPT = 10.0


def settings(api: str, base: str, **more: str) -> TelephonySettings:
    given = {
        "twilio_account_sid": ACCOUNT,
        "twilio_auth_token": TOKEN,
        "twilio_caller_id": CALLER,
        "twilio_api_url": api,
        "public_base_url": base,
    }
    return TelephonySettings.model_validate({**given, **more})


@asynccontextmanager
async def service(data: Path, token: str = TOKEN) -> AsyncIterator[str]:
    """The service on a socket, as its address says."""
    listening, base = listen("127.0.0.1", 0)
    chosen = Settings(data_dir=data, public_base_url=base, default_clone_provider="tone")
    provider = ToneProvider()
    async with AsyncExitStack() as stack:
        providers = ProviderRegistry({provider.name: provider})
        stack.push_async_callback(providers.aclose)
        rules = StudioSettings(data, default_clone_provider="tone")
        studio = await stack.enter_async_context(open_studio(rules, providers, QuietCarrier()))
        telephony = settings("http://127.0.0.1:1", base, twilio_auth_token=token)
        await stack.enter_async_context(serving(create_app(chosen, telephony, studio=studio), chosen, listening))
        yield base


@pytest.fixture
async def twilio() -> AsyncIterator[StandIn]:
    """A Twilio where everything is as it should be, until a test changes it."""
    async with stand_in() as service:
        service.reply(refusal(404, 20404))
        service.at = {
            f"{ACCOUNT_PATH}.json": account(),
            f"{ACCOUNT_PATH}/Balance.json": json_reply(200, balance="12.50", currency="USD"),
            f"{ACCOUNT_PATH}/IncomingPhoneNumbers.json": numbers(CALLER),
            f"{ACCOUNT_PATH}/OutgoingCallerIds.json": verified(),
            **{country_path(country): permission(country) for country in COUNTRIES},
        }
        yield service


def account(status: str = "active", kind: str = "Full", owner: str = ACCOUNT, date: datetime | None = None) -> Reply:
    reply = json_reply(200, sid=ACCOUNT, owner_account_sid=owner, status=status, type=kind)
    date = date or datetime.now(UTC)
    return Reply(200, reply.body, {**reply.headers, "Date": format_datetime(date, usegmt=True)})


def numbers(*found: str, voice: bool = True) -> Reply:
    each = [{"phone_number": number, "capabilities": {"voice": voice, "sms": True}} for number in found]
    return json_reply(200, incoming_phone_numbers=each, next_page_uri=None)


def verified(*found: str) -> Reply:
    return json_reply(200, outgoing_caller_ids=[{"phone_number": number} for number in found], next_page_uri=None)


def country_path(country: str) -> str:
    return f"/v1/DialingPermissions/Countries/{country}"


def permission(country: str, *, is_open: bool = True) -> Reply:
    return json_reply(200, iso_code=country, low_risk_numbers_enabled=is_open)


async def findings(chosen: TelephonySettings, *countries: str, patience: float = PROMPT) -> dict[str, Check]:
    found = [check async for check in examine(chosen, countries or COUNTRIES, seconds=patience)]
    assert len({check.what for check in found}) == len(found)
    return {check.what: check for check in found}


async def found_at(twilio: StandIn, patience: float = PROMPT) -> dict[str, Check]:
    """Without the address, for which there is no service here."""
    found = await findings(settings(twilio.url, "http://127.0.0.1:1"), patience=patience)
    assert found.pop("PUBLIC_BASE_URL").good is None
    assert not any("Traceback" in check.words or "Error" in check.words for check in found.values())
    return found


async def test_everything_is_in_good_order(tmp_path: Path) -> None:
    async with harness.exchange(tmp_path / "exchange") as exchange, service(tmp_path) as base:
        chosen = settings(exchange.url, base, twilio_account_sid=harness.ACCOUNT, twilio_auth_token=harness.TOKEN)
        found = await findings(chosen)
        # The service runs with another token here, and says so.
        assert [check.what for check in found.values() if check.good is not True] == ["PUBLIC_BASE_URL"]
    async with harness.exchange(tmp_path / "exchange") as exchange, service(tmp_path, harness.TOKEN) as base:
        chosen = settings(exchange.url, base, twilio_account_sid=harness.ACCOUNT, twilio_auth_token=harness.TOKEN)
        found = await findings(chosen)
        assert [check.what for check in found.values() if check.good is not True] == []
        assert set(found) == {"Twilio account", "Twilio balance", "TWILIO_CALLER_ID", "Countries", "PUBLIC_BASE_URL"}


async def test_without_credentials_nothing_is_asked() -> None:
    assert [check async for check in examine(TelephonySettings(), COUNTRIES)] == []


async def test_nothing_is_asked_for_that_costs(twilio: StandIn) -> None:
    found = await found_at(twilio)
    assert all(check.good is True for check in found.values())
    assert set(found) == {"Twilio account", "Clock", "Twilio balance", "TWILIO_CALLER_ID", "Countries"}
    assert {request.method for request in twilio.received} == {"GET"}


# ── the account ──────────────────────────────────────────────────────────────

HTML = Reply(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"})


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (refusal(401, 20003), "TWILIO_AUTH_TOKEN"),
        (refusal(403, 20005), "not active"),
        (refusal(429, 20429), "in a minute"),
        (refusal(500, 20500), "500"),
        (account("suspended"), "suspended"),
        (account("closed"), "closed"),
        (HTML, "502"),
        (Reply(200, HTML.body, HTML.headers), "not Twilio's API"),
        (Reply(200, b"{}"), "not Twilio's API"),
        (Reply(200, b"[]"), "not Twilio's API"),
        (Reply(200, account().body[:-20]), "not Twilio's API"),
        (Reply(200, account().body, missing=20), "not Twilio's API"),
        (Reply(dropped=True), "not Twilio's API"),
    ],
)
async def test_account_that_cannot_call(twilio: StandIn, reply: Reply, words: str) -> None:
    twilio.at[f"{ACCOUNT_PATH}.json"] = reply
    found = await found_at(twilio)
    check = found.pop("Twilio account")
    assert check.good is False
    assert words in check.words
    assert not {"Twilio balance", "TWILIO_CALLER_ID", "Countries"} & set(found)  # there is no use in asking on


@pytest.mark.parametrize("reply", [Reply(silent=True), Reply(dripping=True)])
async def test_twilio_that_takes_too_long(twilio: StandIn, reply: Reply) -> None:
    twilio.at[f"{ACCOUNT_PATH}.json"] = reply
    found = await found_at(twilio, patience=PATIENCE)
    assert found["Twilio account"].good is False
    assert "too slowly" in found["Twilio account"].words


async def test_twilio_out_of_reach() -> None:
    found = await findings(settings("http://127.0.0.1:1", "http://127.0.0.1:1"))
    assert found["Twilio account"].good is False
    assert "cannot be reached" in found["Twilio account"].words


async def test_account_on_trial_is_a_note(twilio: StandIn) -> None:
    twilio.at[f"{ACCOUNT_PATH}.json"] = account(kind="Trial")
    found = await found_at(twilio)
    assert found["Twilio account"].good is None
    assert "verified" in found["Twilio account"].words
    assert found["TWILIO_CALLER_ID"].good is True


@pytest.mark.parametrize(("off", "words"), [(timedelta(hours=-1), "ahead"), (timedelta(hours=1), "behind")])
async def test_clock_that_is_wrong_is_a_note(twilio: StandIn, off: timedelta, words: str) -> None:
    twilio.at[f"{ACCOUNT_PATH}.json"] = account(date=datetime.now(UTC) + off)
    check = (await found_at(twilio))["Clock"]
    assert check.good is None
    assert words in check.words


# ── what the account has ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reply", "good", "words"),
    [
        (json_reply(200, balance="0", currency="EUR"), None, "0 EUR"),
        (json_reply(200, balance="-3.2", currency="EUR"), None, "-3.2 EUR"),
        (json_reply(200, balance=None, currency="EUR"), None, "not told"),
        (refusal(403, 20008), None, "not told"),
        (HTML, None, "not told"),
    ],
)
async def test_balance(twilio: StandIn, reply: Reply, good: bool | None, words: str) -> None:
    twilio.at[f"{ACCOUNT_PATH}/Balance.json"] = reply
    check = (await found_at(twilio))["Twilio balance"]
    assert check.good is good
    assert words in check.words


async def test_parent_of_a_subaccount_pays(twilio: StandIn) -> None:
    twilio.at[f"{ACCOUNT_PATH}.json"] = account(owner="AC" + "2" * 32)
    check = (await found_at(twilio))["Twilio balance"]
    assert check.good is True
    assert "parent" in check.words
    assert not any("Balance" in request.path for request in twilio.received)


@pytest.mark.parametrize(
    ("owned", "also", "good", "words"),
    [
        (numbers(CALLER, voice=False), verified(), False, "Buy a number with voice"),
        (numbers(), verified(CALLER), True, "verified"),
        (numbers(), verified(), False, "neither"),
        (numbers(CALLER + "9"), verified(CALLER + "9"), False, "neither"),
        (refusal(500, 20500), verified(), False, "500"),
        (numbers(), HTML, False, "Try again"),
        (json_reply(200, incoming_phone_numbers=["?"]), verified(), False, "not Twilio's API"),
        (json_reply(200, something=[], other=[]), verified(), False, "not Twilio's API"),
    ],
)
async def test_caller_id(twilio: StandIn, owned: Reply, also: Reply, good: bool, words: str) -> None:
    twilio.at[f"{ACCOUNT_PATH}/IncomingPhoneNumbers.json"] = owned
    twilio.at[f"{ACCOUNT_PATH}/OutgoingCallerIds.json"] = also
    check = (await found_at(twilio))["TWILIO_CALLER_ID"]
    assert check.good is good
    assert words in check.words


async def test_countries_that_are_closed_are_named(twilio: StandIn) -> None:
    twilio.at[country_path("FR")] = permission("FR", is_open=False)
    twilio.at[country_path("CH")] = permission("CH", is_open=False)
    check = (await found_at(twilio))["Countries"]
    assert check.good is None
    assert "FR, CH" in check.words
    assert "Geo permissions" in check.words
    twilio.at[country_path("US")] = permission("US", is_open=False)
    assert (await found_at(twilio))["Countries"].good is False


@pytest.mark.parametrize(
    ("reply", "good", "words"),
    [
        (refusal(404, 20404), False, "no country FR"),
        (refusal(403, 20003), None, "may not read"),
        (HTML, None, "502"),
        (json_reply(200, iso_code="FR"), None, "FR"),
    ],
)
async def test_country_of_which_nothing_is_known(twilio: StandIn, reply: Reply, good: bool | None, words: str) -> None:
    twilio.at[country_path("FR")] = reply
    check = (await found_at(twilio))["Countries"]
    assert check.good is good
    assert words in check.words


async def test_many_slow_countries_are_given_up_together(twilio: StandIn) -> None:
    codes = [f"A{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    twilio.at |= {country_path(code): Reply(silent=True) for code in codes}
    found = await findings(settings(twilio.url, "http://127.0.0.1:1"), *codes, patience=PATIENCE)
    assert found["Countries"].good is None


# ── the address ──────────────────────────────────────────────────────────────


async def check(base: str, patience: float = PROMPT, **more: str) -> Check:
    return await check_address(settings("http://127.0.0.1:1", base, **more), patience)


async def test_address_that_leads_here(tmp_path: Path) -> None:
    async with service(tmp_path) as base:
        right = await check(base)
        assert right.good is True
        wrong = await check(base, twilio_auth_token="another")
        assert wrong.good is False
        assert "TWILIO_AUTH_TOKEN" in wrong.words
        elsewhere = await check(base.replace("127.0.0.1", "localhost"))
        assert elsewhere.good is False
        assert "PUBLIC_BASE_URL" in elsewhere.words


async def test_service_that_does_not_run_is_a_note() -> None:
    found = await check("http://127.0.0.1:1")
    assert found.good is None
    assert "not running yet" in found.words


ALIVE = json_reply(200, status="alive")


@pytest.mark.parametrize(
    ("health", "webhook", "good", "words"),
    [
        (HTML, HTML, None, "502"),
        (Reply(silent=True), HTML, None, "Nothing answers"),
        (Reply(200, b"<html>Welcome"), HTML, False, "Something else"),
        (Reply(200, b"x" * 100_000), HTML, False, "Something else"),
        (json_reply(200, status="fine"), HTML, False, "Something else"),
        (Reply(404, b""), HTML, False, "404"),
        (Reply(301, b"", {"Location": "https://www.example.com/"}), HTML, False, "https://www.example.com/"),
        (ALIVE, json_reply(403, detail="no"), False, "refuses our signature"),
        (ALIVE, json_reply(404, detail="Not Found"), False, "404"),
        (ALIVE, Reply(405, b""), False, "405"),
    ],
)
async def test_something_else_at_the_address(health: Reply, webhook: Reply, good: bool | None, words: str) -> None:
    async with stand_in() as other:
        other.at = {"/healthz": health}
        other.reply(webhook)
        found = await check(other.url, PATIENCE if health.silent else PROMPT)
        assert found.good is good
        assert words in found.words


async def test_certificate_that_nobody_trusts() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(__file__).parent / "untrusted.pem")
    async with stand_in(tls) as other:
        other.reply(ALIVE)
        found = await check(other.url)
    assert found.good is False
    assert "certificate" in found.words
