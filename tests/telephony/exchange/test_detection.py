"""Who picked up: a person, a machine, or nobody who says a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from twilio.base.exceptions import TwilioRestException

from telephony.exchange.protocol import PickedUpBy
from telephony.exchange.scripted import Script
from tests.telephony.exchange import harness
from tests.telephony.exchange.harness import Application, ExchangeUnderTest, pick_up

FOUND = [("human", "human"), ("machine", "machine_start"), ("fax", "fax"), ("unknown", "unknown")]
WAITING = "<Response><Pause length='60'/></Response>"


@pytest.mark.parametrize(("picked_up_by", "found"), FOUND)
async def test_application_is_told_while_the_call_goes_on(
    exchange: ExchangeUnderTest, application: Application, picked_up_by: PickedUpBy, found: str
) -> None:
    phone = await pick_up(exchange, Script(picked_up_by=picked_up_by))
    application.answers["/voice"] = "<Pause length='60'/>"
    call = await exchange.call(
        url=f"{application.url}/voice",
        machine_detection="Enable",
        async_amd="true",
        async_amd_status_callback=f"{application.url}/amd",
    )
    [told] = await application.wait_for("/amd")
    [asked] = application.received("/voice")
    assert (told.method, told.signed) == ("POST", True)
    assert {**told.parameters, "MachineDetectionDuration": ""} == {
        "AccountSid": call.account_sid,
        "CallSid": call.sid,
        "AnsweredBy": found,
        "MachineDetectionDuration": "",
    }
    assert 0 < int(told.parameters["MachineDetectionDuration"]) <= 30_000
    assert "AnsweredBy" not in asked.parameters
    answered_by = await exchange.api(lambda client: client.calls(call.sid).fetch().answered_by)
    assert answered_by == found
    await exchange.api(lambda client: client.calls(call.sid).update(status="completed"))
    await phone


async def test_application_may_wait_until_it_is_known(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script(picked_up_by="machine"))
    await exchange.call(
        url=f"{application.url}/voice",
        machine_detection="DetectMessageEnd",
        status_callback=f"{application.url}/status",
    )
    await phone
    [asked] = application.received("/voice")
    assert asked.parameters["AnsweredBy"] == "machine_end_beep"
    assert (await application.wait_for("/status"))[0].parameters["AnsweredBy"] == "machine_end_beep"


@pytest.fixture
async def unhurried(tmp_path: Path) -> AsyncIterator[ExchangeUnderTest]:
    """An exchange whose detection takes so long that a test comes first."""
    async with harness.exchange(tmp_path / "unhurried", speed=1) as running:
        yield running


async def test_who_hangs_up_before_is_not_reported(unhurried: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(unhurried, Script(picked_up_by="machine", hang_up_after="answer"))
    await unhurried.call(
        url=f"{application.url}/voice",
        machine_detection="DetectMessageEnd",
        status_callback=f"{application.url}/status",
    )
    [end] = await phone
    assert end.status == "completed"
    [ended] = await application.wait_for("/status")
    assert "AnsweredBy" not in ended.parameters
    assert application.received("/voice") == []


async def test_other_instructions_do_not_wait_for_it(unhurried: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(unhurried, Script(picked_up_by="machine"))
    call = await unhurried.call(
        url=f"{application.url}/voice",
        machine_detection="DetectMessageEnd",
        status_callback=f"{application.url}/status",
        status_callback_event=["answered"],
    )
    await application.wait_for("/status")
    await unhurried.api(lambda client: client.calls(call.sid).update(url=f"{application.url}/elsewhere"))
    await phone
    assert len(application.received("/elsewhere")) == 1
    assert application.received("/voice") == []


async def test_detection_is_not_asked_for_by_other_words(exchange: ExchangeUnderTest) -> None:
    with pytest.raises(TwilioRestException) as refused:
        await exchange.call(twiml=WAITING, machine_detection="Perhaps")
    assert (refused.value.status, refused.value.code) == (400, 20001)


async def test_nobody_asks_who_answered(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script(picked_up_by="machine"))
    call = await exchange.call(url=f"{application.url}/voice")
    await asyncio.wait_for(phone, 20)
    assert "AnsweredBy" not in application.received("/voice")[0].parameters
    assert await exchange.api(lambda client: client.calls(call.sid).fetch().answered_by) is None
