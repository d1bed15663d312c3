"""Speech through the real SDK: streamed, stitched, kept under the account's limit, and stopped with its listener."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from audio.g711 import decode_mulaw, encode_mulaw
from audio.pcm import Pcm
from providers.contract import (
    Artefact,
    AtCapacity,
    Gone,
    NotConfigured,
    Refused,
    SpeechOptions,
    SpeechRequest,
    Transient,
)
from providers.elevenlabs.clones import ARTEFACT_KIND
from providers.elevenlabs.models import QUALITY, QUICK
from providers.elevenlabs.passages import passages
from providers.elevenlabs.provider import ElevenLabsProvider
from tests.providers.elevenlabs.acts import LOST, Act, body, error
from tests.providers.elevenlabs.conftest import LABEL, MakeProvider
from tests.providers.elevenlabs.standin import PREMADE, StandIn, spoken

SENTENCE = "All in all it was a day like any other, and nobody had expected it. "
LONG = SENTENCE * 60  # 40 s of the stand-in's speech


def said(text: str, voice: str | Artefact = PREMADE[0], **fields: Any) -> SpeechRequest:
    return SpeechRequest(text, voice, **fields)


async def heard(provider: ElevenLabsProvider, request: SpeechRequest) -> Pcm:
    return Pcm.join([piece async for piece in provider.synthesize(request)])


async def test_every_sample_arrives_in_order(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    pieces = [piece async for piece in provider.synthesize(said(SENTENCE))]
    assert len(pieces) > 1
    sound, whole = Pcm.join(pieces), spoken(PREMADE[0], SENTENCE.strip(), 24_000)
    assert sound.to_int16() == whole.to_int16()
    [asked] = eleven.of("speech")
    assert (asked.content["model_id"], asked.content["output_format"]) == (QUALITY.id, "pcm_24000")
    assert "voice_settings" not in asked.content


async def test_a_phone_gets_what_a_phone_carries(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    sound = await heard(provider, said(SENTENCE, phone=True))
    assert sound.rate == 8000
    assert np.array_equal(sound.samples, decode_mulaw(encode_mulaw(spoken(PREMADE[0], SENTENCE.strip(), 8000))).samples)
    [asked] = eleven.of("speech")
    assert (asked.content["model_id"], asked.content["output_format"]) == (QUICK.id, "ulaw_8000")


async def test_who_listens_live_gets_small_pieces_soon(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    pieces = [piece async for piece in provider.synthesize(said(SENTENCE, live=True, language="en-GB"))]
    assert max(piece.seconds for piece in pieces) <= 0.1
    [asked] = eleven.of("speech")
    assert (asked.content["model_id"], asked.content["language_code"]) == (QUICK.id, "en")


async def test_a_cloned_voice_speaks(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    kept = eleven.keep(LABEL)
    voice = Artefact(ARTEFACT_KIND, kept.voice_id.encode())
    sound = await heard(provider, said("Hello.", voice))
    assert sound.to_int16() == spoken(kept.voice_id, "Hello.", 24_000).to_int16()
    del eleven.voices[kept.voice_id]
    with pytest.raises(Gone):
        await heard(provider, said("Hello.", voice))


async def test_a_voice_that_wants_verification_does_not_speak(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    kept = eleven.keep(LABEL, wants_verification=True)
    with pytest.raises(Refused, match="Verify"):
        await heard(provider, said("Hello.", Artefact(ARTEFACT_KIND, kept.voice_id.encode())))


# ── options ──────────────────────────────────────────────────────────────────


async def test_speed_and_seed_are_passed_on(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    assert provider.speech_options == {"speed", "seed"}
    await heard(provider, said("Hello.", options=SpeechOptions(speed=1.2, seed=0)))
    [asked] = eleven.of("speech")
    assert asked.content["voice_settings"] == {"speed": 1.2}
    assert asked.content["seed"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (SpeechOptions(speed=0.69), "from 0.7 to 1.2"),
        (SpeechOptions(speed=1.21), "from 0.7 to 1.2"),
        (SpeechOptions(seed=-1), "from 0 to 4294967295"),
        (SpeechOptions(seed=2**32), "from 0 to 4294967295"),
        (SpeechOptions(temperature=0.5, top_p=0.5), "no temperature, top_p"),
    ],
)
async def test_what_they_cannot_do_is_refused_here(
    eleven: StandIn, provider: ElevenLabsProvider, options: SpeechOptions, words: str
) -> None:
    with pytest.raises(Refused, match=words):
        await heard(provider, said("Hello.", options=options))
    assert eleven.received == []


async def test_only_built_in_voices_are_spoken_by_their_key(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    """Otherwise everybody could speak with everybody's clone, or reach for another part of the API."""
    kept = eleven.keep(LABEL)
    for key in (kept.voice_id, "../../v1/user", ""):
        with pytest.raises(Refused, match="no built-in voice"):
            await heard(provider, said("Hello.", key))
    assert eleven.of("speech") == []


