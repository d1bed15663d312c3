"""Phone numbers: E.164 only, of kinds and countries that may be called."""

from __future__ import annotations

from collections.abc import Collection

import phonenumbers
from phonenumbers import PhoneNumberType

from studio.mistakes import Mistake, MistakeCode

# Kinds that cost the caller or earn the called: the ways of toll fraud.
_NEVER_CALLED = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.UAN,
        PhoneNumberType.PAGER,
        PhoneNumberType.VOICEMAIL,
    }
)


def callable_number(text: str, countries: Collection[str], field: tuple[str, ...] = ("phone",)) -> str:
    """A number that may be called, in E.164 form (ITU-T E.164: + and at most 15 digits).

    Raises:
        Mistake: INVALID, COUNTRY_NOT_ALLOWED, NOT_ALLOWED.
    """
    text = text.strip()
    try:
        number = phonenumbers.parse(text, None) if text.startswith("+") and len(text) <= 32 else None
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise Mistake(
            MistakeCode.INVALID, "Give a whole phone number with its country code, such as +14155552671.", field
        )
    region = phonenumbers.region_code_for_number(number)
    if region not in countries:
        raise Mistake(
            MistakeCode.COUNTRY_NOT_ALLOWED,
            f"Calls to {region or 'that country'} are not allowed here. "
            f"Allowed: {', '.join(sorted(countries))} (ALLOWED_COUNTRIES).",
            field,
        )
    if phonenumbers.number_type(number) in _NEVER_CALLED:
        raise Mistake(MistakeCode.NOT_ALLOWED, "Numbers of this kind are not called. Use an ordinary phone.", field)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def masked(number: str) -> str:
    """A number as it may stand in a log: +1415•••2671."""
    return f"{number[:5]}•••{number[-4:]}" if len(number) > 9 else "•••"
