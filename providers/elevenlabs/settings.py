"""Which ElevenLabs account, and where it is reached."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MISSING_KEY = "Set ELEVENLABS_API_KEY to an API key of your ElevenLabs account (docs/setup-elevenlabs.md)."


def _sendable(key: SecretStr) -> SecretStr:
    """It travels in a header, where line ends and foreign letters cannot be."""
    value = key.get_secret_value().strip()
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise ValueError("an API key is one word of ASCII characters: copy it again from ElevenLabs")
    return SecretStr(value)


class ElevenLabsSettings(BaseSettings):
    """`ELEVENLABS_API_KEY`: without one, nothing can be done. `ELEVENLABS_API_URL`: the base of the API, where data has
    to stay in a region, or where a stand-in is."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    api_key: Annotated[SecretStr, AfterValidator(_sendable)] | None = Field(
        default=None, validation_alias="ELEVENLABS_API_KEY"
    )
    api_url: HttpUrl = Field(default=HttpUrl("https://api.elevenlabs.io"), validation_alias="ELEVENLABS_API_URL")
