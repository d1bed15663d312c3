"""Every story, with a fault at every place: each combination is a test of its own, but the stories are told at the same
time, on a few stages. A test waits for its story and judges it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from audio.pcm import Pcm
from tests.faults.scene import Blow, scene_on
from tests.faults.stage import Stage
from tests.faults.stories import STORIES, Story
from tests.faults.ways import REPLACED, RESTARTED, SUSPENDED, SUSPENDED_FOR_20_S, Way

WAYS = (RESTARTED, REPLACED, SUSPENDED, SUSPENDED_FOR_20_S)
EFFECTS = ("place_call", "fetch_recording", "clone", "delete_recording", "delete_voice", "discard", "hang_up")
"""What the last of these ways, which takes so long, is tried with."""


@dataclass(frozen=True)
class Case:
    way: Way
    story: Story
    place: str

    def __str__(self) -> str:
        return f"{self.way}: {self.story.name}, {self.place}"


CASES = [
    Case(way, story, place)
    for way in WAYS
    for story in STORIES
    for place in story.places
    if way is not SUSPENDED_FOR_20_S or place.partition(" ")[2] in EFFECTS
]
Results = Mapping[Case, "asyncio.Future[None]"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def results(
    request: pytest.FixtureRequest,
    patient_exchange: str,
    long_speech: Pcm,
    postgres: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Results]:
    """How the cases that were chosen turn out."""
    functions = [item for item in request.session.items if isinstance(item, pytest.Function)]
    chosen: Sequence[Any] = [item.callspec.params["case"] for item in functions if "case" in item.fixturenames]
    results = {case: asyncio.get_running_loop().create_future() for case in chosen}
    workers = []
    for way in WAYS:
        left = deque(case for case in chosen if case.way is way)
        for _ in range(min(way.stages, len(left))):
            folders = partial(tmp_path_factory.mktemp, "stage")
            telling = _tell_all(left, results, patient_exchange, long_speech, postgres, folders)
            workers.append(asyncio.create_task(telling))
    yield results
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


async def test_all_places_are_known(patient_exchange: str, long_speech: Pcm, postgres: str, tmp_path: Path) -> None:
    """A new effect or commit has to be added to a story, so that it is tried with faults."""
    known: set[str] = set()
    async with RESTARTED.stage(patient_exchange, postgres, tmp_path) as stage:
        for story in STORIES:
            async with scene_on(stage, long_speech) as scene:
                await story.tell(scene)
                assert await scene.outcome() == story.outcome
                assert set(scene.passed) - known == set(story.places) - known, story.name
                known |= set(story.places)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_fault(results: Results, case: Case) -> None:
    await results[case]


async def _tell_all(
    left: deque[Case], results: Results, exchange: str, said: Pcm, postgres: str, new_folder: Callable[[], Path]
) -> None:
    """Take one case after the other. A stage that has seen trouble is left for a new one."""
    while left:
        case = left.popleft()
        try:
            async with case.way.stage(exchange, postgres, new_folder()) as stage:
                while True:
                    await _tell(case, stage, said)
                    results[case].set_result(None)
                    if not left:
                        break
                    case = left.popleft()
        except Exception as trouble:
            if not results[case].done():
                results[case].set_exception(trouble)


async def _tell(case: Case, stage: Stage, said: Pcm) -> None:
    async with scene_on(stage, said, Blow(case.place, case.way.fault, case.way.seconds)) as scene:
        await case.story.tell(scene)
        assert await scene.outcome() == case.story.ends(case.place)
        await scene.recovered()
        assert await scene.outcome() == case.story.ends(case.place), "what was hit did something more"
