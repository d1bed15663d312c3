"""Makes the cloning table: `python -m providers.local.cloning.make_table`, about 10 minutes on two cores.

Every stock voice says every sentence, and random styles among them say one each; what the speaker encoder hears of it
in the phone band is the table. It has to be made again when one of `table.weights_used` or a sentence changes;
then set `SHA256` in table.py to the hash that is printed. Interrupted, it leaves the old table as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from audio.pcm import Pcm
from providers.local.cloning import people, table
from providers.local.cloning.encoder import SpeakerEncoder
from providers.local.cloning.phone_band import through_phone
from providers.local.cloning.pitch import median_f0
from providers.local.cloning.speech import speech_only
from providers.local.cloning.style_space import DIMENSIONS, StyleSpace
from providers.local.kokoro import Kokoro
from providers.local.phonemes import phonemize
from providers.local.settings import LocalSettings

_RANDOM_STYLES = 330
_SEED = 7
_SPEECH_FOLDER = Path("data/bench")


@dataclass(frozen=True)
class _Saying:
    voice: str
    style: NDArray[np.float64]
    sentence: int


def make(kokoro: Kokoro, speaker_encoder: SpeakerEncoder, readers: Sequence[Pcm]) -> table.Table:
    """The table, with a progress bar on the terminal."""
    space = StyleSpace.of_stock_voices(kokoro)
    phonemes = [phonemize(sentence) for sentence in table.SENTENCES]
    rows: list[tuple[_Saying, NDArray[np.float32], float, float]] = []
    for saying in track(list(_sayings(space)), description="speaking"):
        spoken = kokoro.speak(phonemes[saying.sentence], space.pack(saying.style))
        phoned = through_phone(spoken)
        f0 = median_f0(phoned)
        if f0 is not None:
            rows.append((saying, speaker_encoder.embed(phoned), f0, spoken.seconds))
    people_heard = [speaker_encoder.embed(through_phone(speech_only(reader))) for reader in readers]
    sayings, embeddings, pitches, seconds = zip(*rows, strict=True)
    return table.Table(
        voice=np.array([saying.voice for saying in sayings]),
        style=np.array([saying.style for saying in sayings], dtype=np.float32),
        sentence=np.array([saying.sentence for saying in sayings], dtype=np.int8),
        embedding=np.array(embeddings, dtype=np.float32),
        f0=np.array(pitches, dtype=np.float32),
        seconds=np.array(seconds, dtype=np.float32),
        people=np.mean(people_heard, axis=0),
        phonemes=np.array(phonemes),
        made_with=np.array(table.weights_used()),
    )


def _sayings(space: StyleSpace) -> Iterator[_Saying]:
    sentences = range(len(table.SENTENCES))
    for name, style in zip(space.names, space.coordinates, strict=True):
        yield from (_Saying(name, style, sentence) for sentence in sentences)
    random = np.random.default_rng(_SEED)
    for number in range(_RANDOM_STYLES):
        # Around three voices: a little outside of what lies between them, and a little off to all sides.
        three = random.choice(len(space.names), 3, replace=False)
        between = random.dirichlet([0.7] * 3) @ space.coordinates[three]
        style = 1.2 * between + 0.3 * random.standard_normal(DIMENSIONS)
        yield _Saying("", style, number % len(sentences))


def main() -> None:
    settings = LocalSettings()
    readers = list(people.unjudged_readers(_SPEECH_FOLDER))
    made = make(Kokoro(settings.models_dir, settings.threads), SpeakerEncoder(settings.threads), readers)
    path = Path(__file__).with_name("table.npz")
    made.save(path)
    print(f"{path}: {len(made.voice)} rows, {path.stat().st_size} bytes, mean of {len(readers)} people")
    print(f'set in table.py: SHA256 = "{people.sha256_of(path)}"')


if __name__ == "__main__":
    main()
