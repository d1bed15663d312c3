"""Voice activity, on a human voice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from audio.pcm import Pcm
from audio.resample import resample
from audio.vad import MIN_SILENCE, MIN_SPEECH, PADDING, Edge, VoiceActivity, speech_seconds, speech_segments
from tests.audio.sounds import caller, coded, frame_powers, phone, scaled, tones, white, with_noise

PAUSE = 2.0
FRAME = 0.032


def between_pauses(pcm: Pcm) -> Pcm:
    pause = Pcm.silence(PAUSE, pcm.rate)
    return Pcm.join([pause, pcm, pause])


CONDITIONS = {
    "wide": lambda: between_pauses(caller()),
    "phone": lambda: coded(between_pauses(phone(caller()))),
    "phone, quiet": lambda: coded(scaled(between_pauses(phone(caller())), -20)),
    "phone, white noise at 20 dB": lambda: coded(with_noise(between_pauses(phone(caller())), "white", 20)),
    "phone, pink noise at 10 dB": lambda: coded(with_noise(between_pauses(phone(caller())), "pink", 10)),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_finds_speech_and_nothing_else(condition: str) -> None:
    pcm = CONDITIONS[condition]()
    powers = frame_powers(between_pauses(caller()), FRAME)
    spoken = powers > np.percentile(powers, 95) / 1000
    found = np.zeros(len(spoken), dtype=bool)
    for segment in speech_segments(pcm):
        found[round(segment.start / FRAME) : round(segment.end / FRAME)] = True
    far_from_speech = ~np.convolve(spoken, np.ones(9), mode="same").astype(bool)
    assert found[spoken].mean() > 0.92
    assert found[far_from_speech].mean() < 0.03
    assert far_from_speech.sum() * FRAME > 3


def test_the_pauses_between_sentences_separate_segments() -> None:
    segments = speech_segments(coded(phone(caller())))
    assert 4 <= len(segments) <= 7
    assert all(segment.seconds >= MIN_SPEECH for segment in segments)
    assert all(one.end <= other.start for one, other in pairwise(segments))
    assert segments[0].start >= 0
    assert segments[-1].end <= caller().seconds
    assert speech_seconds(coded(phone(caller()))) == pytest.approx(sum(segment.seconds for segment in segments))


def test_speech_from_the_first_to_the_last_sample_is_found() -> None:
    """Recordings begin and end in the middle of a word; the model must not need a pause to settle."""
    middle = coded(phone(caller().cut(1.0, 5.0)))
    assert speech_seconds(middle) > 3.7
    assert speech_segments(middle)[-1].end == middle.seconds


@pytest.mark.parametrize(
    "sound",
    [
        Pcm.silence(0, 8000),
        Pcm.silence(0.01, 8000),
        Pcm.silence(5, 8000),
        white(10, 8000, -20),
        white(10, 8000, -60),
        tones(3, 8000, 440, 480),  # a ringing tone
        tones(3, 8000, 1000, amplitude=0.5),  # the beep
        tones(0.5, 8000, 697, 1209),  # key 1
        Pcm.join([Pcm.silence(1, 8000), white(0.02, 8000, -10), Pcm.silence(1, 8000)]),  # a click
    ],
)
def test_what_is_not_speech_is_not_found(sound: Pcm) -> None:
    assert speech_segments(sound) == []
    assert speech_seconds(sound) == 0


def edges_of(pcm: Pcm, piece: int) -> list[tuple[Edge, float]]:
    """The edges, and how much had been fed when each was reported (s)."""
    activity = VoiceActivity(pcm.rate)
    found: list[tuple[Edge, float]] = []
    for at in range(0, len(pcm), piece):
        edges = activity.process(Pcm(pcm.samples[at : at + piece], pcm.rate))
        found += [(edge, min(at + piece, len(pcm)) / pcm.rate) for edge in edges]
    return found


def test_a_stream_has_the_edges_of_the_recording() -> None:
    pcm = coded(between_pauses(phone(caller())))
    edges = [edge for edge, _ in edges_of(pcm, 160)]
    assert [edge.speaking for edge in edges] == [True, False] * (len(edges) // 2)
    segments = speech_segments(pcm)
    starts = [segment.start for segment in segments]
    assert [edge.at for edge in edges if edge.speaking] == pytest.approx(
        [start + PADDING for start in starts], abs=PADDING
    )


@pytest.mark.parametrize("piece", [1, 256, 777, 8000])
def test_the_size_of_the_pieces_does_not_matter(piece: int) -> None:
    pcm = coded(phone(caller().cut(0, 4)))
    assert [edge for edge, _ in edges_of(pcm, piece)] == [edge for edge, _ in edges_of(pcm, 160)]


def test_other_rates_have_the_same_edges() -> None:
    low = coded(between_pauses(phone(caller())))
    high = resample(low, 24000)
    expected = [edge.at for edge, _ in edges_of(low, 160)]
    assert [edge.at for edge, _ in edges_of(high, 480)] == pytest.approx(expected, abs=2 * FRAME)


def test_edges_are_reported_as_soon_as_they_are_certain() -> None:
    late: dict[bool, list[float]] = {True: [], False: []}
    for edge, fed in edges_of(coded(between_pauses(phone(caller()))), 160):
        late[edge.speaking].append(fed - edge.at)
    assert max(late[True]) < MIN_SPEECH + 2 * FRAME
    assert max(late[False]) < MIN_SILENCE + 2 * FRAME


def test_a_longer_silence_can_be_asked_for() -> None:
    activity = VoiceActivity(8000, min_silence=1.0)
    edges = activity.process(coded(between_pauses(phone(caller()))))
    assert [edge.speaking for edge in edges] == [True, False]
    assert not activity.speaking


def test_threads_do_not_disturb_each_other() -> None:
    recordings = [coded(phone(caller().cut(start, start + 4))) for start in (0, 3, 6, 9)]
    expected = [speech_segments(recording) for recording in recordings]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(speech_segments, recordings)) == expected
