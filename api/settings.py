"""What can be set from the environment; everything has a default that works on this machine."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.exc import ArgumentError

from studio.database import database_url
from telephony.settings import BaseUrl

_SHORTEST_SECRET = 32  # characters
_SECRET_FILE = "secret_key"
_HOW_TO_MAKE_ONE = "To make one: python -c 'import secrets; print(secrets.token_urlsafe(48))'"

S = TypeVar("S", bound=BaseSettings)


class SettingsError(Exception):
    """Something in the environment cannot be used; the message names each setting and says what to do."""


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _countries(codes: tuple[str, ...]) -> tuple[str, ...]:
    codes = tuple(code.upper() for code in codes)
    if wrong := [code for code in codes if not (len(code) == 2 and code.isascii() and code.isalpha())]:
        raise ValueError(f"write countries as two letters (ISO 3166-1), such as US,GB; not {', '.join(wrong)}")
    return codes


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_origin(origin) for origin in origins)


def _origin(text: str) -> str:
    """The form in which browsers send it: scheme and host in lower case, no default port, no slash at the end."""
    try:
        url = urlsplit(text.lower())
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/") or url.query or "@" in text:
        raise ValueError(f"write an origin as https://app.example.com, without a path; not {text}")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}" + ("" if port in (None, 80 if url.scheme == "http" else 443) else f":{port}")


def _database(value: str) -> str:
    try:
        database_url(value)
    except (ArgumentError, ValueError) as wrong:
        if str(wrong).startswith("DATABASE_URL "):
            raise ValueError(str(wrong).removeprefix("DATABASE_URL ")) from None
        raise ValueError("write it as sqlite:///path/to/file.sqlite or postgresql://user@host/database") from None
    return value


def _secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < _SHORTEST_SECRET:
        raise ValueError(f"at least {_SHORTEST_SECRET} characters, please. {_HOW_TO_MAKE_ONE}")
    return value


class Settings(BaseSettings):
    """Read from the environment, where the names are in capitals. `TWILIO_*` are telephony's own, and a provider's are
    its own."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    data_dir: Path = Path("data")
    """Where everything is kept that is not in the database; and the database, when it is SQLite's."""
    database_url: Annotated[str, AfterValidator(_database)] = ""
    """sqlite:///path/to/file.sqlite or postgresql://…; by default a file in `data_dir`."""
    secret_key: Annotated[SecretStr, AfterValidator(_secret)] | None = None
    """Signs audio links. Made and kept in `data_dir` when absent; all processes on one database must share it."""
    public_base_url: BaseUrl = "http://localhost:8000"
    """Under which people's browsers reach this service."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_origins)] = ()
    """Other sites whose pages may use this service, separated by commas."""
    allowed_countries: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_countries)] = ()
    """Countries that may be called, such as US,GB; by default the studio's."""
    default_clone_provider: str = Field(default="local", min_length=1)
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
    ] = "INFO"
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=0, le=65535)

    @model_validator(mode="before")
    @classmethod
    def _database_beside_the_data(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("database_url"):
            return values
        return {**values, "database_url": f"sqlite:///{Path(values.get('data_dir', 'data')) / 'deadringer.sqlite'}"}

    @model_validator(mode="after")
    def _one_secret_for_all_processes(self) -> Settings:
        if self.secret_key is None and not self.database_url.startswith("sqlite"):
            raise ValueError(
                f"SECRET_KEY: required with PostgreSQL: every process must sign with the same one. {_HOW_TO_MAKE_ONE}"
            )
        return self

    @property
    def secure(self) -> bool:
        """Whether browsers come by https."""
        return self.public_base_url.startswith("https://")

    @property
    def own_origin(self) -> str:
        url = urlsplit(self.public_base_url)
        return _origin(f"{url.scheme}://{url.netloc}")

    def signing_key(self) -> bytes:
        """`secret_key`, or the one that is kept in `data_dir`: readable by its owner alone, made when it is not there.

        Raises:
            SettingsError: it can be neither read nor made.
        """
        if self.secret_key is not None:
            return self.secret_key.get_secret_value().encode()
        path = self.data_dir / _SECRET_FILE
        try:
            key = _kept_secret(path)
        except OSError as error:
            raise SettingsError(
                f"The secret key cannot be kept in {path} ({error.strerror}): "
                "make DATA_DIR a folder that can be written, or set SECRET_KEY."
            ) from error
        if len(key) < _SHORTEST_SECRET:
            raise SettingsError(f"The secret key in {path} is damaged: delete the file, and a new one will be made.")
        return key


def _kept_secret(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        with open(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:  # noqa: PTH123
            file.write(secrets.token_urlsafe(48))
        try:
            # Whole as soon as it has its name, and never over one that another process has just made.
            path.hardlink_to(new)
        except FileExistsError:
            pass
        finally:
            new.unlink()
    path.chmod(0o600)
    return path.read_bytes()


def read_settings(kind: Callable[..., S], **given: object) -> S:
    """Settings from the environment; `given` ones go before it.

    Raises:
        SettingsError: one message with everything that is wrong. Values are not repeated in it: some are secret.
    """
    try:
        return kind(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_problem(problem) for problem in error.errors(include_input=False))) from None


def _problem(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"]).upper()
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message
