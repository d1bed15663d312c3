"""What has to be configured, and what is said when it is not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from telephony.settings import TelephonySettings

WHOLE = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "hush-hush",
    "TWILIO_CALLER_ID": "+1 (415) 555-0100",
    "PUBLIC_BASE_URL": "https://voices.example.com/",
}


def read(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> TelephonySettings:
    for name in (*WHOLE, "TWILIO_API_URL", "TWILIO_SHARED_KEYS", "TWILIO_MACHINE_DETECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return TelephonySettings()


def test_everything_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, WHOLE)
    assert settings.problem() is None
    assert settings.twilio_caller_id == "+14155550100"
    assert settings.public_base_url == "https://voices.example.com"
    assert "hush-hush" not in repr(settings)


def test_nothing_set_is_no_error_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = read(monkeypatch, {"TWILIO_AUTH_TOKEN": ""}).problem()
    assert problem is not None
    assert all(name in problem for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_CALLER_ID"))


@pytest.mark.parametrize("forgotten", ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_CALLER_ID"])
def test_half_set_credentials_name_what_is_missing(monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    environment = {name: value for name, value in WHOLE.items() if name != forgotten}
    with pytest.raises(ValidationError, match=f"set {forgotten} as well") as refused:
        read(monkeypatch, environment)
    assert "hush-hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TWILIO_ACCOUNT_SID", "SK" + "0" * 32, "AC and 32"),
        ("TWILIO_ACCOUNT_SID", "AC123", "AC and 32"),
        ("TWILIO_CALLER_ID", "415 555 0100", "country code"),
        ("PUBLIC_BASE_URL", "voices.example.com", "https://"),
        ("PUBLIC_BASE_URL", "ftp://voices.example.com", "https://"),
        ("PUBLIC_BASE_URL", "https://me:secret@voices.example.com", "free of user names"),
        ("PUBLIC_BASE_URL", "https://voices.example.com/?a=1", "free of user names"),
        ("PUBLIC_BASE_URL", "https://voices.example.com:port", "no address"),
        ("PUBLIC_BASE_URL", "https://voices.example.com/#a", "free of user names"),
        ("PUBLIC_BASE_URL", "https://", "name a host"),
        ("TWILIO_API_URL", "http://[::1", "no address"),
        ("TWILIO_MACHINE_DETECTION", "perhaps", "boolean"),
    ],
)
def test_what_cannot_be_right_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        read(monkeypatch, {**WHOLE, name: value})


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("https://Voices.Example.com:443/", "https://voices.example.com"),
        ("http://voices.example.com:80/App//", "http://voices.example.com/App"),
        ("https://voices.example.com:8443/a%20b/", "https://voices.example.com:8443/a%20b"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_address_has_one_form(monkeypatch: pytest.MonkeyPatch, written: str, canonical: str) -> None:
    assert read(monkeypatch, {"PUBLIC_BASE_URL": written}).public_base_url == canonical


def test_shared_keys_are_named_and_kept_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, {"TWILIO_SHARED_KEYS": "key_1:hush:hush, key_2:hush-hush,"})
    assert {key: each.get_secret_value() for key, each in settings.twilio_shared_keys.items()} == {
        "key_1": "hush:hush",
        "key_2": "hush-hush",
    }
    assert "hush" not in repr(settings)
    assert read(monkeypatch, {"TWILIO_SHARED_KEYS": ""}).twilio_shared_keys == {}


@pytest.mark.parametrize("keys", ["hush-hush", "key_1:", ":hush-hush", "key_1:hush-hush,key_1:hush-hush"])
def test_shared_keys_that_cannot_be_read_are_refused_without_being_told(
    monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    with pytest.raises(ValidationError, match="id:secret") as refused:
        read(monkeypatch, {"TWILIO_SHARED_KEYS": keys})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        ("http://localhost:8000", False),
        ("http://127.0.0.1:8000", False),
        ("http://192.168.1.4", False),
        ("http://[::1]:8000", False),
        ("http://studio", False),
        ("https://laptop.local", False),
        ("https://voices.example.com", True),
        ("http://8.8.8.8:8080", True),
    ],
)
def test_twilio_must_be_able_to_reach_us(monkeypatch: pytest.MonkeyPatch, address: str, reachable: bool) -> None:
    problem = read(monkeypatch, {**WHOLE, "PUBLIC_BASE_URL": address}).problem()
    assert (problem is None) is reachable
    assert problem is None or "PUBLIC_BASE_URL" in problem
    beside = {**WHOLE, "PUBLIC_BASE_URL": address, "TWILIO_API_URL": "http://127.0.0.1:8001"}
    assert read(monkeypatch, beside).problem() is None
