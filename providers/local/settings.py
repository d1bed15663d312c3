"""Where the local provider finds its models, and how much of the machine it may use."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LocalSettings(BaseSettings):
    """`MODELS_DIR`: folder of the models put together on this machine. `LOCAL_THREADS`: CPU threads of each."""

    model_config = SettingsConfigDict(populate_by_name=True)

    models_dir: Path = Path("data/models")
    threads: int = Field(default=min(2, os.cpu_count() or 1), ge=1, le=64, validation_alias="LOCAL_THREADS")
