"""Settings from the environment: defaults, what is refused and in which words, and the secret key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from api.app import studio_settings
from api.settings import Settings, SettingsError, read_settings
from studio.studio import DEFAULT_COUNTRIES
from telephony.settings import TelephonySettings

NAMES = [name.upper() for name in Settings.model_fields]


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_everything_has_a_default() -> None:
    settings = read_settings(Settings)
    assert settings.database_url == "sqlite:///data/deadringer.sqlite"
    assert (settings.host, settings.port, settings.public_base_url) == ("127.0.0.1", 8000, "http://localhost:8000")
    assert not settings.secure
    assert tuple(studio_settings(settings).allowed_countries) == tuple(DEFAULT_COUNTRIES)


def test_what_is_set_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATA_DIR": "/var/lib/deadringer",
        "PUBLIC_BASE_URL": "https://voices.example.com/",
        "ALLOWED_ORIGINS": "https://App.example.com:443/, http://localhost:5173",
        "ALLOWED_COUNTRIES": "us, gb",
        "LOG_LEVEL": "debug",
        "PORT": "9000",
        "DEFAULT_CLONE_PROVIDER": "elevenlabs",
        "HOST": "",  # as good as not set
    }.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(Settings)
    assert settings.database_url == "sqlite:////var/lib/deadringer/deadringer.sqlite"
    assert (settings.public_base_url, settings.own_origin) == ("https://voices.example.com",) * 2
    assert settings.secure
    assert settings.allowed_origins == ("https://app.example.com", "http://localhost:5173")
    assert studio_settings(settings).allowed_countries == ("US", "GB")
    assert (settings.log_level, settings.port, settings.host) == ("DEBUG", 9000, "127.0.0.1")
    assert read_settings(Settings, port=1234, host=None).port == 1234


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "eight thousand", "PORT: "),
        ("PORT", "70000", "PORT: "),
        ("LOG_LEVEL", "chatty", "LOG_LEVEL: "),
        ("PUBLIC_BASE_URL", "voices.example.com", "https://"),
        ("ALLOWED_ORIGINS", "https://app.example.com/path", "without a path"),
        ("ALLOWED_ORIGINS", "*", "https://app.example.com"),
        ("ALLOWED_COUNTRIES", "US,Germany", "two letters"),
        ("DATABASE_URL", "mysql://host/db", "sqlite:/// or postgresql://"),
        ("DATABASE_URL", "sqlite://", "must name a file"),
        ("DATABASE_URL", "nonsense", "write it as"),
        ("DATABASE_URL", "postgresql://host:port/db", "write it as"),
        ("SECRET_KEY", "short-and-secret", "at least 32 characters"),
    ],
)
def test_what_cannot_be_used_is_said_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        read_settings(Settings)
    message = str(refused.value)
    assert name in message
    assert words in message
    assert "\n" not in message
    assert "short-and-secret" not in message


def test_everything_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("LOG_LEVEL", "x")
    with pytest.raises(SettingsError) as refused:
        read_settings(Settings)
    assert len(str(refused.value).splitlines()) == 2


def test_other_rooms_settings_are_read_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "nonsense")
    with pytest.raises(SettingsError, match="TWILIO_ACCOUNT_SID: an account SID is"):
        read_settings(TelephonySettings)


def test_with_postgresql_the_secret_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://host/db")
    with pytest.raises(SettingsError, match="SECRET_KEY: required with PostgreSQL"):
        read_settings(Settings)
    monkeypatch.setenv("SECRET_KEY", "k" * 32)
    assert read_settings(Settings).signing_key() == b"k" * 32


def test_the_secret_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = Settings(data_dir=data).signing_key()
    assert len(key) >= 48
    assert Settings(data_dir=data).signing_key() == key
    [kept] = data.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert Settings(data_dir=tmp_path / "other").signing_key() != key


def test_a_kept_secret_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    key = Settings(data_dir=tmp_path).signing_key()
    (tmp_path / "secret_key").chmod(0o644)
    assert Settings(data_dir=tmp_path).signing_key() == key
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_a_secret_that_cannot_be_kept_or_is_damaged_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="DATA_DIR"):
        Settings(data_dir=tmp_path / "file").signing_key()
    (tmp_path / "secret_key").write_text("")
    with pytest.raises(SettingsError, match="delete the file"):
        Settings(data_dir=tmp_path).signing_key()
