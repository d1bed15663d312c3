"""The list of voices, of both kinds."""

from __future__ import annotations

import pytest

from providers.contract import Capability, Transient
from providers.manager import ProviderRegistry
from studio.mistakes import Mistake, MistakeCode
from studio.studio import Studio
from studio.tables import User, Voice, now
from studio.voices import VoiceOrigin
from tests.providers.tone import ToneProvider
from tests.studio.people import new_voice
from tests.studio.troubles import fail_first


@pytest.fixture
def providers(provider: ToneProvider) -> ProviderRegistry:
    return ProviderRegistry({"tone": provider, "bells": ToneProvider("bells")})


@pytest.fixture
def studio(rows_only: Studio) -> Studio:
    return rows_only


async def test_cloned_voices_come_first_and_pages_cross_the_border(studio: Studio, user: User) -> None:
    cloned = [(await new_voice(studio, user)).id for _ in range(3)]
    expected = [*reversed(cloned), "tone:low", "tone:high", "bells:low", "bells:high"]
    for size in (1, 2, 3, 4, 7, 100):
        found: list[str] = []
        after = None
        while True:
            page = await studio.voices.page(user.id, None, None, size, after)
            assert len(page.items) <= size
            found += [view.key for view in page.items]
            if not page.has_next:
                break
            after = page.cursor_of(page.items[-1])
        assert found == expected, f"in pages of {size}"


async def test_voices_of_one_provider_or_capability(studio: Studio, user: User) -> None:
    await new_voice(studio, user)
    bells = await studio.voices.page(user.id, None, "bells", 10, None)
    assert [(view.key, view.origin) for view in bells.items] == [
        ("bells:low", VoiceOrigin.BUILT_IN),
        ("bells:high", VoiceOrigin.BUILT_IN),
    ]
    assert (await studio.voices.page(user.id, Capability.CONVERSE, None, 10, None)).items == []
    assert (await studio.voices.page(user.id, None, "nobody", 10, None)).items == []
    assert len((await studio.voices.page(user.id, Capability.SYNTHESIZE, None, 10, None)).items) == 5


async def test_cursors_that_are_not_ours(studio: Studio, user: User) -> None:
    for cursor in ("b.", "b.garbage", "b.dG9uZTpsb3N0", "garbage"):
        with pytest.raises(Mistake) as caught:
            await studio.voices.page(user.id, None, None, 10, cursor)
        assert caught.value.code is MistakeCode.INVALID, cursor


async def test_a_provider_that_cannot_say_does_not_hide_the_others(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_first(monkeypatch, provider, "voices", Transient("not now"))
    page = await studio.voices.page(user.id, None, None, 10, None)
    assert [view.key for view in page.items] == ["bells:low", "bells:high"]
    fail_first(monkeypatch, provider, "voices", Transient("not now"))
    with pytest.raises(Mistake) as caught:
        await studio.voices.speakable(user.id, "tone:low")
    assert caught.value.code is MistakeCode.NOT_CONFIGURED


async def test_many_at_once(
    studio: Studio, user: User, provider: ToneProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, other = await new_voice(studio, user), await new_voice(studio, user)
    keys = [voice.id, "bells:high", "tone:low", "tone:lost", "nobody:low", "\0"]
    found = await studio.voices.many(user.id, keys)
    assert {view.key for view in found} == {voice.id, "bells:high", "tone:low"}
    async with studio.database.transaction() as unit:
        (await unit.get_one(Voice, voice.id)).deleted_at = now()
    fail_first(monkeypatch, provider, "voices", Transient("not now"))
    found = await studio.voices.many(user.id, [*keys, other.id])
    assert {view.key for view in found} == {other.id, "bells:high"}


async def test_renaming(studio: Studio, user: User) -> None:
    voice = await new_voice(studio, user)
    assert (await studio.voices.rename(user.id, voice.id, " My\n own ")).name == "My own"
    found = await studio.voices.find(user.id, voice.id)
    assert found is not None
    assert found.name == "My own"
    async with studio.database.transaction() as unit:
        (await unit.get_one(Voice, voice.id)).deleted_at = now()
    with pytest.raises(Mistake) as caught:
        await studio.voices.rename(user.id, voice.id, "Gone")
    assert caught.value.code is MistakeCode.NOT_FOUND


async def test_a_voice_whose_provider_was_removed(studio: Studio, user: User, providers: ProviderRegistry) -> None:
    voice = await new_voice(studio, user)
    del providers.providers["tone"]
    assert await studio.voices.find(user.id, voice.id) is not None
    with pytest.raises(Mistake) as caught:
        await studio.voices.speakable(user.id, voice.id)
    assert caught.value.code is MistakeCode.NOT_CONFIGURED
