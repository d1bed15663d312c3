"""How much cloned voices sound like their speakers: `python -m bench likeness`, about 10 minutes on two cores.

Each speaker is cloned from a recording in the phone band. The clone says sentences that no fit has used, and a speaker
encoder that no fit has used (bench/judge.py) compares them, full band, with another recording of the same person. So do
the default voice, the nearest stock voice, and the recording itself. `JUDGE_PYTHON` names the judge's interpreter; see
bench/speakers.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.progress import track

from audio.dnsmos import dnsmos
from audio.pcm import Pcm
from audio.wav import read_audio_file
from bench.figures import Figure
from bench.speakers import Speaker, speakers
from providers.local.cloning.blends import nearest_voices
from providers.local.cloning.fit import StyleFitter
from providers.local.cloning.phone_band import through_phone
from providers.local.kokoro import Kokoro, Style
from providers.local.phonemes import phonemize
from providers.local.settings import LocalSettings
from providers.local.transcription import Whisper

TEXTS = (
    "I went to the market yesterday and bought some apples, bread and a bottle of milk.",
    "The weather report says that it will rain later this evening.",
    "How can I help you today, and which number should I use?",
)
DEFAULT_VOICE = "af_heart"

_FOLDER = Path("data/bench")
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Voice:
    """A voice as the judge hears it: all its files together."""

    embedding: NDArray[np.float64]
    f0: float


@dataclass(frozen=True)
class Clone:
    """What came of one speaker: the nearest stock voice, what the clone said, and how long the fit took in seconds."""

    nearest: str
    said: list[Path]
    similarity: float
    seconds: float


@dataclass(frozen=True)
class Likeness:
    """One kind of voice, for every speaker: similarity to each speaker's other recording, and pitch error."""

    similarities: NDArray[np.float64]  # (voices, speakers)
    semitones: NDArray[np.float64]  # (voices,)

    @property
    def own(self) -> NDArray[np.float64]:
        return self.similarities.diagonal()

    @property
    def identified(self) -> int:
        """How many voices are nearer to their own speaker than to all others."""
        return int((self.similarities.argmax(axis=1) == np.arange(len(self.similarities))).sum())


async def main() -> list[Figure]:
    """See `measure`; ends the program in words where the judge is missing."""
    judge = _judge()
    people, left_out = speakers(_FOLDER)
    for remark in left_out:
        print(remark, file=sys.stderr)
    return measure(people, LocalSettings(), judge)


def _judge() -> Path:
    interpreter = Path(os.environ.get("JUDGE_PYTHON", ".venv-judge/bin/python"))
    if not interpreter.exists():
        sys.exit(f"the judge's interpreter {interpreter} is not there: see the commands in bench/speakers.py")
    return interpreter


def measure(people: Sequence[Speaker], settings: LocalSettings, judge: Path) -> list[Figure]:
    """The figures over all speakers, then one for each."""
    folder = _FOLDER / "spoken"
    folder.mkdir(parents=True, exist_ok=True)
    kokoro = Kokoro(settings.models_dir, settings.threads)
    fitter = StyleFitter.load(kokoro, settings.threads)

    clones = [_clone(person, fitter, folder) for person in track(people, description="cloning")]
    stock = {
        name: _speak(kokoro, kokoro.voice(name), folder / name)
        for name in track(sorted({DEFAULT_VOICE, *(clone.nearest for clone in clones)}), description="stock voices")
    }
    cloned_from = [_keep(person.recording, folder / f"{person.name}-recording") for person in people]
    other = [_keep(person.other, folder / f"{person.name}-other") for person in people]
    groups: dict[str, list[list[Path]]] = {
        "default voice": [stock[DEFAULT_VOICE]] * len(people),
        "nearest stock voice": [stock[clone.nearest] for clone in clones],
        "clone": [clone.said for clone in clones],
        "the speaker's other recording": [[file] for file in cloned_from],
    }
    judged = _judged(judge, sorted({file for group in (*groups.values(), [other]) for said in group for file in said}))
    targets = [_voice([judged[file]]) for file in other]
    kinds = {
        kind: _likeness([_voice([judged[file] for file in said]) for said in group], targets)
        for kind, group in groups.items()
    }
    default, nearest, clone, same = kinds.values()
    return [
        Figure("speakers", str(len(people))),
        *(Figure(f"similarity, {kind}", f"{likeness.own.mean():.3f}") for kind, likeness in kinds.items()),
        Figure("similarity, other people", _strangers(same)),
        _gain("default voice", clone, default),
        _gain("nearest stock voice", clone, nearest),
        *(Figure(f"nearest to its speaker, {kind}", f"{k.identified} of {len(people)}") for kind, k in kinds.items()),
        *(Figure(f"pitch error, {kind}", f"{np.abs(k.semitones).mean():.1f} semitones") for kind, k in kinds.items()),
        *_quality("clone", [file for each in clones for file in each.said], settings),
        *_quality("default voice", stock[DEFAULT_VOICE], settings),
        Figure(
            "fit, mean (longest)",
            f"{np.mean([c.seconds for c in clones]):.1f} ({max(c.seconds for c in clones):.1f}) s",
        ),
        *(
            Figure(
                f"{person.name}, {person.language}, {person.recording.seconds:.0f} s",
                f"default {default.own[i]:.3f}, {clones[i].nearest} {nearest.own[i]:.3f}, "
                f"clone {clone.own[i]:.3f} (by its own measure {clones[i].similarity:.2f}), "
                f"the speaker {same.own[i]:.3f}",
            )
            for i, person in enumerate(people)
        ),
    ]


