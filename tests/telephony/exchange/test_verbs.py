"""Prompts, gathering keys, and going from document to document."""

from __future__ import annotations

import asyncio

import numpy as np
from starlette.responses import Response

from audio.pcm import Pcm
from audio.wav import write_wav
from telephony.exchange.phone import Phone
from telephony.exchange.protocol import AwaitingKeys, Ended, FromExchange, Gathering, Played, Ringing, Said
from telephony.exchange.scripted import Script
from tests.telephony.exchange.harness import NUMBER, Application, ExchangeUnderTest, Webhook, pick_up

TONE = Pcm((0.3 * np.sin(2 * np.pi * 440 * np.arange(48000) / 24000)).astype(np.float32), 24000)


async def hear(phone: Phone) -> list[FromExchange | bytes]:
    """Answer, and all that follows up to the end of the call."""
    heard: list[FromExchange | bytes] = []
    async with asyncio.timeout(20):
        async for message in phone:
            heard.append(message)
            if isinstance(message, Ringing):
                await phone.answer()
            if isinstance(message, Ended):
                break
    return heard


def texts(heard: list[FromExchange | bytes]) -> list[str]:
    return [message.text for message in heard if isinstance(message, Said)]


async def test_say_takes_as_long_as_speech(exchange: ExchangeUnderTest) -> None:
    text = "A" * 300
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(twiml=f"<Response><Say voice='alice' language='en-GB'>{text}</Say></Response>")
        heard = await hear(phone)
    [said] = [message for message in heard if isinstance(message, Said)]
    assert said.seconds == 20.0
    end = heard[-1]
    assert isinstance(end, Ended)
    assert end.seconds >= 20.0


async def test_say_repeats_and_takes_text_out_of_markup(exchange: ExchangeUnderTest) -> None:
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(
            twiml="<Response><Say loop='3'>Ready &amp; <emphasis>set</emphasis>,\n  go</Say></Response>"
        )
        assert texts(await hear(phone)) == ["Ready & set, go"] * 3


async def test_play_sends_the_sound_and_fetches_it_once(exchange: ExchangeUnderTest, application: Application) -> None:
    def sound(webhook: Webhook) -> Response:
        if webhook.headers.get("if-none-match") == '"1"':
            return Response(status_code=304)
        return Response(write_wav(TONE), media_type="audio/wav", headers={"ETag": '"1"'})

    application.answers["/tone.wav"] = sound
    application.answers["/voice"] = "<Play>/tone.wav</Play><Play loop='2'>tone.wav</Play>"
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(url=f"{application.url}/voice")
        heard = await hear(phone)
    assert [message.seconds for message in heard if isinstance(message, Played)] == [2.0, 2.0, 2.0]
    pieces = [message for message in heard if isinstance(message, bytes)]
    assert sum(len(piece) for piece in pieces) == 3 * 16000
    assert len(set(pieces)) > 1
    fetched = application.received("/tone.wav")
    assert [webhook.method for webhook in fetched] == ["GET", "GET"]
    assert fetched[1].headers["if-none-match"] == '"1"'


