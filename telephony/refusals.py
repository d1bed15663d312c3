"""Why Twilio refuses to place a call, or did not put it through, in words that say what to do.

Source of the numbers: Twilio's error dictionary, https://www.twilio.com/docs/api/errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http.response import Response

from studio.mistakes import FailureCode, words_for
from studio.numbers import masked
from studio.ports import CallRefused, CarrierError, CarrierUnavailable

_INACTIVE = (
    "The Twilio account is not active. See the Twilio console: the balance, under Billing, and what Twilio wrote about "
    "a suspension."
)
_CREDENTIALS = (
    "Twilio does not accept the credentials. Compare TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN with the Twilio console, "
    "and see there that the account is not suspended."
)
_COUNTRY = "The Twilio account may not call this country. Allow it in the Twilio console: Voice, Geo permissions."
_CALLER_ID = (
    "Calls cannot come from TWILIO_CALLER_ID. Set a number of the Twilio account, or verify this one in the Twilio "
    "console: Phone numbers, Verified caller IDs."
)
_ADDRESS = "Twilio does not accept our address for its webhooks. Check PUBLIC_BASE_URL."
_BAD_NUMBER = "This is no number that can be called. Check its digits and its country code."

_BY_CODE: Mapping[FailureCode, Mapping[int, str]] = {
    FailureCode.CARRIER_ACCOUNT: {
        10001: _INACTIVE,
        10002: "A Twilio trial account cannot do this. Upgrade the account in the Twilio console.",
        10005: "Voice calls are switched off for the Twilio account. Ask Twilio's support in the Twilio console.",
        13227: _COUNTRY,
        20003: _CREDENTIALS,
        20005: _INACTIVE,
        20006: _CREDENTIALS,
        20403: _INACTIVE,
        20404: _CREDENTIALS,
        21203: _COUNTRY,
        21205: _ADDRESS,
        21210: _CALLER_ID,
        21212: _CALLER_ID,
        21213: _CALLER_ID,
        21215: _COUNTRY,
        21219: "A Twilio trial account calls only verified numbers. Verify this one in the Twilio console (Phone "
        "numbers, Verified caller IDs), or upgrade the account.",
        21609: _ADDRESS,
        32205: _COUNTRY,
        90010: _INACTIVE,
    },
    FailureCode.NUMBER_NOT_CALLABLE: {
        13223: _BAD_NUMBER,
        13224: _BAD_NUMBER,
        13225: "Twilio does not call this number. Use another phone.",
        13226: _BAD_NUMBER,
        21202: "Numbers of this kind are not called: it costs extra. Use an ordinary phone.",
        21211: _BAD_NUMBER,
        21214: "The number cannot be reached. Check it, or use another phone.",
        21216: "Twilio blocks calls from this account to the number. Use another phone; or have it unblocked in the "
        "Twilio console: by a customer profile (Trust Hub), which calls to North America need, or by Twilio's support.",
        21217: _BAD_NUMBER,
    },
    FailureCode.CARRIER_BUSY: {
        10004: "The Twilio account has as many calls at a time as it may. Try again in a minute. To raise the limit, "
        "upgrade the account and complete its customer profile in the Twilio console (Trust Hub).",
        20429: "Twilio got too many requests from the account. Try again in a minute.",
        22005: "More calls than a day's are waiting at Twilio. Try again later, or have the account's calls per second "
        "raised in the Twilio console.",
    },
}
_REFUSALS = {number: (code, words) for code, each in _BY_CODE.items() for number, words in each.items()}
# SIP answers (RFC 3261, 21.4) that a number gets on which nobody can be reached.
_NO_SUCH_NUMBER = frozenset({404, 410, 484, 604})
_DIGITS = re.compile(r"\+?\d{7,15}")


def call_refusal(error: TwilioException) -> CarrierError:
    """What to raise for the answer to a request to place a call."""
    status, number, message = details(error)
    if status is None or status >= 500 or status == 408:
        return CarrierUnavailable("Twilio could not say whether it placed the call.")
    if status == 429:
        number = 20429
    unheard_of = f"Twilio refused the call: {_without_numbers(message)} (error {number})"
    code, words = _REFUSALS.get(number, (FailureCode.CALL_REFUSED, unheard_of))
    return CallRefused(words, code, retryable=words_for(code)[1])


def call_failure(number: int | None, message: str | None, sip: int | None) -> tuple[FailureCode, str] | None:
    """Why a call that Twilio had accepted failed: by its error, or else by what the network answered (SIP)."""
    if number:
        said = f": {_without_numbers(message)}" if message else ""
        return _REFUSALS.get(number, (FailureCode.CALL_FAILED, f"The call failed{said} (Twilio error {number})."))
    if sip in _NO_SUCH_NUMBER:
        return FailureCode.NUMBER_NOT_CALLABLE, f"There is no phone at this number (SIP {sip}). Check its digits."
    if sip is not None and sip >= 300:
        return FailureCode.CALL_FAILED, f"The network could not put the call through (SIP {sip}). Start again later."
    return None


def details(error: TwilioException) -> tuple[int | None, int, str]:
    """The HTTP status, if there was an answer; Twilio's error code, or 0; Twilio's words."""
    match error:
        case TwilioRestException():
            return error.status, error.code or 0, str(error.msg)
        case TwilioServiceException():
            return error.status, error.code, error.detail or error.title
        case TwilioException(args=(str(words), Response() as answer)):  # of a list, whose errors the SDK does not read
            return answer.status_code, 0, words
        case _:
            return None, 0, str(error)


def _without_numbers(message: str) -> str:
    """Twilio repeats the number; messages end up in logs."""
    return _DIGITS.sub(lambda number: masked(number[0]), message[:300])
