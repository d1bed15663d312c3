"""Errors as data: what the caller of an operation can mend at once (`Mistake`), and why something ended badly
later on (`FailureCode`)."""

from __future__ import annotations

from collections.abc import Mapping
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
    ANSWERING_MACHINE = "answering_machine"
    CALL_FAILED = "call_failed"
    CALL_REFUSED = "call_refused"
    CALL_UNCERTAIN = "call_uncertain"
    CALL_LOST = "call_lost"
    NUMBER_NOT_CALLABLE = "number_not_callable"
    CARRIER_ACCOUNT = "carrier_account"
    CARRIER_BUSY = "carrier_busy"
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
    STORAGE_FULL = "storage_full"
    INTERNAL = "internal"


# What a person can do about it, and whether the same request may succeed later.
_WORDS: Mapping[FailureCode, tuple[str, bool]] = {
    FailureCode.BUSY: ("The phone was busy. Start again when the line is free.", True),
    FailureCode.NO_ANSWER: ("Nobody answered the phone. Start again and pick up.", True),
    FailureCode.ANSWERING_MACHINE: ("An answering machine picked up. Start again when somebody can answer.", True),
    FailureCode.CALL_FAILED: ("The call could not be put through. Check the number and start again.", True),
    FailureCode.CALL_REFUSED: ("The carrier refused to place the call.", False),
    FailureCode.CALL_UNCERTAIN: (
        "We lost touch with the carrier while placing the call, and did not dial again so that the phone rings only "
        "once. Start again.",
        True,
    ),
    FailureCode.CALL_LOST: ("The call broke off before the recording was made. Start again.", True),
    FailureCode.NUMBER_NOT_CALLABLE: ("This number cannot be called. Check it, or use another phone.", False),
    FailureCode.CARRIER_ACCOUNT: (
        "The account at the phone carrier is not ready for this call. Whoever runs this service has to see to it.",
        False,
    ),
    FailureCode.CARRIER_BUSY: ("The phone carrier has too many calls at the moment. Try again in a minute.", True),
    FailureCode.CARRIER_UNAVAILABLE: ("The phone carrier cannot be reached. Try again in a few minutes.", True),
    FailureCode.NO_KEY_PRESSED: ("Nobody pressed a key. Start again and follow the voice.", True),
    FailureCode.WRONG_CODE: ("The digits keyed in were not those shown in the app. Start again.", True),
    FailureCode.NOT_AGREED: ("The person on the phone did not agree, so nothing was recorded.", True),
    FailureCode.HUNG_UP_EARLY: ("The call ended before there was a recording. Start again.", True),
    FailureCode.TOO_LITTLE_SPEECH: (
        "There was too little speech to make a voice from. Start again and speak for 20 to 30 seconds.",
        True,
    ),
    FailureCode.RECORDING_MISSING: ("The carrier did not hand over the recording. Start again.", True),
    FailureCode.RECORDING_UNUSABLE: ("The recording came damaged from the carrier. Start again.", True),
    FailureCode.PROVIDER_NOT_CONFIGURED: ("The provider is not set up.", True),
    FailureCode.PROVIDER_REFUSED: ("The provider will not do this.", False),
    FailureCode.PROVIDER_QUOTA: ("The provider's allowance is used up.", True),
    FailureCode.PROVIDER_UNAVAILABLE: ("The provider did not manage it. Try again later.", True),
    FailureCode.VOICE_GONE: ("The voice no longer exists.", False),
    FailureCode.STORAGE_FULL: (
        "There is no room left to store the sound. Whoever runs this service has to make some; then start again.",
        True,
    ),
    FailureCode.INTERNAL: ("Something went wrong on our side. Try again.", True),
}


def words_for(code: FailureCode) -> tuple[str, bool]:
    """The usual message of a failure, and whether it is retryable."""
    return _WORDS[code]
