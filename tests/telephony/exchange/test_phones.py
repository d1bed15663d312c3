"""The phone protocol on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from telephony.exchange.app import listen
from telephony.exchange.phone import Phone, PhoneError
from telephony.exchange.protocol import (
    MAX_SOUND_BYTES,
    Answer,
    Decline,
    Ended,
    FromExchange,
    HangUp,
    PressKeys,
    Problem,
    Registered,
    Replaced,
    Ringing,
    decode_from_exchange,
)
from telephony.exchange.scripted import Script, run_script
from tests.telephony.exchange.harness import NUMBER, Application, ExchangeUnderTest, pick_up


@asynccontextmanager
async def wire(exchange: ExchangeUnderTest, number: str = NUMBER, **options: str) -> AsyncIterator[ClientConnection]:
    address = f"{exchange.url.replace('http', 'ws')}/phones/{number}"
    async with connect(address, proxy=None, additional_headers=options) as socket:
        yield socket


async def receive(socket: ClientConnection) -> FromExchange:
    async with asyncio.timeout(20):
        return decode_from_exchange(str(await socket.recv()))


async def problem_with(exchange: ExchangeUnderTest, frame: str | bytes) -> str:
    async with wire(exchange) as socket:
        assert isinstance(await receive(socket), Registered)
        await socket.send(frame)
        answer = await receive(socket)
        assert isinstance(answer, Problem)
        return answer.message


async def test_phone_is_told_its_number_and_the_speed(exchange: ExchangeUnderTest) -> None:
    async with wire(exchange) as socket:
        registered = await receive(socket)
    assert registered == Registered(number=NUMBER, speed=100)


async def test_ring_names_the_call_and_the_caller(exchange: ExchangeUnderTest) -> None:
    async with wire(exchange) as socket:
        await receive(socket)
        call = await exchange.call(twiml="<Response/>")
        assert await receive(socket) == Ringing(call_sid=call.sid, caller="+14155550100")


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ("not JSON", "no message that a phone can send"),
        ("[]", "no message that a phone can send"),
        ('{"event": "explode"}', "no message that a phone can send"),
        ('{"event": "keys", "keys": "12x"}', "no message that a phone can send"),
        ('{"event": "keys", "keys": ""}', "no message that a phone can send"),
        (Answer().encode(), "does not ring"),
        (Decline().encode(), "does not ring"),
        (PressKeys(keys="1").encode(), "in no call"),
        (HangUp().encode(), "in no call"),
        (b"\xff" * (MAX_SOUND_BYTES + 1), "at most 8000 bytes"),
    ],
)
async def test_what_makes_no_sense_is_ignored_with_a_word(
    exchange: ExchangeUnderTest, frame: str | bytes, problem: str
) -> None:
    assert problem in await problem_with(exchange, frame)


async def test_frame_of_absurd_size_ends_the_connection(exchange: ExchangeUnderTest) -> None:
    async with wire(exchange) as socket:
        await receive(socket)
        await socket.send("x" * 20_000_000)
        with pytest.raises(ConnectionClosed):
            await receive(socket)


async def test_sound_outside_a_recording_is_dropped(exchange: ExchangeUnderTest) -> None:
    async with wire(exchange) as socket:
        await receive(socket)
        await socket.send(b"\xff" * MAX_SOUND_BYTES)
        await socket.send(Answer().encode())
        assert isinstance(await receive(socket), Problem)  # of the answer; none of the sound


async def test_newer_phone_takes_the_number(exchange: ExchangeUnderTest) -> None:
    async with wire(exchange) as older, wire(exchange) as newer:
        await receive(older)
        await receive(newer)
        assert isinstance(await receive(older), Replaced)
        with pytest.raises(ConnectionClosed) as closed:
            await older.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4001
        await exchange.call(twiml="<Response/>")
        assert isinstance(await receive(newer), Ringing)


async def test_newer_phone_is_rung_instead(exchange: ExchangeUnderTest) -> None:
    async with wire(exchange) as older:
        await receive(older)
        await exchange.call(twiml="<Response/>", timeout=600)
        assert isinstance(await receive(older), Ringing)
        [end] = await run_script(exchange.url, NUMBER, Script())
    assert end.status == "completed"


async def test_answer_and_hang_up_in_one_breath(exchange: ExchangeUnderTest, application: Application) -> None:
    async with wire(exchange) as socket:
        await receive(socket)
        await exchange.call(
            twiml="<Response><Pause length='6000'/></Response>", status_callback=f"{application.url}/status"
        )
        await receive(socket)
        await socket.send(Answer().encode())
        await socket.send(HangUp().encode())
        while not isinstance(await receive(socket), Ended):
            pass
    [callback] = await application.wait_for("/status")
    assert callback.parameters["CallStatus"] == "completed"


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1:8000", "http://[::1]"])
async def test_pages_of_this_machine_may_be_phones(exchange: ExchangeUnderTest, origin: str) -> None:
    async with wire(exchange, Origin=origin) as socket:
        assert isinstance(await receive(socket), Registered)


@pytest.mark.parametrize("origin", ["https://example.com", "http://localhost.example.com", "null", ""])
async def test_pages_from_elsewhere_may_not_be_phones(exchange: ExchangeUnderTest, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with wire(exchange, Origin=origin):
            pass
    assert refused.value.response.status_code == 403


async def test_phone_with_a_malformed_number_is_refused(exchange: ExchangeUnderTest) -> None:
    with pytest.raises(PhoneError, match=r"\+14155550123"):
        async with Phone(exchange.url, "555-0123"):
            pass


async def test_phone_says_that_no_exchange_answers() -> None:
    closed, url = listen("127.0.0.1", 0)
    closed.close()
    with pytest.raises(PhoneError, match="no exchange answers"):
        async with Phone(url, NUMBER, connect_within=0):
            pass
    with pytest.raises(PhoneError, match=r"http://127\.0\.0\.1:8001"):
        async with Phone("localhost", NUMBER):
            pass


async def test_phone_says_that_something_else_answers(application: Application) -> None:
    with pytest.raises(PhoneError, match="refuses the number"):
        async with Phone(application.url, NUMBER):
            pass


async def test_phone_says_that_it_was_replaced(exchange: ExchangeUnderTest) -> None:
    older = await pick_up(exchange, Script())
    async with Phone(exchange.url, NUMBER):
        with pytest.raises(PhoneError, match="another phone"):
            await older


async def test_phone_says_that_it_was_not_rung(exchange: ExchangeUnderTest) -> None:
    with pytest.raises(PhoneError, match="did not ring"):
        await run_script(exchange.url, NUMBER, Script(), ring_within=0.01)


async def test_phone_has_the_keys_of_a_phone(exchange: ExchangeUnderTest) -> None:
    async with Phone(exchange.url, NUMBER) as phone:
        with pytest.raises(PhoneError, match="not '1a'"):
            await phone.press("1a")
