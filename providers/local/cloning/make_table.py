"""Makes the cloning table: `python -m providers.local.cloning.make_table`, a few minutes on two cores.

Every stock voice says every sentence; what the speaker encoder hears of it through a telephone is the table. It has to
be made again when one of `table.weights_used` or a sentence changes; then set `SHA256` in table.py to the hash that is
printed. Interrupted, it leaves the old table as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from audio.pcm import Pcm
from providers.local.cloning import people, table
from providers.local.cloning.encoder import SpeakerEncoder
from providers.local.cloning.phone_band import through_phone
from providers.local.cloning.pitch import median_f0
from providers.local.cloning.speech import speech_only
from providers.local.kokoro import Kokoro
from providers.local.phonemes import phonemize
from providers.local.settings import LocalSettings
from providers.local.weights import voice_hashes

_SPEECH_FOLDER = Path("data/bench")


def make(kokoro: Kokoro, encoder: SpeakerEncoder, readers: Sequence[Pcm]) -> table.Table:
    """The table, with a progress bar on the terminal.

    Raises:
        UnusableTable: a voice has no measurable pitch.
    """
    voices = sorted(voice_hashes())
    phonemes = [phonemize(sentence) for sentence in table.SENTENCES]
    sayings = [(voice, said) for voice in voices for said in phonemes]
    heard = [
        through_phone(kokoro.speak(said, kokoro.voice(voice))) for voice, said in track(sayings, description="speaking")
    ]
    shape = (len(voices), len(phonemes))
    return table.Table(
        voices=np.array(voices),
        embedding=np.array([encoder.embed(speech) for speech in heard]).reshape(*shape, -1),
        f0=np.array([median_f0(speech) for speech in heard], dtype=np.float32).reshape(shape),
        people=np.mean([encoder.embed(through_phone(speech_only(reader))) for reader in readers], axis=0),
        phonemes=np.array(phonemes),
        made_with=np.array(table.weights_used()),
    )


def main() -> None:
    settings = LocalSettings()
    readers = list(people.unjudged_readers(_SPEECH_FOLDER))
    made = make(Kokoro(settings.models_dir, settings.threads), SpeakerEncoder(settings.threads), readers)
    path = Path(__file__).with_name("table.npz")
    made.save(path)
    print(f"{path}: {len(made.voices)} voices, {path.stat().st_size} bytes, mean of {len(readers)} people")
    print(f'set in table.py: SHA256 = "{people.sha256_of(path)}"')


if __name__ == "__main__":
    main()
