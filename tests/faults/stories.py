"""The stories that are told in spite of every fault, each with the places at which a fault can fall into it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

from studio.states import CloneStatus
from telephony.exchange.protocol import Ringing, RingingStopped
from tests.faults.scene import Outcome, Scene
from tests.providers.elevenlabs.acts import error

READY = Outcome("READY", consents=1, made=1, living=1, kept=1, taken=1, deleted=1)
UNCERTAIN = Outcome("FAILED", "call_uncertain", rings=0)


@dataclass(frozen=True, eq=False)
class Story:
    """`happenings`: the effects and commits of it that no story before it has; a fault can fall before or after each.
    `otherwise`: where it ends in another way than it should."""

    name: str
    tell: Callable[[Scene], Awaitable[None]]
    outcome: Outcome
    happenings: Sequence[str]
    otherwise: dict[str, Outcome] = field(default_factory=dict)

    @property
    def places(self) -> list[str]:
        return [f"{side} {happening}" for happening, side in product(self.happenings, ("before", "after"))]

    def ends(self, place: str | None) -> Outcome:
        return self.otherwise.get(place or "", self.outcome)


async def _cloned(scene: Scene) -> None:
    await scene.begin()
    await _call(scene)


async def _refused(scene: Scene) -> None:
    """The provider has no room for another voice, which shows only when it is asked to make one."""
    scene.stage.eleven.always("add", error(400, "voice_limit_reached"))
    await scene.begin()
    await _call(scene)


async def _canceled(scene: Scene) -> None:
    await scene.start_clone()
    await scene.caller.hears(Ringing)
    await scene.comes_to(CloneStatus.RINGING)
    await scene.begin()
    await scene.cancel_clone()
    assert (await scene.caller.hears(RingingStopped)).status == "canceled"


async def _voice_deleted(scene: Scene) -> None:
    await _call(scene)
    await scene.stage.at_rest()
    await scene.begin()
    await scene.delete_voice()


async def _account_deleted(scene: Scene) -> None:
    await _call(scene)
    await scene.stage.at_rest()
    await scene.begin()
    await scene.delete_account()


async def _call(scene: Scene) -> None:
    """From asking for a voice to the end of the clone, and of the call if there is one."""
    await scene.start_clone()
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(scene.caller.tells_the_story(scene.clone.code))
        if (await scene.is_over()).failure_code == "call_uncertain":
            telling.cancel()


STORIES = (
    Story(
        "cloned",
        _cloned,
        READY,
        (
            "request tokens",
            "request calls clones",
            "place 1",
            "place_call",
            "place 2",
            "webhook status INITIATED",
            "webhook status RINGING",
            "webhook answer",
            "webhook status IN_PROGRESS",
            "webhook consent",
            "webhook answered-by",
            "webhook take",
            "webhook review",
            "webhook recording completed",
            "fetch_recording",
            "judge 1",
            "judge 2",
            "judge 3",
            "webhook choice",
            "webhook status COMPLETED",
            "analyze 1",
            "analyze 2",
            "make_voice 1",
            "make_voice 2",
            "clone",
            "make_voice 3",
            "delete_recording",
            "leave_nothing 1",
        ),
        # The carrier was about to be asked, and it is not known that it was not: better no call than two.
        otherwise={"after place 1": UNCERTAIN, "before place_call": UNCERTAIN},
    ),
    Story(
        "refused",
        _refused,
        Outcome("FAILED", "provider_quota", consents=1, taken=1, deleted=1),
        ("forget_takes 1", "discard"),
    ),
    Story("canceled", _canceled, Outcome("CANCELED"), ("request clones", "hang_up", "webhook status CANCELED")),
    Story(
        "voice deleted",
        _voice_deleted,
        Outcome("READY", consents=1, made=1, taken=1, deleted=1),
        ("request voices", "delete_voice", "erase_voice 1", "erase_voice 2"),
    ),
    Story(
        "account deleted",
        _account_deleted,
        Outcome(None, made=1, deleted=1),
        ("request sessions tokens users", "erase_account 1", "erase_account 2", "erase_account 3"),
    ),
)
