"""Why Twilio refuses to place a call, in words that say what to do.

Source of the numbers: Twilio's error dictionary, https://www.twilio.com/docs/api/errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException

from studio.mistakes import FailureCode
from studio.numbers import masked
from studio.ports import CallRefused, CarrierError, CarrierUnavailable

_BAD_NUMBER = "This is no number that can be called. Check its digits and its country code."
_COUNTRY = "The Twilio account may not call this country. Allow it in the Twilio console: Voice, Geo permissions."
_CALLER_ID = (
    "Calls cannot come from TWILIO_CALLER_ID: it must be a number of the Twilio account, or one verified for it."
)
_INACTIVE = "The Twilio account is not active. See the Twilio console for the reason."
_CREDENTIALS = "Twilio does not accept the credentials. Check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN."
_ADDRESS = "Twilio does not accept our address for its webhooks. Check PUBLIC_BASE_URL."
_BUSY = "The Twilio account is placing as many calls as it may. Try again in a minute."

_WORDS: Mapping[int, str] = {
    10001: _INACTIVE,
    10002: "A Twilio trial account cannot do this. Upgrade the account in the Twilio console.",
    10004: _BUSY,
    10005: "Voice calls are switched off for the Twilio account. See the Twilio console for the reason.",
    13224: _BAD_NUMBER,
    20003: _CREDENTIALS,
    20005: _INACTIVE,
    20404: _CREDENTIALS,
    20429: _BUSY,
    21202: "Numbers of this kind are not called: it costs extra. Use an ordinary phone.",
    21203: _COUNTRY,
    21205: _ADDRESS,
    21210: _CALLER_ID,
    21211: _BAD_NUMBER,
    21212: _CALLER_ID,
    21214: "The number cannot be reached. Check it, or try another phone.",
    21215: _COUNTRY,
    21216: "Twilio does not let this account call the number. Use another phone, or ask Twilio's support.",
    21217: _BAD_NUMBER,
    21219: "A Twilio trial account calls only verified numbers. Verify this one in the Twilio console: Phone numbers, "
    "Verified caller IDs.",
    21609: _ADDRESS,
    22005: "Too many calls are waiting at Twilio. Try again later.",
}
_MAY_SUCCEED_LATER = frozenset({10004, 20429, 22005})
_DIGITS = re.compile(r"\+?\d{7,15}")


def call_refusal(error: TwilioException) -> CarrierError:
    """What to raise for the answer to a request to place a call."""
    status, code, message = details(error)
    if status is None or status >= 500 or status == 408:
        return CarrierUnavailable("Twilio could not say whether it placed the call.")
    if status == 429:
        code = 20429
    words = _WORDS.get(code) or f"Twilio refused the call: {_without_numbers(message)} (error {code})"
    return CallRefused(words, FailureCode.CALL_REFUSED, retryable=code in _MAY_SUCCEED_LATER)


def details(error: TwilioException) -> tuple[int | None, int, str]:
    """The HTTP status, if there was an answer; Twilio's error code, or 0; Twilio's words."""
    match error:
        case TwilioRestException():
            return error.status, error.code or 0, str(error.msg)
        case TwilioServiceException():
            return error.status, error.code, error.detail or error.title
        case _:
            return None, 0, str(error)


def _without_numbers(message: str) -> str:
    """Twilio repeats the number; messages end up in logs."""
    return _DIGITS.sub(lambda number: masked(number[0]), message[:300])
