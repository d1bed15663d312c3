"""How soon and how quickly this machine speaks: `python -m bench.local_speech`.

Texts of three lengths are spoken by the local provider as a listener hears them. Beside it in the same run: the bare
ONNX session on the same tokens, one piece after the other, which is the least that it could take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from audio.pcm import Pcm
from bench.figures import Figure, at_most, percentile
from providers.contract import SpeechRequest
from providers.local.kokoro import Kokoro
from providers.local.provider import LocalProvider
from providers.local.settings import LocalSettings

VOICE = "af_heart"
TEXTS = {
    "short": "How can I help you today?",
    "medium": (
        "I went to the market yesterday and bought some apples, bread and a bottle of milk. The weather report had "
        "said that it would rain later in the evening."
    ),
    "long": (
        "Nobody had expected the old keeper to leave his lighthouse before the winter storms, and yet there he was, at "
        "8:30 in the morning, asking the baker for a loaf of bread. She gave him two. He thanked her, counted out "
        "$4.50 in small coins, and told her that the lamp had gone out during the night for the first time in forty "
        "years. Had any ship been near? He did not know. He had sat in the dark until dawn, listening to the sea, and "
        "for once he had been glad that it was so loud."
    ),
}
TIMES = 5


@dataclass
class Measured:
    """Seconds, one value for each time; `bare` is the ONNX session alone."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    speech: float = 0.0


async def main() -> list[Figure]:
    settings = LocalSettings()
    provider = LocalProvider(settings)
    try:
        began = time.perf_counter()
        await anext(provider.synthesize(SpeechRequest(TEXTS["short"], VOICE)))
        cold = time.perf_counter() - began
        await provider.warm_up()
        kokoro, alone = (Kokoro(settings.models_dir, threads) for threads in (settings.threads, 1))
        loading = await asyncio.to_thread(_seconds_to_load, kokoro)
        measured = {name: Measured() for name in TEXTS}
        for _ in range(TIMES):
            for name, text in TEXTS.items():
                await _speak(provider, text, measured[name])
                measured[name].bare.append(await asyncio.to_thread(_bare, kokoro, text))
        single = await asyncio.to_thread(_bare, alone, TEXTS["medium"])
        heard = await _hear(provider, TEXTS["long"])
    finally:
        await provider.aclose()
    threads = f"{settings.threads} threads"
    return [
        Figure("first audio of a short text, nothing loaded before", f"{cold:.2f} s"),
        Figure("Kokoro's weights checked and loaded", f"{loading:.2f} s"),
        *(figure for name, found in measured.items() for figure in _figures(name, found, threads)),
        Figure("real-time factor of the bare session, 1 thread", f"{single / measured['medium'].speech:.2f}"),
        Figure(f"real-time factor of transcription, {threads}", f"{heard:.2f}"),
    ]


async def _speak(provider: LocalProvider, text: str, measured: Measured) -> None:
    began = time.perf_counter()
    pieces: list[Pcm] = []
    async for piece in provider.synthesize(SpeechRequest(text, VOICE)):
        if not pieces:
            measured.first.append(time.perf_counter() - began)
        pieces.append(piece)
    measured.whole.append(time.perf_counter() - began)
    measured.speech = Pcm.join(pieces).seconds


async def _hear(provider: LocalProvider, text: str) -> float:
    """The real-time factor of a transcription, the model loaded."""
    speech = Pcm.join([piece async for piece in provider.synthesize(SpeechRequest(text, VOICE))])
    began = time.perf_counter()
    await provider.transcribe(speech, "en")
    return (time.perf_counter() - began) / speech.seconds


def _seconds_to_load(kokoro: Kokoro) -> float:
    began = time.perf_counter()
    kokoro.load()
    return time.perf_counter() - began


def _bare(kokoro: Kokoro, text: str) -> float:
    from providers.local.pieces import pieces

    phonemes, style = list(pieces(text)), kokoro.voice(VOICE)
    kokoro.load()
    began = time.perf_counter()
    for piece in phonemes:
        kokoro.speak(piece, style)
    return time.perf_counter() - began


def _figures(name: str, measured: Measured, threads: str) -> Sequence[Figure]:
    factor = percentile(measured.whole, 50) / measured.speech
    beside = percentile(measured.whole, 50) / percentile(measured.bare, 50)
    return [
        at_most(
            f"first audio of a {name} text ({measured.speech:.0f} s), p50", percentile(measured.first, 50), 1.0, "s"
        ),
        at_most(f"… p95 of {TIMES}", percentile(measured.first, 95), 1.0, "s"),
        Figure(f"… real-time factor, {threads}, p50", f"{factor:.2f}", "< 0.6", factor < 0.6),
        Figure("… beside the bare session in the same run", f"× {beside:.2f}"),
    ]


if __name__ == "__main__":
    for figure in asyncio.run(main()):
        print(f"{figure.name:<60} {figure.value:>10}  {figure.goal}")
