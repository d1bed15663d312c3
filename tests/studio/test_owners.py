"""What belongs to one user does not exist for another: for every method of the services that takes an owner."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from providers.contract import SpeechOptions
from studio.accounts import Accounts
from studio.calls import Calls
from studio.clones import Clones
from studio.mistakes import Mistake, MistakeCode
from studio.speech import Speech
from studio.states import AudioFormat, CloneStatus
from studio.studio import Studio
from studio.tables import Consent, User
from studio.voices import Voices
from tests.studio.people import new_take, new_user, new_voice, speech_over


class Belongings:
    """One of each thing that a user can own."""

    def __init__(self, owner: User) -> None:
        self.owner = owner

    async def acquire(self, studio: Studio) -> Belongings:
        self.clone = await new_take(studio, self.owner, CloneStatus.READY)
        self.voice = await new_voice(studio, self.owner)
        self.token, _ = await studio.accounts.create_token(self.owner.id, "x")
        started = await studio.speech.start(self.owner.id, self.voice.id, "one", AudioFormat.WAV, SpeechOptions())
        self.synthesis = await speech_over(studio, started)
        async with studio.database.transaction() as unit:
            unit.add(Consent(user_id=self.owner.id, clone_id=self.clone.id, how="pressed 1", wording="…"))
        (self.recording,) = await studio.clones.recordings(self.owner.id, [self.clone.id])
        assert self.clone.call_id is not None
        self.call_id = self.clone.call_id
        return self


# For each method: with whose eyes it looks at whose things. What it returns must be empty for others, or NOT_FOUND.
Look = Callable[[Studio, str, Belongings], Any]
LOOKS: dict[str, Look] = {
    "clones.get": lambda s, who, b: s.clones.get(who, b.clone.id),
    "clones.many": lambda s, who, b: s.clones.many(who, [b.clone.id]),
    "clones.page": lambda s, who, b: items(s.clones.page(who, 10, None)),
    "clones.follow": lambda s, who, b: first(s.clones.follow(who, b.clone.id)),
    "clones.consents": lambda s, who, b: s.clones.consents(who, [b.clone.id]),
    "clones.recordings": lambda s, who, b: s.clones.recordings(who, [b.clone.id]),
    "clones.recording": lambda s, who, b: s.clones.recording(who, b.recording.id),
    "calls.get": lambda s, who, b: s.calls.get(who, b.call_id),
    "calls.many": lambda s, who, b: s.calls.many(who, [b.call_id]),
    "calls.page": lambda s, who, b: items(s.calls.page(who, 10, None)),
    "calls.follow": lambda s, who, b: first(s.calls.follow(who, b.call_id)),
    "speech.get": lambda s, who, b: s.speech.get(who, b.synthesis.id),
    "speech.many": lambda s, who, b: s.speech.many(who, [b.synthesis.id]),
    "speech.page": lambda s, who, b: items(s.speech.page(who, 10, None)),
    "speech.follow": lambda s, who, b: first(s.speech.follow(who, b.synthesis.id)),
    "speech.start": lambda s, who, b: s.speech.start(who, b.voice.id, "two", AudioFormat.WAV, SpeechOptions()),
    "voices.find": lambda s, who, b: s.voices.find(who, b.voice.id),
    "voices.many": lambda s, who, b: s.voices.many(who, [b.voice.id]),
    "voices.speakable": lambda s, who, b: s.voices.speakable(who, b.voice.id),
    "voices.cloned": lambda s, who, b: items(s.voices.cloned(who, 10, None)),
    "voices.page": lambda s, who, b: own(items(s.voices.page(who, None, None, 10, None))),
    "voices.rename": lambda s, who, b: s.voices.rename(who, b.voice.id, "Mine"),
    "accounts.tokens": lambda s, who, b: s.accounts.tokens(who),
    "accounts.token": lambda s, who, b: s.accounts.token(who, b.token.id),
}
# What others must not do, and its owner can do but once or not in this state.
DEEDS: dict[str, Look] = {
    "clones.cancel": lambda s, who, b: s.clones.cancel(who, b.clone.id),
    "clones.retry": lambda s, who, b: s.clones.retry(who, b.clone.id),
    "calls.hang_up": lambda s, who, b: s.calls.hang_up(who, b.call_id),
    "speech.cancel": lambda s, who, b: s.speech.cancel(who, b.synthesis.id),
    "speech.delete": lambda s, who, b: s.speech.delete(who, b.synthesis.id),
    "voices.delete": lambda s, who, b: s.voices.delete(who, b.voice.id),
    "accounts.revoke_token": lambda s, who, b: s.accounts.revoke_token(who, b.token.id),
}
# These take an owner, and nothing that could be somebody else's.
HARMLESS = {
    "clones.start",
    "clones.from_audio",
    "accounts.create_token",
    "accounts.set_phone",
    "accounts.delete_account",
}


async def items(page: Awaitable[Any]) -> list[Any]:
    found: list[Any] = (await page).items
    return found


async def own(views: Awaitable[list[Any]]) -> list[Any]:
    """Without the built-in voices, which are everybody's."""
    return [view for view in await views if view.clone_id is not None]


