"""Random stories of a clone: whatever callers, carrier, provider, users and dying processes do, in whatever order, no
step is taken that is not allowed, and no effect is lost or had twice.

A story is played against the real service: its webhooks with their signatures, its workflows, its database. What is
random in it is drawn before it begins; what the threads of the service do meanwhile is not, so that a story that fails
once in a while is a race.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given

from tests.properties.commands import (
    ChangePhone,
    Close,
    Command,
    Deed,
    DeleteAccount,
    Do,
    GoOn,
    HangUp,
    InterruptAt,
    Kill,
    OpenAll,
    Press,
    ProviderFails,
    Repeat,
    Report,
    SpeakAndVanish,
    Suspect,
    Upload,
    Wait,
    stories,
)
from tests.properties.search import real
from tests.properties.world import World
from tests.telephony.calls import make_empty_studio


@pytest.fixture(scope="session")
def empty_studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    asyncio.run(make_empty_studio(folder))
    return folder


async def play(story: list[Command], data: Path) -> None:
    async with World(data) as world:
        for command in story:
            await command.act(world)
            await world.moment()
            world.check()
        await world.end()


# Stories in which each of the guards is needed; few lists of commands that are drawn are as mean as these.
@example([GoOn(3), Repeat(1), GoOn(6), Repeat(3)])
@example([GoOn(2), Press("9"), Press("9"), Press("9"), HangUp(), GoOn(2)])
@example([InterruptAt("after placing", 1, Kill()), Report(0), GoOn(6)])
@example([InterruptAt("after cloning", 8, Kill()), Wait(40), Do(Deed.DELETE_VOICE)])
@example([GoOn(9), Wait(40), Do(Deed.CANCEL), GoOn(4), Do(Deed.CANCEL)])
@example([InterruptAt("before cloning", 8, Suspect()), DeleteAccount()])
@example([Close("after cloning"), GoOn(8), Do(Deed.CANCEL), Kill(), OpenAll(), Do(Deed.RETRY)])
@example([Close("after cloning"), GoOn(8), Wait(20), Do(Deed.CANCEL), OpenAll()])
@example([GoOn(3), SpeakAndVanish(), Wait(15), Repeat(0)])
@example([GoOn(8), ChangePhone(), ProviderFails("before cloning", "Refused", 1), GoOn(9), Do(Deed.RETRY)])
# A story that once went wrong: the clone that is tried again has its recording cleaned again.
@example([ProviderFails("before cloning", "Refused", 1), Upload(), Wait(60), Do(Deed.RETRY)])
@given(stories)
@real
def test_no_story_loses_or_doubles_anything(empty_studio: Path, story: list[Command]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = shutil.copytree(empty_studio, Path(folder) / "data")
        asyncio.run(play(story, data))
