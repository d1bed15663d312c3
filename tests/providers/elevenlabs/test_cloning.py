"""Cloning through the real SDK: one voice for each label, whatever happens to the requests."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from audio.pcm import Pcm
from providers.contract import Artefact, AtCapacity, CloneRequest, Refused, Transient
from providers.elevenlabs.clones import ARTEFACT_KIND, Patience
from providers.elevenlabs.provider import ElevenLabsProvider
from tests.providers.elevenlabs.acts import LOST, TRUNCATED, Act, body, error, late
from tests.providers.elevenlabs.conftest import LABEL, PATIENCE, MakeProvider
from tests.providers.elevenlabs.standin import StandIn

IMPATIENT = replace(PATIENCE, appearing=0.0)


def made_of(voice_id: str) -> Artefact:
    return Artefact(ARTEFACT_KIND, voice_id.encode())


async def test_a_voice_is_made_of_the_recording(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    voice = await provider.clone(request_)
    [made] = eleven.made
    assert voice.artefact == made_of(made.voice_id)
    assert voice.notes == ()
    assert (made.name, made.label) == ("Ann", LABEL)
    assert LABEL in (made.description or "")
    [form] = [request.content for request in eleven.of("add")]
    assert form["remove_background_noise"] == "false"
    samples, rate = soundfile.read(io.BytesIO(made.audio))
    assert (rate, samples.ndim) == (8000, 1)
    assert 15 < len(samples) / rate <= request_.recording.seconds
    assert np.abs(samples).max() <= 10 ** (-3 / 20) + 1e-3


async def test_a_long_name_is_cut(eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest) -> None:
    await provider.clone(replace(request_, name="n" * 300))
    assert eleven.made[0].name == "n" * 100


async def test_leave_is_asked_for_right_before_and_only_before_the_voice_is_made(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    asked: list[int] = []

    async def permit() -> None:
        asked.append(len(eleven.received))

    await provider.clone(replace(request_, permit=permit))
    routes = [request.route for request in eleven.received]
    assert asked == [routes.index("add")]


async def test_without_leave_no_voice_is_made(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    async def permit() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await provider.clone(replace(request_, permit=permit))
    assert eleven.of("add") == []


async def test_too_little_speech_is_refused_before_anything_is_sent(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    for recording in (request_.recording.cut(0.0, 6.0), Pcm.silence(30.0, 8000)):
        with pytest.raises(Refused, match="seconds of speech"):
            await provider.clone(replace(request_, recording=recording))
    assert eleven.received == []


async def test_verification_that_is_wanted_is_told(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    eleven.wants_verification = True
    for lost in (Act(), LOST):
        eleven.script("add", lost)
        [note] = (await provider.clone(replace(request_, label=LABEL[::-1] if lost.lost else LABEL))).notes
        assert "Verify" in note
        assert "elevenlabs.io/app/voice-lab" in note


# ── answers that do not arrive ───────────────────────────────────────────────


@pytest.mark.parametrize(
    "act",
    [
        LOST,
        TRUNCATED,
        Act(answer=(b"{}", "application/json")),
        Act(answer=(b'{"voice_id": ', "application/json")),
        Act(answer=(b"[]", "application/json")),
        Act(answer=(b"<html>", "text/html")),
        late(3, lost=True),
    ],
    ids=["lost", "truncated", "empty", "half", "list", "page", "late"],
)
async def test_a_voice_whose_answer_is_lost_is_found(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest, act: Act
) -> None:
    eleven.script("add", act)
    voice = await provider.clone(request_)
    [made] = eleven.made
    assert voice.artefact == made_of(made.voice_id)


async def test_a_slow_answer_is_given_up_and_the_voice_found(
    eleven: StandIn, make: MakeProvider, request_: CloneRequest
) -> None:
    eleven.gates["add"].after.hold()
    voice = await make(replace(PATIENCE, creating=0.5)).clone(request_)
    assert voice.artefact == made_of(eleven.made[0].voice_id)
    assert len(eleven.of("add")) == 1


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_an_error_of_the_server_is_no_proof_that_nothing_was_made(
    eleven: StandIn, make: MakeProvider, request_: CloneRequest, status: int
) -> None:
    provider = make(IMPATIENT)
    eleven.script("add", body(status, b"<html>bad gateway</html>"))
    with pytest.raises(Transient):
        await provider.clone(request_)
    assert len(eleven.of("add")) == 1  # nothing is repeated by itself
    looks = [request.route for request in eleven.received].count("search")
    assert looks >= 2  # before, and after


async def test_what_could_not_be_sent_needs_no_looking_for(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    eleven.script("add", error(429, "system_busy", retry_after=7))
    with pytest.raises(AtCapacity) as caught:
        await provider.clone(request_)
    assert caught.value.retry_after == 7.0
    assert [request.route for request in eleven.received] == ["search", "add"]


async def test_a_second_try_finds_a_voice_that_appears_late(
    eleven: StandIn, make: MakeProvider, request_: CloneRequest
) -> None:
    eleven.script("add", late(3, lost=True))
    with pytest.raises(Transient):
        await make(IMPATIENT).clone(request_)
    voice = await make().clone(replace(request_, tried_before=True))
    [made] = eleven.made
    assert voice.artefact == made_of(made.voice_id)


async def test_a_second_try_makes_a_voice_if_the_first_made_none(
    eleven: StandIn, make: MakeProvider, request_: CloneRequest
) -> None:
    await make(replace(PATIENCE, appearing=0.2)).clone(replace(request_, tried_before=True))
    assert len(eleven.made) == 1
    assert len(eleven.of("search")) >= 3  # it was given time to appear


async def test_looking_goes_on_after_a_look_that_failed(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    kept = eleven.keep(LABEL)
    eleven.script("search", body(200, b"<html>"), Act(answer=(b"{}", "application/json")))
    voice = await provider.clone(replace(request_, tried_before=True))
    assert voice.artefact == made_of(kept.voice_id)
    assert eleven.made == []


async def test_a_voice_on_a_later_page_is_found(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    for number in range(150):
        eleven.keep(f"another {number}")
    kept = eleven.keep(LABEL)
    assert (await provider.clone(request_)).artefact == made_of(kept.voice_id)


async def test_a_voice_whose_labels_were_dropped_is_known_by_its_description(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    first = await provider.clone(request_)
    eleven.made[0].labels.clear()
    assert await provider.clone(request_) == first


# ── several at once ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("seconds_between", [0, 1])
async def test_two_who_race_end_with_the_same_voice(
    eleven: StandIn, make: MakeProvider, request_: CloneRequest, seconds_between: int
) -> None:
    eleven.seconds_between = seconds_between
    """Both have looked before either has made its voice, and both voices are made before either looks again."""
    eleven.gates["add"].before.hold()
    eleven.gates["add"].after.hold()
    racing = [asyncio.create_task(make().clone(request_)) for _ in range(2)]
    await eleven.until(lambda: len(eleven.of("add")) == 2)
    eleven.gates["add"].before.open()
    await eleven.until(lambda: len(eleven.made) == 2)
    eleven.gates["add"].after.open()
    one, other = await asyncio.gather(*racing)
    assert one.artefact == other.artefact
    assert [voice.voice_id for voice in eleven.clones] == [one.artefact.data.decode()]


async def test_who_comes_late_keeps_the_voice_that_is_there(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    """It was suspended between looking and making, and another has made the voice meanwhile."""
    eleven.gates["add"].before.hold()
    slow = asyncio.create_task(provider.clone(request_))
    await eleven.gates["add"].before.reached()
    kept = eleven.keep(LABEL)
    eleven.gates["add"].before.open()
    assert (await slow).artefact == made_of(kept.voice_id)
    assert eleven.clones == [kept]


async def test_a_voice_of_another_clone_is_let_alone(
    eleven: StandIn, provider: ElevenLabsProvider, request_: CloneRequest
) -> None:
    other = eleven.keep(LABEL[::-1])
    voice = await provider.clone(request_)
    assert voice.artefact != made_of(other.voice_id)
    assert eleven.deleted == []


# ── deleting ─────────────────────────────────────────────────────────────────


async def test_a_voice_is_deleted_and_may_be_gone_already(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    kept = eleven.keep(LABEL)
    await provider.delete_voice(made_of(kept.voice_id))
    assert eleven.deleted == [kept.voice_id]
    await provider.delete_voice(made_of(kept.voice_id))
    eleven.script("delete", error(404, "voice_not_found"))
    await provider.delete_voice(made_of(kept.voice_id))


async def test_a_deletion_whose_answer_is_lost_can_be_tried_again(
    eleven: StandIn, provider: ElevenLabsProvider
) -> None:
    kept = eleven.keep(LABEL)
    eleven.script("delete", LOST)
    with pytest.raises(Transient):
        await provider.delete_voice(made_of(kept.voice_id))
    await provider.delete_voice(made_of(kept.voice_id))
    assert eleven.clones == []


async def test_what_is_no_voice_of_theirs_is_refused(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    for artefact in (Artefact("kokoro-style", b"x"), made_of("../user"), made_of("")):
        with pytest.raises(Refused):
            await provider.delete_voice(artefact)
    assert eleven.received == []


async def test_what_a_clone_left_is_discarded_even_if_it_appears_late(eleven: StandIn, make: MakeProvider) -> None:
    other = eleven.keep(LABEL[::-1])
    eleven.keep(LABEL)
    eleven.keep(LABEL, hidden_for=2)
    await make(Patience(appearing=2.0)).discard(LABEL)
    assert eleven.clones == [other]


async def test_discarding_nothing_is_no_error(make: MakeProvider) -> None:
    await make(IMPATIENT).discard(LABEL)
