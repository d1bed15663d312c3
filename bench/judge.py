"""The judge of likeness: Resemblyzer's speaker encoder and librosa's pYIN, which the fitting does not use.

Runs in an interpreter of its own (see bench/speakers.py for the commands that make it), since it needs torch. Reads
paths of WAV files, one a line; for each writes one line of JSON: `embedding`, 256 numbers of unit length, and `f0`, the
median pitch in Hz. Imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import librosa
import numpy as np
from resemblyzer import VoiceEncoder, preprocess_wav


def main() -> None:
    warnings.filterwarnings("ignore")
    encoder = VoiceEncoder("cpu", verbose=False)
    for line in sys.stdin:
        path = Path(line.strip())
        embedding = encoder.embed_utterance(preprocess_wav(path))
        samples, rate = librosa.load(path, sr=8000)
        pitch, voiced, _ = librosa.pyin(samples, fmin=60.0, fmax=400.0, sr=rate, frame_length=1024, hop_length=160)
        f0 = float(np.median(pitch[voiced]))
        print(json.dumps({"embedding": [float(x) for x in embedding], "f0": f0}), flush=True)


main()
