"""Cloning a real reader from a phone-band recording, with the real models, through the provider."""

import asyncio

import numpy as np
import pytest

from audio.pcm import Pcm
from audio.wav import read_audio_file
from providers.contract import (
    AtCapacity,
    Capability,
    ClonedVoice,
    CloneRequest,
    Refused,
    SpeechRequest,
    capabilities_of,
)
from providers.local.cloning.artefact import style_of
from providers.local.cloning.cloner import IMITATION, PLACES
from providers.local.cloning.encoder import SpeakerEncoder
from providers.local.cloning.fit import StyleFitter
from providers.local.cloning.likeness import Likeness
from providers.local.cloning.phone_band import through_phone
from providers.local.cloning.pitch import median_f0, semitones
from providers.local.kokoro import Kokoro
from providers.local.provider import LocalProvider
from tests.conftest import ROOT

# The reader's first three clips are cloned; the last two are for judging.
SPLIT = 16.0
DEFAULT_VOICE = "af_heart"
TEXT = "The weather report says that it will rain later this evening."


@pytest.fixture(scope="module")
def whole() -> Pcm:
    return read_audio_file(ROOT / "deadringer/data/caller.flac")


@pytest.fixture(scope="module")
def recording(whole: Pcm) -> Pcm:
    return through_phone(whole.cut(0.0, SPLIT))


@pytest.fixture(scope="module")
def cloned(local: LocalProvider, recording: Pcm) -> ClonedVoice:
    return asyncio.run(local.clone(request(recording)))


@pytest.fixture(scope="module")
def fitter(kokoro: Kokoro) -> StyleFitter:
    return StyleFitter.load(kokoro, threads=2)


def request(recording: Pcm) -> CloneRequest:
    return CloneRequest(label="clone-1", name="Reader", recording=recording)


async def spoken(local: LocalProvider, request: SpeechRequest) -> Pcm:
    return Pcm.join([piece async for piece in local.synthesize(request)])


async def test_the_clone_is_nearer_to_its_speaker_than_the_default_voice(
    local: LocalProvider, fitter: StyleFitter, cloned: ClonedVoice, whole: Pcm
) -> None:
    other = through_phone(whole.cut(SPLIT, whole.seconds))
    encoder = SpeakerEncoder()
    likeness = Likeness(encoder.embed(other), median_f0(other), fitter.table)
    clone = through_phone(await spoken(local, SpeechRequest(TEXT, cloned.artefact)))
    default = through_phone(await spoken(local, SpeechRequest(TEXT, DEFAULT_VOICE)))

    nearer, farther = (float(likeness.similarity(encoder.embed(voice))) for voice in (clone, default))
    assert nearer > farther + 0.1

    def semitones_off(voice: Pcm) -> float:
        pitch, of_reader = median_f0(voice), median_f0(other)
        assert pitch is not None
        assert of_reader is not None
        return abs(semitones(pitch, of_reader))

    assert semitones_off(clone) < semitones_off(default) - 2.0


def test_a_clone_says_what_it_is(cloned: ClonedVoice) -> None:
    assert np.isfinite(style_of(cloned.artefact)).all()
    assert cloned.similarity is not None
    assert 0.2 < cloned.similarity < 1.0
    assert cloned.notes[0] == IMITATION
    assert "not a replica" in IMITATION


async def test_the_provider_clones_without_a_quota(local: LocalProvider, cloned: ClonedVoice) -> None:
    assert Capability.CLONE in capabilities_of(local)
    assert await local.clone_quota() is None
    await local.delete_voice(cloned.artefact)  # keeps nothing, so there is nothing to go wrong


async def test_too_little_speech_is_refused(local: LocalProvider, whole: Pcm) -> None:
    for recording in (through_phone(whole.cut(0.0, local.minimum_speech - 2)), Pcm.silence(25.0, 8000)):
        with pytest.raises(Refused, match="seconds of speech were heard"):
            await local.clone(request(recording))


async def test_speech_goes_between_the_steps_of_a_clone(local: LocalProvider, recording: Pcm) -> None:
    cloning = asyncio.create_task(local.clone(request(recording)))
    speech = await spoken(local, SpeechRequest("Good morning.", DEFAULT_VOICE))
    assert speech.seconds > 0.5
    assert not cloning.done()
    cloning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cloning


async def test_clones_that_wait_are_bounded(local: LocalProvider, recording: Pcm) -> None:
    waiting = [asyncio.create_task(local.clone(request(recording))) for _ in range(PLACES)]
    await asyncio.sleep(0)  # all have begun, none can be ready
    with pytest.raises(AtCapacity):
        await local.clone(request(recording))
    for task in waiting:
        task.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)


def test_the_same_recording_gives_the_same_style(fitter: StyleFitter, recording: Pcm) -> None:
    first, second = fitter.start(recording), fitter.start(recording)
    first.step()
    second.step()
    assert first.result().pack.tobytes() == second.result().pack.tobytes()
    assert first.result().similarity == second.result().similarity


def test_a_fit_reports_each_step_and_stops_when_it_is_told_to(fitter: StyleFitter, recording: Pcm) -> None:
    class Cancelled(Exception):
        pass

    reported: list[float] = []

    def cancel(done: float) -> None:
        reported.append(done)
        raise Cancelled

    with pytest.raises(Cancelled):
        fitter.fit(recording, cancel)
    assert len(reported) == 1
    assert 0.0 < reported[0] < 0.5


def test_nothing_is_known_before_the_first_step(fitter: StyleFitter, recording: Pcm) -> None:
    with pytest.raises(ValueError, match="no candidate has spoken"):
        fitter.start(recording).result()