# ── speaking ─────────────────────────────────────────────────────────────────


def _clone(person: Speaker, fitter: StyleFitter, folder: Path) -> Clone:
    begun = time.perf_counter()
    fit = fitter.start(through_phone(person.recording))
    while not fit.finished:
        fit.step()
    fitted = fit.result()
    seconds = time.perf_counter() - begun
    said = _speak(fitter.kokoro, fitted.pack.astype(np.float32), folder / f"{person.name}-clone")
    nearest = str(fitter.table.voices[nearest_voices(fitter.table, fit.likeness)[0]])
    return Clone(nearest, said, fitted.similarity, seconds)


def _speak(kokoro: Kokoro, style: Style, path: Path) -> list[Path]:
    spoken = [kokoro.speak(phonemize(text), style) for text in TEXTS]
    return [_keep(pcm, path.with_name(f"{path.name}-{number}")) for number, pcm in enumerate(spoken)]


def _keep(pcm: Pcm, path: Path) -> Path:
    file = path.with_name(f"{path.name}.wav")
    soundfile.write(file, pcm.samples, pcm.rate, subtype="FLOAT")
    return file


# ── judging ──────────────────────────────────────────────────────────────────


def _judged(judge: Path, files: Sequence[Path]) -> dict[Path, Voice]:
    script = Path(__file__).with_name("judge.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [judge, script], input="\n".join(map(str, files)), env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"the judge failed: {done.stderr.strip()[-1000:]}")
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    voices = [Voice(np.array(verdict["embedding"]), verdict["f0"]) for verdict in verdicts]
    return dict(zip(files, voices, strict=True))


def _voice(heard: Sequence[Voice]) -> Voice:
    embedding = np.mean([voice.embedding for voice in heard], axis=0)
    f0 = float(np.exp(np.mean([np.log(voice.f0) for voice in heard])))
    return Voice(embedding / np.linalg.norm(embedding), f0)


def _likeness(voices: Sequence[Voice], targets: Sequence[Voice]) -> Likeness:
    similarities = np.stack([v.embedding for v in voices]) @ np.stack([t.embedding for t in targets]).T
    semitones = [12.0 * np.log2(voice.f0 / target.f0) for voice, target in zip(voices, targets, strict=True)]
    return Likeness(similarities, np.array(semitones))


def _gain(over: str, better: Likeness, worse: Likeness) -> Figure:
    """Mean paired difference with its 95 % interval: percentile bootstrap over speakers, seeded."""
    gains = better.own - worse.own
    drawn = np.random.default_rng(0).choice(gains, (_RESAMPLES, len(gains))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(
        f"gain over the {over} [95 %]", f"{gains.mean():+.3f} [{low:+.3f}, {high:+.3f}]", "> 0", bool(low > 0)
    )


def _strangers(speaker: Likeness) -> str:
    others = speaker.similarities[~np.eye(len(speaker.similarities), dtype=bool)]
    return f"{others.mean():.3f} (95th percentile {np.percentile(others, 95):.3f})"


def _quality(kind: str, files: Sequence[Path], settings: LocalSettings) -> list[Figure]:
    """How natural (DNSMOS) and how understandable (word error rate of Whisper) the voices are; `TEXTS` in turn."""
    whisper = Whisper(settings.models_dir, settings.threads)
    heard: list[str] = []
    scores: list[float] = []
    for file in track(files, description=f"quality, {kind}"):
        speech = read_audio_file(file)
        heard.append(_plain(whisper.transcribe(speech, "en").text))
        score = dnsmos(speech)
        scores += [score.overall] if score else []
    spoken = [_plain(text) for text in TEXTS] * (len(files) // len(TEXTS))
    return [
        Figure(f"DNSMOS, {kind}", f"{np.mean(scores):.2f} (lowest {min(scores):.2f})"),
        Figure(f"word error rate, {kind}", f"{jiwer.wer(spoken, heard):.3f}"),
    ]


def _plain(text: str) -> str:
    """Words alone: lower case, no punctuation."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))
