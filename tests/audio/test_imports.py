"""What the room needs to be imported."""

from __future__ import annotations

import subprocess
import sys


def test_the_model_free_modules_load_no_model_runtime() -> None:
    """They are used where no inference runtime is installed (GPU images)."""
    program = (
        "import sys, audio.pcm, audio.wav, audio.g711, audio.resample, audio.weights; "
        "assert 'onnxruntime' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