async def test_what_is_no_wav_file_is_not_played(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/error"] = Response("<html>Not found</html>", media_type="text/html")
    application.answers["/broken"] = Response(b"RIFF....", media_type="audio/wav")
    for path in ("/error", "/broken"):
        async with Phone(exchange.url, NUMBER) as phone:
            await exchange.call(twiml=f"<Response><Play>{application.url}{path}</Play></Response>")
            end = (await hear(phone))[-1]
        assert isinstance(end, Ended)
        assert end.error_code == 12300


async def test_gathered_keys_go_to_the_action(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/menu/first"] = "<Gather numDigits='4' action='../code?try=1'><Say>Your code.</Say></Gather>"
    application.answers["/code"] = "<Say>Thank you.</Say>"
    phone = await pick_up(exchange, Script(keys=["4821"]))
    await exchange.call(url=f"{application.url}/menu/first")
    await phone
    [asked] = application.received("/code")
    assert asked.url.endswith("/code?try=1")
    assert asked.parameters["Digits"] == "4821"
    assert asked.parameters["FinishedOnKey"] == ""
    assert asked.parameters["CallStatus"] == "in-progress"
    assert asked.signed


async def test_finishing_key_ends_a_gathering_and_is_no_digit(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    phone = await pick_up(exchange, Script(keys=["12*34#5"]))
    await exchange.call(twiml=f"<Response><Gather action='{application.url}/code' method='GET'/></Response>")
    await phone
    [asked] = application.received("/code")
    assert (asked.method, asked.signed) == ("GET", True)
    assert (asked.parameters["Digits"], asked.parameters["FinishedOnKey"]) == ("12*34", "#")


async def test_without_a_finishing_key_every_key_is_a_digit(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    phone = await pick_up(exchange, Script(keys=["1#2*"]))
    gather = f"<Gather finishOnKey='' numDigits='4' action='{application.url}/code'/>"
    await exchange.call(twiml=f"<Response>{gather}</Response>")
    await phone
    assert application.received("/code")[0].parameters["Digits"] == "1#2*"


async def test_key_breaks_into_the_prompt(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/voice"] = "<Gather numDigits='1' action='/code'><Say loop='0'>Press 1.</Say></Gather>"
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(url=f"{application.url}/voice")
        async for message in phone:
            match message:
                case Ringing():
                    await phone.answer()
                case Said():
                    await phone.press("1")
                case AwaitingKeys():
                    raise AssertionError("the prompt went on to its end")
                case Ended():
                    break
    assert application.received("/code")[0].parameters["Digits"] == "1"


async def test_gathering_without_keys_falls_through(exchange: ExchangeUnderTest, application: Application) -> None:
    gather = f"<Gather timeout='2' action='{application.url}/code'><Say>Press.</Say></Gather>"
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(twiml=f"<Response>{gather}<Say>Nothing came.</Say></Response>")
        heard = await hear(phone)
    assert texts(heard) == ["Press.", "Nothing came."]
    [gathering] = [message for message in heard if isinstance(message, Gathering)]
    assert (gathering.num_digits, gathering.finish_on_key, gathering.timeout) == (None, "#", 2)
    assert application.received("/code") == []


async def test_finishing_key_alone_falls_through(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script(keys=["#"]))
    await exchange.call(twiml=f"<Response><Gather action='{application.url}/code'/></Response>")
    await phone
    assert application.received("/code") == []


async def test_gathering_without_keys_can_go_to_the_action(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    phone = await pick_up(exchange, Script())
    gather = f"<Gather timeout='1' actionOnEmptyResult='true' action='{application.url}/code'/>"
    await exchange.call(twiml=f"<Response>{gather}</Response>")
    await phone
    assert application.received("/code")[0].parameters["Digits"] == ""


async def test_hang_up_while_keys_are_awaited_asks_for_nothing_more(
    exchange: ExchangeUnderTest, application: Application
) -> None:
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(twiml=f"<Response><Gather timeout='600' action='{application.url}/code'/></Response>")
        async for message in phone:
            match message:
                case Ringing():
                    await phone.answer()
                case AwaitingKeys():
                    await phone.press("1")
                    await phone.hang_up()
                case Ended():
                    break
    assert application.webhooks == []


async def test_redirect_hangup_and_reject(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/a/first"] = "<Say>One.</Say><Redirect method='GET'>second?x=1</Redirect><Say>No.</Say>"
    application.answers["/a/second"] = "<Say>Two.</Say><Hangup/><Say>No.</Say>"
    application.answers["/reject"] = "<Reject/><Say>No.</Say>"
    async with Phone(exchange.url, NUMBER) as phone:
        await exchange.call(url=f"{application.url}/a/first")
        assert texts(await hear(phone)) == ["One.", "Two."]
        await exchange.call(url=f"{application.url}/reject")
        assert texts(await hear(phone)) == []
    [second] = application.received("/a/second")
    assert second.method == "GET"
    assert second.parameters["x"] == "1"
    assert second.signed


async def test_action_defaults_to_the_document_itself(exchange: ExchangeUnderTest, application: Application) -> None:
    application.answers["/voice"] = ["<Gather numDigits='1'/>", "<Hangup/>"]
    phone = await pick_up(exchange, Script(keys=["7"]))
    await exchange.call(url=f"{application.url}/voice?clone=3#rc=2")
    await phone
    first, second = application.received("/voice")
    assert "Digits" not in first.parameters
    assert second.parameters["Digits"] == "7"
    assert first.url == second.url
    assert first.url.endswith("/voice?clone=3")
