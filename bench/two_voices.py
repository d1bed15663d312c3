"""Whether two people in one recording can be told from one: `python -m bench.two_voices`.

The speech of a recording, pauses left out, is cut into pieces of 2.4 s; each is embedded by the encoder that the local
provider brings. The pieces are parted into the two groups that lie furthest apart, and the distance between the groups'
means is what would tell. Of each person all there is (at most ten pieces) makes a recording of one voice; a part of one
person's and a part of another's makes one of two. All of it in the telephone's band.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.pcm import Pcm
from audio.vad import speech_segments
from bench.figures import Figure
from bench.speakers import speakers
from providers.local.cloning.encoder import SpeakerEncoder, unit
from providers.local.cloning.phone_band import through_phone

PIECE = 2.4  # s
MOST = 10  # pieces in a recording
SHARES = (0.5, 0.25)  # of the second voice

Vectors = NDArray[np.float32]


async def main() -> list[Figure]:
    people = await asyncio.to_thread(_people, Path("data/bench"))
    alone = [_apart(vectors[:MOST]) for vectors in people.values()]
    figures = [Figure("one voice: distance of the groups", f"median {np.median(alone):.2f}, largest {max(alone):.2f}")]
    for share in SHARES:
        mixed = np.array([_apart(vectors) for vectors in _mixtures(people, share)])
        name = f"two voices, {share:.0%} of the second: distance, median (5th percentile) of {len(mixed)}"
        figures.append(Figure(name, f"{np.median(mixed):.2f} ({np.quantile(mixed, 0.05):.2f})"))
        found = np.mean(mixed > max(alone))
        figures.append(Figure(f"… found where none of {len(alone)} single voices is taken for two", f"{found:.0%}"))
    return figures


def _people(folder: Path) -> Mapping[str, Vectors]:
    """Each person's pieces of speech as unit vectors of shape (pieces, 256)."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = SpeakerEncoder()
    found, _ = speakers(folder)
    return {
        speaker.name: np.concatenate([_pieces(encoder, sound) for sound in (speaker.recording, speaker.other)])
        for speaker in found
    }


def _pieces(encoder: SpeakerEncoder, recording: Pcm) -> Vectors:
    heard = through_phone(recording)
    speech = Pcm.join([heard.cut(segment.start, segment.end) for segment in speech_segments(heard)])
    count = int(speech.seconds // PIECE)
    return np.stack([encoder.embed(speech.cut(number * PIECE, (number + 1) * PIECE)) for number in range(count)])


def _mixtures(people: Mapping[str, Vectors], share: float) -> Iterator[Vectors]:
    for one, other in combinations(people.values(), 2):
        count = min(MOST, len(one) + len(other))
        second = max(2, round(count * share))
        if len(one) >= count - second and len(other) >= second:
            yield np.concatenate([one[: count - second], other[:second]])


def _apart(vectors: Vectors) -> float:
    """1 less the cosine between the means of two groups: 2-means, begun by the first principal component."""
    centred = vectors - vectors.mean(axis=0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    second = along > np.median(along)
    for _ in range(10):
        means = [unit(vectors[group].mean(axis=0)) for group in (~second, second)]
        nearer = vectors @ means[1] > vectors @ means[0]
        if nearer.all() or not nearer.any() or (nearer == second).all():
            break
        second = nearer
    means = [unit(vectors[group].mean(axis=0)) for group in (~second, second)]
    return 1 - float(means[0] @ means[1])


if __name__ == "__main__":
    for figure in asyncio.run(main()):
        print(f"{figure.name:<90} {figure.value}")
