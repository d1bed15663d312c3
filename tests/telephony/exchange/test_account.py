"""What the exchange says of its account, asked by the Twilio SDK."""

from __future__ import annotations

import asyncio

import pytest
from twilio.base.exceptions import TwilioRestException

from tests.telephony.exchange.harness import ACCOUNT, CALLER, ExchangeUnderTest


async def test_account_is_in_good_order(exchange: ExchangeUnderTest) -> None:
    account = await exchange.api(lambda client: client.api.accounts(ACCOUNT).fetch())
    assert (account.sid, account.owner_account_sid, account.status, account.type) == (
        ACCOUNT,
        ACCOUNT,
        "active",
        "Full",
    )
    balance = await exchange.api(lambda client: client.balance.fetch())
    assert (balance.balance, balance.currency) == ("100.00", "USD")


async def test_every_number_can_call(exchange: ExchangeUnderTest) -> None:
    async def numbers(**filters: str) -> list[str]:
        found = await exchange.api(lambda client: client.incoming_phone_numbers.list(**filters))
        assert all(number.capabilities["voice"] for number in found)
        return [number.phone_number for number in found]

    assert await numbers(phone_number="+14155550199") == ["+14155550199"]
    assert await numbers() == []
    await exchange.call(twiml="<Response/>", timeout=600)
    assert await numbers() == [CALLER]
    assert await exchange.api(lambda client: client.outgoing_caller_ids.list(phone_number=CALLER)) == []


async def test_every_country_can_be_called(exchange: ExchangeUnderTest) -> None:
    country = await exchange.api(lambda client: client.voice.v1.dialing_permissions.countries("FR").fetch())
    assert (country.iso_code, country.low_risk_numbers_enabled, country.high_risk_special_numbers_enabled) == (
        "FR",
        True,
        False,
    )
    with pytest.raises(TwilioRestException) as refused:
        await exchange.api(lambda client: client.voice.v1.dialing_permissions.countries("France").fetch())
    assert refused.value.status == 404


async def test_strangers_are_told_nothing(exchange: ExchangeUnderTest) -> None:
    client = exchange.client(token="0" * 32)
    for ask in (
        lambda: client.api.accounts(ACCOUNT).fetch(),
        lambda: client.voice.v1.dialing_permissions.countries("FR").fetch(),
    ):
        with pytest.raises(TwilioRestException) as refused:
            await asyncio.to_thread(ask)
        assert (refused.value.status, refused.value.code) == (401, 20003)
    client.http_client.session.close()
