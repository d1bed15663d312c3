"""What the local voices say, heard by Whisper: real models, real round trips."""

from __future__ import annotations

import re

import jiwer
import numpy as np
import pytest

from audio.pcm import Pcm
from providers.contract import (
    Artefact,
    Capability,
    Refused,
    SpeechOptions,
    SpeechRequest,
    capabilities_of,
)
from providers.local.cloning.artefact import to_artefact
from providers.local.kokoro import Kokoro
from providers.local.normalization import normalize
from providers.local.provider import LocalProvider

TEXT = "The weather report says that it will rain later this evening."


async def said(local: LocalProvider, text: str, voice: str | Artefact = "af_heart", speed: float | None = None) -> Pcm:
    request = SpeechRequest(text, voice, options=SpeechOptions(speed=speed))
    return Pcm.join([piece async for piece in local.synthesize(request)])


def words(text: str) -> str:
    """As they are said: Whisper writes numbers in digits."""
    return " ".join(re.findall(r"[a-z']+", normalize(text).lower()))


def test_it_clones_speaks_and_transcribes(local: LocalProvider) -> None:
    assert capabilities_of(local) == {Capability.CLONE, Capability.SYNTHESIZE, Capability.TRANSCRIBE}


async def test_what_is_spoken_is_understood(local: LocalProvider) -> None:
    spoken = {
        "af_heart": "Dr. Lopez paid $12.50 for 3 bottles of water in St. Louis, didn't she?",
        "am_michael": "I read it yesterday and will read it again; sales grew by 3.5% in 1999.",
        "bf_emma": "Where were you when the lights went out, and why didn't you answer the phone?",
        "bm_george": TEXT,
    }
    expected = [
        "doctor lopez paid twelve dollars and fifty cents for three bottles of water in saint louis didn't she",
        "i read it yesterday and will read it again sales grew by three point five percent in nineteen ninety nine",
        "where were you when the lights went out and why didn't you answer the phone",
        "the weather report says that it will rain later this evening",
    ]
    heard = [(await local.transcribe(await said(local, text, voice), "en")).text for voice, text in spoken.items()]
    assert jiwer.wer(expected, [words(text) for text in heard]) <= 0.1, heard


async def test_a_long_text_arrives_whole_at_one_rate(local: LocalProvider) -> None:
    text = (
        "Nobody had expected the old lighthouse keeper to leave his tower before the winter storms and walk all the "
        "way to the village in order to ask the baker for a loaf of bread. The baker laughed. Then she gave him two!"
    )
    pieces = [piece async for piece in local.synthesize(SpeechRequest(text, "af_heart"))]
    assert len(pieces) >= 2
    assert {piece.rate for piece in pieces} == {24_000}
    assert pieces[0].seconds < 5.0
    heard = await local.transcribe(Pcm.join(pieces), "en")
    assert jiwer.wer(words(text), words(heard.text)) <= 0.1, heard.text


async def test_speech_begins_at_once_and_pauses_after_a_sentence(local: LocalProvider) -> None:
    speech = await said(local, "This is it.")
    loud = np.flatnonzero(np.abs(speech.samples) > 0.01)
    assert loud[0] / speech.rate < 0.1
    assert 0.25 < (len(speech) - loud[-1]) / speech.rate < 0.5


async def test_the_loudest_voice_is_not_clipped(local: LocalProvider, kokoro: Kokoro) -> None:
    assert np.abs(kokoro.speak("ˌI sˈi.", kokoro.voice("am_adam")).samples).max() > 1.0
    assert np.abs((await said(local, "I see.", "am_adam")).samples).max() <= 1.0


async def test_speed_changes_how_long_it_takes(local: LocalProvider) -> None:
    slow, usual, fast = [(await said(local, TEXT, speed=speed)).seconds for speed in (0.5, None, 2.0)]
    assert slow > 1.5 * usual
    assert fast < 0.7 * usual


async def test_the_same_request_gives_the_same_samples(local: LocalProvider) -> None:
    once, again = await said(local, "Say it again."), await said(local, "Say it again.")
    assert np.array_equal(once.samples, again.samples)


async def test_a_cloned_voice_speaks(local: LocalProvider, kokoro: Kokoro) -> None:
    artefact = to_artefact(kokoro.voice("am_michael").astype(np.float16))
    cloned, stock = await said(local, TEXT, artefact), await said(local, TEXT, "am_michael")
    assert abs(cloned.seconds - stock.seconds) < 0.1


async def test_a_british_voice_speaks_british_unless_told_otherwise(local: LocalProvider) -> None:
    text = "Better water for the car park."
    of_its_own = await said(local, text, "bf_emma")
    told = Pcm.join([p async for p in local.synthesize(SpeechRequest(text, "bf_emma", language="en-GB"))])
    american = Pcm.join([p async for p in local.synthesize(SpeechRequest(text, "bf_emma", language="en_US"))])
    assert np.array_equal(of_its_own.samples, told.samples)
    assert len(american) != len(told) or not np.array_equal(american.samples, told.samples)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (SpeechRequest("Hello", "nobody"), "no voice 'nobody'"),
        (SpeechRequest("Hello", "zf_xiaobei"), "no voice"),
        (SpeechRequest("Bonjour", "af_heart", language="fr"), "English only"),
        (SpeechRequest("Hello", "af_heart", options=SpeechOptions(speed=0.4)), "from 0.5 to 2.0"),
        (SpeechRequest("Hello", "af_heart", options=SpeechOptions(speed=float("nan"))), "from 0.5 to 2.0"),
        (SpeechRequest("Hello", "af_heart", options=SpeechOptions(seed=1)), "seed"),
        (SpeechRequest("Hello", Artefact("elevenlabs-voice", b"abc")), "elevenlabs-voice"),
        (SpeechRequest("", "af_heart"), "nothing in the text"),
        (SpeechRequest(" … 🙂 —\n", "af_heart"), "nothing in the text"),
        (SpeechRequest("你好", "af_heart"), "nothing in the text"),
    ],
)
async def test_what_cannot_be_spoken_is_refused_in_words(
    local: LocalProvider, request_: SpeechRequest, words: str
) -> None:
    with pytest.raises(Refused, match=words):
        await anext(aiter(local.synthesize(request_)))


async def test_voices_are_english_and_the_best_comes_first(local: LocalProvider) -> None:
    voices = await local.voices()
    assert voices[0].key == "af_heart"
    assert len({voice.key for voice in voices}) == len({voice.name for voice in voices}) == 28
    assert {voice.language for voice in voices} == {"en-US", "en-GB"}


async def test_silence_has_no_text(local: LocalProvider) -> None:
    assert (await local.transcribe(Pcm.silence(2.0, 8000))).text == ""
    assert (await local.transcribe(Pcm.silence(0.0, 8000))).text == ""


async def test_a_language_that_whisper_does_not_know_is_refused(local: LocalProvider) -> None:
    with pytest.raises(Refused, match="'tlh'"):
        await local.transcribe(Pcm.silence(0.5, 16000), "tlh")
