"""How long it takes to clone a voice on this machine: `python -m bench.local_clone`.

A human recording of 25 s, made narrow as by a telephone, is cloned by the local provider, models loaded as they are
while the phone rings. Beside it in the same run: how long the model takes to speak as many sentences as the fit tries.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from audio.wav import read_audio_file
from bench.figures import Figure, at_most, percentile
from providers.contract import CloneRequest, SpeechRequest
from providers.local.cloning.phone_band import through_phone
from providers.local.provider import LocalProvider
from providers.local.settings import LocalSettings

CALLER = Path(__file__).parent.parent / "deadringer" / "data" / "caller.flac"
SECONDS = 25.0
TIMES = 3


async def main() -> list[Figure]:
    recording = through_phone(await asyncio.to_thread(read_audio_file, CALLER)).cut(0, SECONDS)
    provider = LocalProvider(LocalSettings())
    try:
        await provider.warm_up()
        took, spoken = [], []
        for number in range(TIMES):
            began = time.perf_counter()
            async for _ in provider.synthesize(SpeechRequest("How can I help you today?", "af_heart")):
                pass
            spoken.append(time.perf_counter() - began)
            began = time.perf_counter()
            cloned = await provider.clone(CloneRequest(f"bench-{number}", "Bench", recording))
            took.append(time.perf_counter() - began)
    finally:
        await provider.aclose()
    first = f"clone of a {SECONDS:.0f} s phone recording, the first (its own tables are loaded)"
    return [
        at_most(first, took[0], 30.0, "s"),
        at_most(f"… median of {TIMES}", percentile(took, 50), 30.0, "s"),
        Figure(
            "… in the time of short sentences spoken in the same run", f"× {percentile(took, 50) / min(spoken):.0f}"
        ),
        Figure("the fit's own measure of likeness", f"{cloned.similarity:.2f}"),
    ]


if __name__ == "__main__":
    for figure in asyncio.run(main()):
        print(f"{figure.name:<70} {figure.value:>12}  {figure.goal}")
