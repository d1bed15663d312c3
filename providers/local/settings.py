"""Where the local provider finds its models, and how much of the machine it may use."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings


class LocalSettings(BaseSettings):
    """`MODELS_DIR`: folder of the models put together on this machine. `LOCAL_THREADS`: CPU threads of each."""

    models_dir: Path = Field(default=Path("data/models"), validation_alias="MODELS_DIR")
    threads: int = Field(default=min(2, os.cpu_count() or 1), ge=1, le=64, validation_alias="LOCAL_THREADS")