# ── long text ────────────────────────────────────────────────────────────────


async def test_long_text_is_stitched(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    text = (SENTENCE * 700).strip()  # 47,600 characters: five passages
    sound = await heard(provider, said(text))
    asked = [request.content for request in eleven.of("speech")]
    assert len(asked) == 5
    assert " ".join(part["text"] for part in asked) == text
    assert all(part["text"].endswith("it.") for part in asked)
    numbers = [part.get("previous_request_ids", []) for part in asked]
    assert [len(part) for part in numbers] == [0, 1, 2, 3, 3]
    assert numbers[4][:2] == numbers[3][1:]
    assert asked[0]["next_text"] == asked[1]["text"][:300]
    assert "next_text" not in asked[-1]
    assert sound.seconds == pytest.approx(sum(len(part["text"]) for part in asked) * 0.01)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two.", ["One. Two."]),
        ("  ", []),
        ("One two three. Four five, six seven.", ["One two three.", "Four five,", "six seven."]),
        ("One two.\n\nThree. Four five six.", ["One two.", "Three. Four", "five six."]),
        ("一二三四五六七八。九十一二三四五。", ["一二三四五六七八。", "九十一二三四五。"]),
        ("a" * 35, ["a" * 15, "a" * 15, "a" * 5]),
        ("Well (he said, “yes.”) and so", ["Well (he said,", "“yes.”) and so"]),
    ],
)
def test_where_text_is_cut(text: str, parts: list[str]) -> None:
    assert list(passages(text, 15)) == parts


# ── what goes wrong ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "act",
    [
        Act(answer=(b"", "audio/pcm")),
        Act(answer=(b"<html>sign in</html>", "text/html")),
        Act(answer=(b'{"detail": "?"}', "application/json")),
        LOST,
        Act(broken_after=0),
        body(502, b"<html>"),
    ],
    ids=["empty", "page", "json", "lost", "broken", "502"],
)
async def test_no_speech_is_an_error_that_may_pass(eleven: StandIn, provider: ElevenLabsProvider, act: Act) -> None:
    eleven.script("speech", act)
    with pytest.raises(Transient):
        await heard(provider, said("Hello."))
    assert len(eleven.of("speech")) == 1


async def test_speech_that_breaks_off_says_so_and_is_not_begun_again(
    eleven: StandIn, provider: ElevenLabsProvider
) -> None:
    eleven.script("speech", Act(broken_after=60_000))
    pieces: list[Pcm] = []

    async def listen() -> None:
        async for piece in provider.synthesize(said(SENTENCE * 3)):
            pieces.append(piece)  # noqa: PERF401 (what came before the end is wanted)

    with pytest.raises(Transient):
        await listen()
    whole = spoken(PREMADE[0], (SENTENCE * 3).strip(), 24_000)
    sound = Pcm.join(pieces)
    assert 0 < len(sound) < len(whole)
    assert sound.to_int16() == whole.to_int16()[: 2 * len(sound)]
    assert len(eleven.of("speech")) == 1


