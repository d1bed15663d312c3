"""The commands as they are typed: what they print, and how they say no."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from audio.wav import read_wav
from deadringer.say import SayError, say_there
from studio.tables import Artefact, Voice
from tests.api.service import running_service
from tests.providers.tone import ARTEFACT_KIND

ROOT = Path(__file__).parent.parent.parent
HERE = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("TWILIO_", "ELEVENLABS_", "DATABASE_", "SECRET_", "PORT"))
}


async def run(*arguments: str, **environment: str) -> tuple[int, str]:
    """The exit status of a command, and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deadringer", *arguments),
        cwd=ROOT,
        env={**HERE, "NO_COLOR": "1", "COLUMNS": "160", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()


async def test_help_names_every_command() -> None:
    status, printed = await run("--help")
    assert status == 0
    for command in ("serve", "doctor", "providers", "phone", "say", "demo"):
        assert command in printed


async def test_providers_are_listed_with_their_voices() -> None:
    status, printed = await run("providers")
    assert status == 0
    assert "clone, synthesize" in printed
    assert "local:af_heart" in printed


async def test_a_provider_that_cannot_be_reached_does_not_hide_the_others() -> None:
    status, printed = await run("providers", ELEVENLABS_API_KEY="sk_nobodys", ELEVENLABS_API_URL="http://127.0.0.1:1")
    assert status == 0
    assert "The voices of ElevenLabs cannot be listed" in printed
    assert "local:af_heart" in printed


async def test_the_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    well, healthy = await run("doctor", DATA_DIR=str(tmp_path))
    assert (well, "All that is needed is there" in healthy) == (0, True), healthy
    ill, printed = await run("doctor", DATA_DIR=str(tmp_path), TWILIO_ACCOUNT_SID="AC" + "0" * 32)
    assert ill == 1
    assert "TWILIO_AUTH_TOKEN" in printed
    ill, printed = await run("doctor", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", SECRET_KEY="x" * 40)
    assert ill == 1
    assert "cannot be reached" in printed


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["serve"], {"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL: must begin with"),
        (["serve", "--no-exchange"], {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32}, "half configured"),
        (["say", "hello", "--voice", "local:nobody"], {}, "has no voice 'nobody'"),
        (["say", "hello", "--voice", "none:x"], {}, "No provider 'none'"),
        (["say", "hello", "--token", "dr_x"], {}, "Name it: --voice"),
        (["say", "hello", "--voice", "Me", "--token", "dr_x", "--server", "http://127.0.0.1:1"], {}, "127.0.0.1:1"),
        (["phone", "--exchange", "http://127.0.0.1:1", "--keys", "1"], {}, "127.0.0.1:1"),
        (["phone", "--say", "README.md"], {}, "README.md"),
    ],
)
async def test_what_cannot_be_done_is_said_in_words(
    arguments: list[str], environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    status, printed = await run(*arguments, DATA_DIR=str(tmp_path), **environment)
    assert status == 2, printed
    assert words in printed
    assert "Traceback" not in printed


async def test_a_service_speaks_in_a_voice_of_ones_own(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        ann, bob = await service.person(), await service.person()
        artefact = Artefact(user_id=ann.id, provider="tone", kind=ARTEFACT_KIND, data=b"220.0")
        async with service.studio.database.transaction() as unit:
            unit.add(artefact)
            await unit.flush()
            clone = Voice(user_id=ann.id, name="Ann at home", provider="tone", clone_id="0", artefact_id=artefact.id)
            unit.add(clone)
        out = tmp_path / "speech.wav"
        await say_there(service.url, ann.token, "three short words", "Ann at home", out)
        assert read_wav(await asyncio.to_thread(out.read_bytes)).seconds > 0.2
        with pytest.raises(SayError, match="no voice 'Ann at home'"):
            await say_there(service.url, bob.token, "mine", "Ann at home", out)
        with pytest.raises(SayError):
            await say_there(service.url, "dr_wrong", "mine", "Ann at home", out)
