"""Numbers in English words."""

from __future__ import annotations

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"))
_IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_LONGEST_CARDINAL = 15
"""Digits; what is longer is an identifier, and read digit by digit."""

_PARTS = ("half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_CURRENCIES = {
    "$": (("dollar", "dollars"), ("cent", "cents")),
    "£": (("pound", "pounds"), ("penny", "pence")),
    "€": (("euro", "euros"), ("cent", "cents")),
    "¥": (("yen", "yen"), ("sen", "sen")),
}


def cardinal(value: int) -> str:
    """1234 → one thousand two hundred and thirty four. From 0 to 15 digits."""
    if value < 20:
        return _SMALL[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return _TENS[tens - 2] + (f" {_SMALL[ones]}" if ones else "")
    if value < 1000:
        hundreds, rest = divmod(value, 100)
        return f"{_SMALL[hundreds]} hundred" + (f" and {cardinal(rest)}" if rest else "")
    size, scale = next((size, scale) for size, scale in _SCALES if value >= size)
    count, rest = divmod(value, size)
    return f"{cardinal(count)} {scale}" + (f" {'and ' if rest < 100 else ''}{cardinal(rest)}" if rest else "")


def ordinal(value: int) -> str:
    """21 → twenty first."""
    *before, last = cardinal(value).split()
    said = _IRREGULAR.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*before, said])


def year(value: int) -> str:
    """1999 → nineteen ninety nine, 1905 → nineteen oh five, 2005 → two thousand and five."""
    century, rest = divmod(value, 100)
    if value < 1000 or value % 1000 < 10:
        return cardinal(value)
    if not rest:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def decade(value: int) -> str:
    """1990 → nineteen nineties."""
    said = year(value)
    return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"


def digit_by_digit(digits: str) -> str:
    return " ".join(cardinal(int(digit)) for digit in digits)


def number(text: str) -> str:
    """A whole or decimal number as it is written, with or without thousands separators: `1,234.5`."""
    whole, _, decimals = text.replace(",", "").partition(".")
    if len(whole) > _LONGEST_CARDINAL or (len(whole) > 1 and int(whole[0]) == 0):
        said = digit_by_digit(whole)
    else:
        said = cardinal(int(whole or "0"))
    return f"{said} point {digit_by_digit(decimals)}" if decimals else said


def fraction(numerator: int, denominator: int) -> str:
    """3, 4 → three quarters."""
    if not 0 < numerator < denominator <= 10:
        return f"{cardinal(numerator)} slash {cardinal(denominator)}"
    part = _PARTS[denominator - 2]
    if numerator == 1:
        return f"one {part}"
    return f"{cardinal(numerator)} {part}s"


def money(symbol: str, amount: str, scale: str = "") -> str:
    """`$`, `12.50` → twelve dollars and fifty cents; `€`, `1.2`, `million` → one point two million euros."""
    (unit, units), (part, parts) = _CURRENCIES[symbol]
    whole, _, decimals = amount.partition(".")
    if scale or len(decimals) not in (0, 2):
        return f"{number(amount)} {scale} {units}"
    hundredths = int(decimals or "0")
    said = f"{number(whole)} {unit if whole == '1' else units}"
    small = f"{cardinal(hundredths)} {part if hundredths == 1 else parts}"
    if not hundredths:
        return said
    return small if not whole.strip("0") else f"{said} and {small}"
