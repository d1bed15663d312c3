"""What has to be configured before calls can be placed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import httpx
from pydantic import AfterValidator, BeforeValidator, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_TWILIO_HOST = re.compile(r"(^|\.)twilio\.com$")


def _account_sid(value: str) -> str:
    if not _ACCOUNT_SID.fullmatch(value):
        raise ValueError("an account SID is AC and 32 hexadecimal digits: copy it from the Twilio console")
    return value


def _phone_number(value: str) -> str:
    number = re.sub(r"[ ()-]", "", value)
    if not _E164.fullmatch(number):
        raise ValueError("the caller's number is written with its country code, such as +14155550100")
    return number


def _base_url(value: str) -> str:
    """An address that others are appended to, in its canonical form (RFC 3986, 6.2.2): the host in lower case and in
    ASCII, no slash at its end. Twilio is given addresses in this form, and signs them so."""
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        raise ValueError("this is no address: write it as https://voices.example.com") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("the address must begin with https:// or http:// and name a host")
    # Twilio's SDK mangles user names when it checks signatures, and a query would have to come after the path.
    if url.userinfo or "?" in value or "#" in value:
        raise ValueError("the address must be free of user names, passwords, ? and #")
    return str(url).rstrip("/")


def _shared_keys(value: object) -> object:
    """`id:secret`, separated by commas. No message repeats any of it."""
    if not isinstance(value, str):
        return value
    pairs = [pair.strip().partition(":") for pair in value.split(",") if pair.strip()]
    keys = {key: secret for key, _, secret in pairs if key and secret}
    if len(keys) < len(pairs):
        raise ValueError("write each key as id:secret, separated by commas, and each id once")
    return keys


BaseUrl = Annotated[str, AfterValidator(_base_url)]


class TelephonySettings(BaseSettings):
    """Read from the environment, where the names are in capitals. Everything is optional: without credentials no call
    can be placed, and no webhook is believed."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    twilio_account_sid: Annotated[str, AfterValidator(_account_sid)] | None = None
    twilio_auth_token: SecretStr | None = None
    twilio_shared_keys: Annotated[Mapping[str, SecretStr], NoDecode, BeforeValidator(_shared_keys)] = {}
    """Keys by which webhooks may be signed in place of the auth token: the secret of each, by its id."""
    twilio_machine_detection: bool = True
    """Whether Twilio listens for an answering machine, which it charges for."""
    twilio_caller_id: Annotated[str, AfterValidator(_phone_number)] | None = None
    """The number that calls come from: one of the account's, or one verified for it."""
    twilio_api_url: BaseUrl | None = None
    """The base of the REST service, when it is not Twilio's own."""
    public_base_url: BaseUrl = "http://localhost:8000"
    """Under which Twilio reaches this service, and so what it signs."""

    @model_validator(mode="after")
    def _all_or_none(self) -> TelephonySettings:
        credentials = {
            "TWILIO_ACCOUNT_SID": self.twilio_account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio_auth_token,
            "TWILIO_CALLER_ID": self.twilio_caller_id,
        }
        missing = [name for name, value in credentials.items() if value is None]
        if missing and len(missing) < len(credentials):
            there = [name for name in credentials if name not in missing]
            raise ValueError(
                f"Twilio is half configured: set {' and '.join(missing)} as well, or unset {' and '.join(there)}."
            )
        return self

    def problem(self) -> str | None:
        """Why no call can be placed, with what to do about it; None when nothing is missing."""
        if self.twilio_account_sid is None:
            return (
                "Telephone calls are not configured: set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_CALLER_ID, "
                "or use the local exchange."
            )
        if self._asks_twilio and not _reachable_from_outside(urlsplit(self.public_base_url)):
            return (
                f"Twilio cannot reach {self.public_base_url}: set PUBLIC_BASE_URL to the https:// address "
                "under which this service is reached from the Internet."
            )
        return None

    @property
    def _asks_twilio(self) -> bool:
        host = urlsplit(self.twilio_api_url).hostname if self.twilio_api_url else "api.twilio.com"
        return bool(_TWILIO_HOST.search(host or ""))


def _reachable_from_outside(url: SplitResult) -> bool:
    """Whether an address may be one that the Internet reaches: judged by its form, nobody is asked."""
    host = url.hostname or ""
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal"))
