"""The demonstration, run as a user would run it: with the real models, through a call on the exchange."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import jiwer
import pytest

from audio.pcm import Pcm
from audio.wav import read_wav
from deadringer.demo import TEXT
from providers.contract import Transcriber
from providers.manager import load_providers

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.timeout(600)
async def test_the_demo_leaves_speech_in_the_cloned_voice_that_can_be_understood(tmp_path: Path) -> None:
    out = tmp_path / "demo.wav"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deadringer", "demo", "--out", str(out)),
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    story = printed.decode()
    assert process.returncode == 0, story
    for state in ("ANSWERED", "RECORDING", "REVIEWING", "ANALYZING", "CLONING", "READY"):
        assert state in story
    assert "Traceback" not in story

    heard = await _transcript(read_wav(await asyncio.to_thread(out.read_bytes)))
    assert jiwer.wer(_words(TEXT), _words(heard)) <= 0.1, heard


async def _transcript(speech: Pcm) -> str:
    registry = load_providers()
    try:
        whisper = registry.get("local")
        assert isinstance(whisper, Transcriber)
        return (await whisper.transcribe(speech, "en")).text
    finally:
        await registry.aclose()


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))
