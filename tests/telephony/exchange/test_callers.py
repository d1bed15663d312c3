"""The person at the phone: scripted, and by hand in a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from audio.wav import write_wav
from telephony.exchange.by_hand import run_by_hand
from telephony.exchange.narration import describe
from telephony.exchange.phone import PhoneError
from telephony.exchange.protocol import FromExchange, FromPhone
from telephony.exchange.scripted import HangUpPoint, Script
from tests.telephony.exchange.harness import NUMBER, WITHIN, Application, ExchangeUnderTest, pick_up
from tests.telephony.exchange.test_record import SENTENCE

CONSENT = "<Gather numDigits='1' action='/agreed'><Say>Press 1 to agree.</Say></Gather><Say>Goodbye.</Say>"


def clone_story(application: Application) -> str:
    """Agree, speak, keep: the shape of the calls that this exchange is for."""
    application.answers |= {
        "/voice": CONSENT,
        "/agreed": "<Say>Speak after the beep.</Say><Record action='/recorded' timeout='10'/>",
        "/recorded": "<Gather numDigits='1' action='/kept'><Say>Press 1 to keep it.</Say></Gather>",
        "/kept": "<Say>Thank you.</Say>",
    }
    return f"{application.url}/voice"


def digits(application: Application) -> dict[str, str | None]:
    return {webhook.path: webhook.parameters.get("Digits") for webhook in application.webhooks}


async def test_keys_are_pressed_where_a_person_would(exchange: ExchangeUnderTest, application: Application) -> None:
    heard: list[FromExchange | FromPhone] = []
    phone = await pick_up(exchange, Script(keys=("1", "2", "3"), speech=(SENTENCE,)), heard=heard)
    await exchange.call(url=clone_story(application))
    await phone
    assert digits(application) == {"/voice": None, "/agreed": "1", "/recorded": "2", "/kept": "3"}
    told = [line for message in heard if (line := describe(message)) is not None]
    # Exchange and phone speak over each other: only the order of what one of them does is sure.
    assert [line for line in told if line.startswith("Pressing")] == ["Pressing 1", "Pressing 2", "Pressing 3"]
    assert [line for line in told if line.startswith("Voice")] == [
        "Voice: Press 1 to agree.",
        "Voice: Speak after the beep.",
        "Voice: Press 1 to keep it.",
        "Voice: Thank you.",
    ]
    assert told[0] == "Ringing: a call from +14155550100"
    assert "(a key was pressed)" in next(line for line in told if line.startswith("Recorded"))
    assert told[-1].startswith("Call over after")


async def test_empty_item_presses_nothing_at_its_place(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script(keys=("1", "", "3"), speech=(SENTENCE,)))
    await exchange.call(url=clone_story(application))
    await phone
    assert digits(application) == {"/voice": None, "/agreed": "1", "/recorded": None, "/kept": "3"}


async def test_caller_without_keys_presses_none(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script())
    await exchange.call(url=clone_story(application))
    await phone
    assert digits(application) == {"/voice": None}


@pytest.mark.parametrize(
    ("point", "asked"),
    [
        ("answer", {"/voice": None}),
        ("consent", {"/voice": None, "/agreed": "1"}),
        ("speaking", {"/voice": None, "/agreed": "1", "/recorded": "hangup"}),
        ("recording", {"/voice": None, "/agreed": "1", "/recorded": "2"}),
    ],
)
async def test_caller_hangs_up_at_each_point(
    exchange: ExchangeUnderTest, application: Application, point: HangUpPoint, asked: dict[str, str | None]
) -> None:
    script = Script(keys=("1", "2", "3"), speech=(SENTENCE,), hang_up_after=point)
    phone = await pick_up(exchange, script)
    await exchange.call(url=clone_story(application), status_callback=f"{application.url}/status")
    await phone
    await application.wait_for("/status")
    if "/recorded" in asked:
        await application.wait_for("/recorded")
    assert {path: keys for path, keys in digits(application).items() if path != "/status"} == asked


async def test_one_phone_takes_several_calls(exchange: ExchangeUnderTest, application: Application) -> None:
    phone = await pick_up(exchange, Script(keys=("1",)), calls=2)
    for calls in (1, 2):
        await exchange.call(url=clone_story(application), status_callback=f"{application.url}/status")
        await application.wait_for("/status", calls)
    assert [end.status for end in await phone] == ["completed", "completed"]
    assert [webhook.parameters["Digits"] for webhook in application.received("/agreed")] == ["1", "1"]


class Terminal:
    """Types a line when another has appeared."""

    def __init__(self, *story: tuple[str, str]) -> None:
        self._story = list(story)
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self.shown: list[str] = []
        self.is_on = asyncio.Event()

    def show(self, line: str) -> None:
        self.shown.append(line)
        self.is_on.set()
        if self._story and self._story[0][0] in line:
            self._lines.put_nowait(self._story.pop(0)[1])

    async def commands(self) -> AsyncIterator[str]:
        while True:
            async with asyncio.timeout(WITHIN):
                line = await self._lines.get()
            yield line


async def by_hand(exchange: ExchangeUnderTest, terminal: Terminal) -> None:
    await run_by_hand(exchange.url, NUMBER, commands=terminal.commands(), show=terminal.show)


async def test_call_by_hand(exchange: ExchangeUnderTest, application: Application, tmp_path: Path) -> None:
    file = tmp_path / "a sentence.wav"
    file.write_bytes(write_wav(SENTENCE))
    terminal = Terminal(
        ("Ringing", "answer"),
        ("Waiting for keys", "1"),
        ("Recording: speak now", f"say {file}"),
        ("Spoken", "5"),
        ("Waiting for keys", "1"),
        ("Call over", "quit"),
    )
    person = asyncio.create_task(by_hand(exchange, terminal))
    await exchange.call(url=clone_story(application))
    await person
    assert digits(application) == {"/voice": None, "/agreed": "1", "/recorded": "5", "/kept": "1"}
    assert terminal.shown[0] == f"This is the phone {NUMBER}. Waiting for a call."


async def test_mistakes_by_hand_are_explained(exchange: ExchangeUnderTest) -> None:
    terminal = Terminal(
        ("This is the phone", "jump"),
        ("answer  ", "say /no/such/file.wav"),
        ("/no/such/file.wav cannot be spoken: No such file", "answer"),
        ("does not ring", "1"),
        ("in no call", "say tests/telephony/__init__.py"),
        ("is not a WAV or FLAC file", "quit"),
    )
    terminal.show("answer  ")  # the help that is shown first
    await by_hand(exchange, terminal)


async def test_declining_by_hand(exchange: ExchangeUnderTest) -> None:
    terminal = Terminal(("Ringing", "decline"), ("declined", "quit"))
    person = asyncio.create_task(by_hand(exchange, terminal))
    await exchange.call(twiml="<Response/>", timeout=600)
    await person


async def test_answering_machine_by_hand(exchange: ExchangeUnderTest, application: Application) -> None:
    terminal = Terminal(("Ringing", "machine"), ("Call over", "quit"))
    person = asyncio.create_task(by_hand(exchange, terminal))
    await exchange.call(url=f"{application.url}/voice", machine_detection="Enable", timeout=600)
    await person
    assert application.received("/voice")[0].parameters["AnsweredBy"] == "machine_start"


async def test_hanging_up_by_hand(exchange: ExchangeUnderTest) -> None:
    terminal = Terminal(("Ringing", "answer"), ("In the call", "hang  up"), ("Call over", "quit"))
    person = asyncio.create_task(by_hand(exchange, terminal))
    await exchange.call(twiml="<Response><Pause length='6000'/></Response>", timeout=600)
    await person


async def test_phone_by_hand_ends_with_the_exchange(exchange: ExchangeUnderTest) -> None:
    terminal = Terminal()
    person = asyncio.create_task(by_hand(exchange, terminal))
    await terminal.is_on.wait()
    newer = await pick_up(exchange, Script())
    with pytest.raises(PhoneError, match="another phone"):
        await person
    newer.cancel()
