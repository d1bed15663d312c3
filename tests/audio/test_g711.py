"""μ-law, over every sample value and every code."""

from __future__ import annotations

import io
from bisect import bisect_right

import numpy as np
import soundfile

from audio.g711 import decode_mulaw, encode_mulaw
from audio.pcm import Pcm

EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int32)
EVERY_CODE = bytes(range(256))


def as_pcm(samples: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Pcm:
    return Pcm((samples / 32768).astype(np.float32), 8000)


def test_encodes_every_sample_as_libsndfile_does() -> None:
    reference = io.BytesIO()
    soundfile.write(reference, EVERY_SAMPLE.astype(np.int16), 8000, format="RAW", subtype="ULAW")
    assert encode_mulaw(as_pcm(EVERY_SAMPLE)) == reference.getvalue()


def test_decodes_every_code_as_libsndfile_does() -> None:
    reference, _ = soundfile.read(
        io.BytesIO(EVERY_CODE), format="RAW", subtype="ULAW", samplerate=8000, channels=1, dtype="int16"
    )
    assert (decode_mulaw(EVERY_CODE).samples * 32768).tolist() == reference.tolist()


def test_encodes_every_sample_by_the_decision_values_of_the_recommendation() -> None:
    """Tables 2a and 2b of G.711, written down anew: eight segments of sixteen steps, the step doubling each time."""
    decisions = [0, 1]  # the first step is half as wide
    decisions += [decisions[-1] + 2 * step for step in range(1, 16)]
    for segment in range(1, 8):
        decisions += [decisions[-1] + (step << segment + 1) for step in range(1, 17)]
    assert decisions[-1] == 8159
    for sample, code in zip(EVERY_SAMPLE.tolist(), encode_mulaw(as_pcm(EVERY_SAMPLE)), strict=True):
        number = min(bisect_right(decisions, abs(sample) / 4) - 1, 127)
        assert code == (127 - number if sample < 0 else 255 - number)


def test_a_decoded_code_encodes_to_itself() -> None:
    codes = encode_mulaw(decode_mulaw(EVERY_CODE))
    both_zeros = {127: 255}  # negative zero is a code of its own, but no sample
    assert list(codes) == [both_zeros.get(code, code) for code in EVERY_CODE]


def test_what_is_too_loud_is_clipped() -> None:
    loud = Pcm(np.array([-7.0, -1.0, 1.0, 7.0], dtype=np.float32), 8000)
    assert list(encode_mulaw(loud)) == [0x00, 0x00, 0x80, 0x80]


def test_the_rate_is_kept() -> None:
    assert decode_mulaw(b"\xff" * 160).rate == 8000
    assert decode_mulaw(b"\xff" * 160, 16000).rate == 16000
    assert decode_mulaw(b"").seconds == 0
