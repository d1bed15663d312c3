"""Errors as data: what the caller of an operation can mend at once (`Mistake`), and why something ended badly
later on (`FailureCode`)."""

from __future__ import annotations

from enum import StrEnum


class MistakeCode(StrEnum):
    INVALID = "INVALID"
    REQUIRED = "REQUIRED"
    NOT_FOUND = "NOT_FOUND"
    TAKEN = "TAKEN"
    TOO_LONG = "TOO_LONG"
    NOT_ALLOWED = "NOT_ALLOWED"
    NOT_CONFIGURED = "NOT_CONFIGURED"
    UNPROVEN_NUMBER = "UNPROVEN_NUMBER"
    COUNTRY_NOT_ALLOWED = "COUNTRY_NOT_ALLOWED"
    RATE_LIMITED = "RATE_LIMITED"
    QUOTA = "QUOTA"
    AT_CAPACITY = "AT_CAPACITY"
    WRONG_STATE = "WRONG_STATE"


class Mistake(Exception):
    """A mistake that the caller can mend: what is wrong, a stable code, and the path of the input field."""

    def __init__(self, code: MistakeCode, message: str, field: tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


class FailureCode(StrEnum):
    """Why a call, a clone or a synthesis ended badly. Stable: clients may act on them."""

    BUSY = "busy"
    NO_ANSWER = "no_answer"
    CALL_FAILED = "call_failed"
    CALL_REFUSED = "call_refused"
    CALL_UNCERTAIN = "call_uncertain"
    CALL_LOST = "call_lost"
    CARRIER_UNAVAILABLE = "carrier_unavailable"
    NO_KEY_PRESSED = "no_key_pressed"
    WRONG_CODE = "wrong_code"
    NOT_AGREED = "not_agreed"
    HUNG_UP_EARLY = "hung_up_early"
    TOO_LITTLE_SPEECH = "too_little_speech"
    RECORDING_MISSING = "recording_missing"
    RECORDING_UNUSABLE = "recording_unusable"
    PROVIDER_NOT_CONFIGURED = "provider_not_configured"
    PROVIDER_REFUSED = "provider_refused"
    PROVIDER_QUOTA = "provider_quota"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    VOICE_GONE = "voice_gone"
    INTERNAL = "internal"