@pytest.mark.parametrize("code", ["system_busy", "too_many_concurrent_requests"])
async def test_being_too_busy_to_begin_is_waited_out(eleven: StandIn, provider: ElevenLabsProvider, code: str) -> None:
    eleven.script("speech", error(429, code, retry_after=0))
    assert (await heard(provider, said("Hello."))).seconds > 0
    assert len(eleven.of("speech")) == 2


async def test_being_told_to_come_much_later_is_passed_on(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    eleven.script("speech", error(429, "system_busy", retry_after=40))
    with pytest.raises(AtCapacity) as caught:
        await heard(provider, said("Hello."))
    assert caught.value.retry_after == 40.0
    assert (await heard(provider, said("Hello."))).seconds > 0  # its place was freed


async def test_without_a_key_it_says_what_to_set(make: MakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    provider = make(key="")
    with pytest.raises(NotConfigured, match="ELEVENLABS_API_KEY"):
        await heard(provider, said("Hello."))


# ── many at once ─────────────────────────────────────────────────────────────


async def test_twenty_at_once_never_exceed_the_limit(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    eleven.allowed_at_once = 5
    await provider.voices()
    sounds = await asyncio.gather(*(heard(provider, said(f"Number {number}.")) for number in range(20)))
    assert [round(sound.seconds, 2) for sound in sounds] == [
        round(len(f"Number {number}.") * 0.01, 2) for number in range(20)
    ]
    assert eleven.most_at_once <= 5
    assert len(eleven.of("speech")) == 20  # none was refused


async def test_the_limit_is_used_once_it_is_known(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    eleven.allowed_at_once = 5
    await heard(provider, said("Hello."))
    eleven.streaming.hold()
    speaking = [asyncio.create_task(heard(provider, said("Hello."))) for _ in range(8)]
    await eleven.until(lambda: eleven.most_at_once == 5)
    eleven.streaming.open()
    await asyncio.gather(*speaking)
    assert eleven.most_at_once == 5


async def test_room_is_left_for_who_else_uses_the_account(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    eleven.allowed_at_once, eleven.others_at_once = 5, 3
    sounds = await asyncio.gather(*(heard(provider, said("Hello.")) for _ in range(8)))
    assert len(sounds) == 8  # where the guess was wrong, what was refused was asked for again
    assert eleven.most_at_once <= 2


async def test_who_stops_listening_ends_the_request_and_frees_the_place(
    eleven: StandIn, provider: ElevenLabsProvider
) -> None:
    eleven.allowed_at_once = 1
    eleven.streaming.hold()
    eleven.streaming.let(1)
    async with aclosing(provider.synthesize(said(LONG))) as speech:
        await anext(speech)
    await eleven.until(lambda: eleven.abandoned == 1)
    eleven.streaming.open()
    assert (await heard(provider, said("Hello."))).seconds > 0


async def test_who_is_cancelled_while_waiting_for_a_piece_frees_the_place(
    eleven: StandIn, provider: ElevenLabsProvider
) -> None:
    eleven.allowed_at_once = 1
    await provider.voices()
    eleven.streaming.hold()
    speaking = asyncio.create_task(heard(provider, said("Hello.")))
    await eleven.streaming.reached()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    await eleven.until(lambda: eleven.abandoned == 1)
    eleven.streaming.open()
    assert (await heard(provider, said("Hello."))).seconds > 0


async def test_a_model_that_is_not_there_is_named_by_the_doctor(eleven: StandIn, provider: ElevenLabsProvider) -> None:
    eleven.models.remove(QUALITY.id)
    with pytest.raises(Refused, match="doctor"):
        await heard(provider, said("Hello."))
