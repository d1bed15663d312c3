"""An answer that comes when nobody waits for it any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio.pcm import Pcm
from tests.faults.failpoints import Fault
from tests.faults.front import reached
from tests.faults.scene import Blow, scene_on
from tests.faults.stories import READY
from tests.faults.ways import REPLACED, RESTARTED, SUSPENDED, Way


@pytest.mark.parametrize("way", [RESTARTED, REPLACED, SUSPENDED], ids=str)
async def test_of_the_provider(
    way: Way, patient_exchange: str, long_speech: Pcm, postgres: str, tmp_path: Path
) -> None:
    """It has made the voice, and whoever asked for it is hit before it hears so: the next one finds it there."""
    async with (
        way.stage(patient_exchange, postgres, tmp_path) as stage,
        scene_on(stage, long_speech, Blow(None, way.fault)) as scene,
    ):
        answering = stage.eleven.gates["add"].after
        answering.hold()
        await scene.start_clone()
        await scene.caller.tells_the_story(scene.clone.code)
        await reached(answering)
        await scene.begin()
        answering.open()
        await scene.is_over()
        assert await scene.outcome() == READY
        await scene.recovered()
        assert await scene.outcome() == READY
        assert len(stage.eleven.of("add")) == 1


@pytest.mark.parametrize("webhook", ["answer", "consent", "take", "choice"])
async def test_of_the_service(
    webhook: str, patient_exchange: str, long_speech: Pcm, postgres: str, tmp_path: Path
) -> None:
    """A process has committed what a webhook says, and is killed before it answers: the carrier asks again, another
    process, and gets the answer that was stored."""
    async with (
        REPLACED.stage(patient_exchange, postgres, tmp_path) as stage,
        scene_on(stage, long_speech, Blow(f"after webhook {webhook}", Fault.KILLED)) as scene,
    ):
        await scene.begin()
        await scene.start_clone()
        await scene.caller.tells_the_story(scene.clone.code)
        assert await scene.outcome() == READY
        await scene.recovered()
        [(stored,)] = await stage.rows.of("SELECT answer FROM received_webhooks WHERE kind = :kind", kind=webhook)
        [delivered] = [each for each in stage.balancer.deliveries.values() if each.path.endswith(f"/{webhook}")]
        assert [answer.status_code for answer in delivered.answers] == [502, 200]
        assert delivered.answers[-1].body == stored.encode()
        assert stage.logs.count("webhook.repeated") == 1
