"""A call's life, seen by the application that placed it with the Twilio SDK and by the phone that it rings."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime

from telephony.exchange.phone import Phone
from telephony.exchange.protocol import Ended, Ringing, RingingStopped, Said
from telephony.exchange.scripted import Script, run_script
from tests.telephony.exchange.harness import ACCOUNT, CALLER, NUMBER, Application, ExchangeUnderTest, pick_up

EVENTS = ["initiated", "ringing", "answered", "completed"]


async def test_answered_call_runs_its_document_and_reports_each_state(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    application.answers["/voice"] = "<Say>Good morning.</Say>"
    phone = await pick_up(exchange, Script())
    call = await exchange.call(
        url=f"{application.url}/voice", status_callback=f"{application.url}/status", status_callback_event=EVENTS
    )
    assert (call.status, call.to, call._from, call.direction) == ("queued", NUMBER, CALLER, "outbound-api")
    [end] = await phone
    assert isinstance(end, Ended)
    assert (end.status, end.error_code) == ("completed", None)

    callbacks = [webhook.parameters for webhook in await application.wait_for("/status", 4)]
    assert [callback["CallStatus"] for callback in callbacks] == ["initiated", "ringing", "in-progress", "completed"]
    assert [callback["SequenceNumber"] for callback in callbacks] == ["0", "1", "2", "3"]
    for callback in callbacks:
        assert callback["CallSid"] == call.sid
        assert callback["AccountSid"] == ACCOUNT
        assert (callback["To"], callback["Called"]) == (NUMBER, NUMBER)
        assert (callback["From"], callback["Caller"]) == (CALLER, CALLER)
        assert callback["Direction"] == "outbound-api"
        assert callback["ApiVersion"] == "2010-04-01"
        assert callback["CallbackSource"] == "call-progress-events"
        assert parsedate_to_datetime(callback["Timestamp"]).utcoffset() is not None
    assert "CallDuration" not in callbacks[2]
    assert callbacks[3]["SipResponseCode"] == "200"

    [asked] = application.received("/voice")
    assert asked.parameters["CallStatus"] == "in-progress"
    assert asked.parameters["CallSid"] == call.sid
    assert asked.headers["i-twilio-idempotency-token"]
    assert all(webhook.signed for webhook in application.webhooks)

    after = await exchange.api(lambda client: client.calls(call.sid).fetch())
    assert after.status == "completed"
    assert after.duration == callbacks[3]["CallDuration"]
    assert after.start_time is not None
    assert after.end_time >= after.start_time


async def test_only_completion_is_reported_by_default_and_counted_from_zero(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    phone = await pick_up(exchange, Script())
    await exchange.call(twiml="<Response/>", status_callback=f"{application.url}/status")
    await phone
    [callback] = await application.wait_for("/status")
    assert (callback.parameters["CallStatus"], callback.parameters["SequenceNumber"]) == ("completed", "0")


async def test_status_callbacks_can_be_get_requests(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script())
    await exchange.call(
        twiml="<Response/>", status_callback=f"{application.url}/status?clone=7", status_callback_method="GET"
    )
    await phone
    [callback] = await application.wait_for("/status")
    assert callback.signed
    assert (callback.method, callback.parameters["clone"]) == ("GET", "7")
    assert callback.parameters["CallStatus"] == "completed"


async def test_callbacks_do_not_hold_up_the_call(exchange: ExchangeUnderTest, application: Application) -> None:
    released = asyncio.Event()

    async def slow(_: object) -> str:
        await released.wait()
        return ""

    application.answers["/status"] = [slow, ""]
    phone = await pick_up(exchange, Script())
    await exchange.call(twiml="<Response/>", status_callback=f"{application.url}/status", status_callback_event=EVENTS)
    await phone
    assert len(application.received("/status")) == 1  # the others wait for it, since one call's come in order
    released.set()
    assert len(await application.wait_for("/status", 4)) == 4


async def test_declined_call_is_busy(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script(pick_up="busy"))
    call = await exchange.call(
        twiml="<Response/>", status_callback=f"{application.url}/status", status_callback_event=EVENTS
    )
    [end] = await phone
    assert isinstance(end, RingingStopped)
    assert end.status == "busy"
    last = (await application.wait_for("/status", 3))[-1].parameters
    assert (last["CallStatus"], last["CallDuration"], last["SipResponseCode"]) == ("busy", "0", "486")
    assert await exchange.status(call.sid) == "busy"


async def test_broken_line_fails(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script(pick_up="failed"))
    await exchange.call(twiml="<Response/>", status_callback=f"{application.url}/status")
    await phone
    [callback] = await application.wait_for("/status")
    assert callback.parameters["CallStatus"] == "failed"


async def test_phone_that_nobody_answers_stops_ringing(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script(pick_up="ignore"))
    await exchange.call(twiml="<Response/>", timeout=20, status_callback=f"{application.url}/status")
    [end] = await phone
    assert isinstance(end, RingingStopped)
    assert end.status == "no-answer"
    [callback] = await application.wait_for("/status")
    assert callback.parameters["CallStatus"] == "no-answer"


async def test_number_without_a_phone_rings_unanswered(exchange: ExchangeUnderTest, application: Application) -> None:
    await exchange.call(
        twiml="<Response/>",
        timeout=5,
        status_callback=f"{application.url}/status",
        status_callback_event=["ringing", "completed"],
    )
    callbacks = await application.wait_for("/status", 2)
    assert [callback.parameters["CallStatus"] for callback in callbacks] == ["ringing", "no-answer"]


async def test_phone_that_connects_while_its_number_rings_is_rung(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    await exchange.call(
        twiml="<Response/>", timeout=600, status_callback=f"{application.url}/s", status_callback_event=["ringing"]
    )
    await application.wait_for("/s")
    [end] = await run_script(exchange.url, NUMBER, Script())
    assert end.status == "completed"


async def test_canceled_call_stops_ringing(exchange: ExchangeUnderTest, application: Application) -> None:
    async with Phone(exchange.url, NUMBER) as phone:
        call = await exchange.call(twiml="<Response/>", timeout=600, status_callback=f"{application.url}/status")
        assert isinstance(await anext(phone), Ringing)
        canceled = await exchange.api(lambda client: client.calls(call.sid).update(status="canceled"))
        assert canceled.status == "canceled"
        stopped = await anext(phone)
        assert isinstance(stopped, RingingStopped)
        assert stopped.status == "canceled"
    [callback] = await application.wait_for("/status")
    assert callback.parameters["CallStatus"] == "canceled"


async def test_call_in_progress_is_ended_by_the_application(exchange: ExchangeUnderTest) -> None:
    async with Phone(exchange.url, NUMBER) as phone:
        call = await exchange.call(twiml="<Response><Pause length='6000'/></Response>")
        assert isinstance(await anext(phone), Ringing)
        await phone.answer()
        await anext(phone)
        # To cancel is for calls that were not answered yet.
        unchanged = await exchange.api(lambda client: client.calls(call.sid).update(status="canceled"))
        assert unchanged.status == "in-progress"
        ended = await exchange.api(lambda client: client.calls(call.sid).update(status="completed"))
        assert ended.status == "completed"
        assert isinstance(await anext(phone), Ended)
        again = await exchange.api(lambda client: client.calls(call.sid).update(status="completed"))
        assert again.status == "completed"


async def test_call_in_progress_is_redirected(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/elsewhere"] = "<Say>Here you are.</Say>"
    async with Phone(exchange.url, NUMBER) as phone:
        call = await exchange.call(twiml="<Response><Pause length='6000'/><Say>Never said.</Say></Response>")
        await anext(phone)
        await phone.answer()
        await anext(phone)
        await exchange.api(lambda client: client.calls(call.sid).update(url=f"{application.url}/elsewhere"))
        said = await anext(phone)
        assert isinstance(said, Said)
        assert said.text == "Here you are."
        assert isinstance(await anext(phone), Ended)


async def test_person_hangs_up(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script(hang_up_after="answer"))
    await exchange.call(
        twiml="<Response><Pause length='6000'/></Response>", status_callback=f"{application.url}/status"
    )
    [end] = await phone
    assert end.status == "completed"
    [callback] = await application.wait_for("/status")
    assert callback.parameters["CallStatus"] == "completed"


async def test_phone_that_loses_its_connection_has_hung_up(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(
            twiml="<Response><Pause length='6000'/></Response>", status_callback=f"{application.url}/status"
        )
        await anext(phone)
        await phone.answer()
        await anext(phone)
    [callback] = await application.wait_for("/status")
    assert callback.parameters["CallStatus"] == "completed"


async def test_phone_in_a_call_is_busy_for_another(exchange: ExchangeUnderTest, application: Application) -> None:
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(twiml="<Response><Pause length='6000'/></Response>")
        await anext(phone)
        await phone.answer()
        await anext(phone)
        await exchange.call(twiml="<Response/>", status_callback=f"{application.url}/status")
        [callback] = await application.wait_for("/status")
        assert callback.parameters["CallStatus"] == "busy"


async def test_endless_redirection_ends_with_the_time_limit(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    application.answers["/loop"] = "<Redirect/>"
    phone = await pick_up(exchange, Script())
    await exchange.call(url=f"{application.url}/loop", time_limit=20)
    [end] = await phone
    assert end.status == "completed"
    assert len(application.received("/loop")) > 1
