"""A phone in the terminal: a person reads what is said and types what to do."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from audio.wav import BadAudio, read_audio_file
from telephony.exchange.narration import describe
from telephony.exchange.phone import Phone, line_sound
from telephony.exchange.protocol import SAMPLE_RATE, Registered

HELP = """\
answer       pick up            decline     the caller finds the line busy
1, 4821, #   press keys         say FILE    speak a WAV or FLAC file into the running recording
hang up      end the call       quit        switch the phone off
machine      let an answering machine pick up"""


async def run_by_hand(
    url: str,
    number: str,
    *,
    commands: AsyncIterator[str] | None = None,
    show: Callable[[str], None] = print,
) -> None:
    """Be the phone `number` of the exchange at `url`, until the person quits or the commands end.

    `commands` are lines typed, by default those of standard input; `show` gets each line to be read.

    Raises:
        PhoneError: if the exchange cannot be reached or goes away, or another phone takes the number.
    """
    async with Phone(url, number) as phone:
        show(describe(Registered(number=number, speed=phone.speed)) or "")
        show(HELP)
        following = asyncio.create_task(_follow(phone, show))
        obeying = asyncio.create_task(_obey(phone, commands or standard_input(), show))
        try:
            await asyncio.wait([following, obeying], return_when=asyncio.FIRST_COMPLETED)
            (following if following.done() else obeying).result()
        finally:
            following.cancel()
            obeying.cancel()
            await asyncio.gather(following, obeying, return_exceptions=True)


async def _follow(phone: Phone, show: Callable[[str], None]) -> None:
    async for message in phone:
        words = None if isinstance(message, bytes) else describe(message)
        if words is not None:
            show(words)


async def _obey(phone: Phone, commands: AsyncIterator[str], show: Callable[[str], None]) -> None:
    speaking: asyncio.Task[None] | None = None
    try:
        async for line in commands:
            match line.split(maxsplit=1):
                case ["quit"]:
                    return
                case ["answer"]:
                    await phone.answer()
                case ["machine"]:
                    await phone.answer("machine")
                case ["decline"]:
                    await phone.decline()
                case ["hang", "up"]:
                    await phone.hang_up()
                case ["say", file]:
                    if speaking is not None:
                        speaking.cancel()
                    speaking = asyncio.create_task(_speak(phone, file, show))
                case [keys] if set(keys) <= set("0123456789*#") and len(keys) <= 64:
                    await phone.press(keys)
                case [_, *_]:
                    show(HELP)
    finally:
        if speaking is not None:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)


async def _speak(phone: Phone, file: str, show: Callable[[str], None]) -> None:
    try:
        sound = await asyncio.to_thread(lambda: line_sound(read_audio_file(Path(file).expanduser())))
    except (BadAudio, OSError, RuntimeError) as error:  # RuntimeError: nobody has the home that ~ means
        show(f"{file} cannot be spoken: {getattr(error, 'strerror', None) or error}")
        return
    show(f"Speaking for {len(sound) / SAMPLE_RATE:.1f} s")
    show("Spoken" if await phone.speak(sound) else "Nothing records what you say now")


async def standard_input() -> AsyncIterator[str]:
    """The lines of standard input, without white space around them, as they come."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue(16)

    def read() -> None:
        # Below Python's own buffer, whose lock would otherwise be held when the program ends.
        rest = b""
        while piece := os.read(sys.stdin.fileno(), 4096):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                asyncio.run_coroutine_threadsafe(lines.put(line.decode(errors="replace").strip()), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line