async def first(followed: AsyncIterator[Any]) -> Any:
    async for item in followed:
        return item
    return None


async def sees(look: Awaitable[Any]) -> bool:
    try:
        return bool(await look)
    except Mistake as mistake:
        if mistake.code is MistakeCode.NOT_FOUND:
            return False
        raise


async def test_owners_see_what_is_theirs_and_nobody_else_does(studio: Studio) -> None:
    ada, eve = await new_user(studio), await new_user(studio)
    hers = await Belongings(ada).acquire(studio)
    for name, look in LOOKS.items():
        assert await sees(look(studio, ada.id, hers)), f"{name}: not for its owner"
        assert not await sees(look(studio, eve.id, hers)), f"{name}: for somebody else"
    for name, deed in DEEDS.items():
        with pytest.raises(Mistake) as caught:
            await deed(studio, eve.id, hers)
        assert caught.value.code is MistakeCode.NOT_FOUND, name
    assert await sees(studio.voices.find(ada.id, hers.voice.id))
    assert await sees(studio.speech.get(ada.id, hers.synthesis.id))
    assert await studio.accounts.token(ada.id, hers.token.id) is not None


async def test_ids_that_no_database_takes_are_not_found(studio: Studio, user: User) -> None:
    for nonsense in ("", "\0", "\ud800", "' OR 1=1 --", "x" * 100_000):
        assert await studio.clones.get(user.id, nonsense) is None
        assert await studio.clones.many(user.id, [nonsense]) == []
        assert await studio.clones.recording(user.id, nonsense) is None
        assert await studio.voices.find(user.id, nonsense) is None
        assert await studio.voices.find(user.id, f"tone:{nonsense}") is None
        for attempt in (
            studio.clones.cancel(user.id, nonsense),
            studio.clones.retry(user.id, nonsense),
            studio.calls.hang_up(user.id, nonsense),
            studio.speech.delete(user.id, nonsense),
            studio.voices.delete(user.id, nonsense),
        ):
            with pytest.raises(Mistake) as caught:
                await attempt
            assert caught.value.code is MistakeCode.NOT_FOUND


def test_no_method_is_forgotten() -> None:
    """Whatever takes an owner is listed above."""
    services = {"accounts": Accounts, "calls": Calls, "clones": Clones, "speech": Speech, "voices": Voices}
    with_owner = {
        f"{service}.{name}"
        for service, kind in services.items()
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and "owner" in inspect.signature(method).parameters
    }
    locked = {f"{service}.locked" for service in ("calls", "clones", "speech")}  # tested through what they lock for
    assert with_owner - locked == set(LOOKS) | set(DEEDS) | HARMLESS
