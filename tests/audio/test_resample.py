"""Sample-rate conversion."""

from __future__ import annotations

import numpy as np
import pytest

from audio.pcm import Pcm
from audio.resample import StreamResampler, resample

PAIRS = [(8000, 24000), (24000, 8000), (8000, 16000), (16000, 8000), (44100, 8000), (22050, 8000), (24000, 48000)]


def sine(hertz: float, rate: int, seconds: float = 1.0) -> Pcm:
    return Pcm(np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32), rate)


def stream(pcm: Pcm, rate: int, piece: int) -> Pcm:
    resampler = StreamResampler(pcm.rate, rate)
    pieces = [resampler.process(Pcm(pcm.samples[at : at + piece], pcm.rate)) for at in range(0, len(pcm), piece)]
    return Pcm.join([*pieces, resampler.flush()])


def middle_dbfs(pcm: Pcm) -> float:
    """Level without the ends, where a filter swings in and out; a full sine is 0."""
    middle = pcm.samples[len(pcm) // 10 : -len(pcm) // 10].astype(np.float64)
    return float(10 * np.log10(2 * np.mean(middle**2) + 1e-20))


def test_one_shot_keeps_length_and_sound() -> None:
    low = resample(sine(1000, 44100), 8000)
    assert low.rate == 8000
    assert len(low) == 8000
    assert np.abs(low.samples - sine(1000, 8000).samples)[100:-100].max() < 1e-3


def test_one_shot_folds_nothing_back() -> None:
    assert middle_dbfs(resample(sine(5000, 24000), 8000)) < -90


def test_nothing_happens_at_the_same_rate() -> None:
    tone = sine(440, 8000)
    assert resample(tone, 8000) is tone
    assert stream(tone, 8000, 160).samples.tolist() == tone.samples.tolist()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_stream_is_the_same_sound_at_the_same_time(source: int, target: int) -> None:
    live = stream(sine(1000, source), target, source // 50)
    assert live.rate == target
    assert np.abs(live.samples - sine(1000, target).samples)[200:-200].max() < 2e-3


@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize("length", [1, 7, 160, 999, 4411])
def test_a_stream_is_as_long_as_it_was(source: int, target: int, length: int) -> None:
    assert len(stream(Pcm(np.ones(length, dtype=np.float32), source), target, 100)) == round(length * target / source)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_size_of_the_pieces_does_not_matter(source: int, target: int) -> None:
    noise = Pcm(np.random.default_rng(2).standard_normal(source // 4).astype(np.float32), source)
    whole = stream(noise, target, len(noise))
    for piece in (1000, 441, 37):
        np.testing.assert_allclose(stream(noise, target, piece).samples, whole.samples, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "target", "held_back"),
    [(8000, 24000, 39), (24000, 8000, 13), (8000, 16000, 26), (16000, 8000, 13), (44100, 8000, 80), (24000, 48000, 26)],
)
def test_little_is_held_back(source: int, target: int, held_back: int) -> None:
    """In output samples, after every piece of 20 ms: 39 at 24 kHz are 1.6 ms."""
    resampler = StreamResampler(source, target)
    frame = sine(440, source, seconds=0.02)
    sent = 0
    for count in range(1, 101):
        sent += len(resampler.process(frame))
        assert count * 0.02 * target - sent == pytest.approx(held_back)
    assert len(resampler.flush()) == held_back


@pytest.mark.parametrize("source", [16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("hertz", [4700, 5000, 6000, 7000, 7900])
def test_a_stream_folds_nothing_back_into_the_phone_band(source: int, hertz: int) -> None:
    assert middle_dbfs(stream(sine(hertz, source), 8000, source // 50)) < -55


@pytest.mark.parametrize("target", [16000, 24000])
def test_a_stream_adds_no_images(target: int) -> None:
    """A tone of 2500 Hz at 8 kHz has its first image at 5500 Hz."""
    live = stream(sine(2500, 8000), target, 160)
    spectrum = np.abs(np.fft.rfft(live.samples[: target // 2] * np.hanning(target // 2)))
    assert 20 * np.log10(spectrum[2700:].max() / spectrum.max()) < -55


@pytest.mark.parametrize("source", [16000, 24000, 48000])
@pytest.mark.parametrize("hertz", [100, 300, 1000, 3000, 3400])
def test_the_phone_band_passes_unchanged(source: int, hertz: int) -> None:
    assert middle_dbfs(stream(sine(hertz, source), 8000, source // 50)) == pytest.approx(0, abs=0.1)


def test_a_constant_stays_constant() -> None:
    live = stream(Pcm(np.full(8000, 0.25, dtype=np.float32), 8000), 24000, 160)
    np.testing.assert_allclose(live.samples[100:-100], 0.25, atol=1e-6)


def test_flushing_begins_anew() -> None:
    resampler = StreamResampler(8000, 24000)
    tone = sine(700, 8000, seconds=0.1)
    first = Pcm.join([resampler.process(tone), resampler.flush()])
    second = Pcm.join([resampler.process(tone), resampler.flush()])
    assert first.samples.tolist() == second.samples.tolist()
    assert len(resampler.flush()) == 0


def test_a_piece_of_another_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="16000 Hz came into a stream of 8000 Hz"):
        StreamResampler(8000, 24000).process(sine(440, 16000))


@pytest.mark.parametrize(("source", "target"), [(44101, 8000), (0, 8000), (8000, -1)])
def test_rates_that_no_live_path_has_are_refused(source: int, target: int) -> None:
    with pytest.raises(ValueError, match="Hz"):
        StreamResampler(source, target)
