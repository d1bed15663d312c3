"""English text as it is read out: numbers, money, dates, times, abbreviations and addresses in words.

What comes out holds letters, apostrophes, hyphens inside words, and the punctuation that is heard:
`, . ! ? ; : — … ( ) “ ”`. Letters to be spelled out have dots between them (`U.S`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import TypeAlias

from providers.local.numbers import cardinal, decade, digit_by_digit, fraction, money, number, ordinal, year
from providers.local.written_forms import (
    ABBREVIATIONS,
    ADDRESS_SYMBOLS,
    BEFORE_NUMBERS,
    MONTHS,
    SCALES,
    SYMBOLS,
    TITLES,
    UNITS,
)

_Match: TypeAlias = re.Match[str]


def normalize(sentence: str, day_first: bool = False) -> str:
    """A sentence in words. `day_first`: 3/4/2024 is the third of April (British), not March the fourth (American).

    Nothing that can be said is lost; emoji and marks of formatting are left out.
    """
    text = _plain_characters(sentence)
    for pattern, reading in (*_ADDRESSES, *_ABBREVIATED, *_DATES[day_first], *_NUMBERS):
        text = pattern.sub(reading, text)
    text = "".join(f" {SYMBOLS[c]} " if c in SYMBOLS else c for c in text)
    text = re.sub(r"[^\w\s'.,!?;:—…()\"-]|_|(?<!\w)-|-(?!\w)", " ", text)
    text = re.sub(r"[.!?…](?:\s*[.!?…])+", _strongest, text)
    text = re.sub(r"([,;:—])(?:\s*\1)+", r"\1", text)
    text = re.sub(r"\s+([,.!?;:…)])", r"\1", " ".join(text.split()))
    return re.sub(r"(?<![^\s(—])\"", "“", text).replace('"', "”")


def _plain_characters(text: str) -> str:
    """One way to write each quotation mark, dash, bracket, ellipsis and fraction."""
    text = re.sub(r"(?<=\d)(?=[½⅓⅔¼¾⅛])", " ", text).replace("²", " squared").replace("³", " cubed")
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/")  # NFKC writes ½ as 1⁄2
    text = re.sub(r"[‘’ʼ`´]", "'", text)
    text = re.sub(r"[“”«»„‟]", '"', text)
    text = re.sub(r"(?<=\d)\s?[–−]\s?(?=\d)", "-", text).replace("−", "-")
    text = re.sub(r" ?(?:[–—―]|--+) ?| -+ ", " — ", " ".join(text.split()))
    text = re.sub(r"\.(?:\s?\.){2,}", "… ", text)
    return text.translate(str.maketrans("[]{}", "()()"))


def _strongest(marks: _Match) -> str:
    """One mark for several at the end of a sentence: `?!?` → `?`."""
    return next(mark for mark in "?!…." if mark in marks[0])


def _address(match: _Match) -> str:
    """A web or mail address: `example dot com slash news`."""
    said = re.sub(r"[^\w]|_", lambda mark: f" {ADDRESS_SYMBOLS.get(mark[0], '')} ", match["address"])
    said = re.sub(r"\d+", lambda digits: f" {digit_by_digit(digits[0])} ", said)
    return re.sub(r"\bwww\b", "W.W.W", said)


def _abbreviation(match: _Match) -> str:
    full = ABBREVIATIONS[match["short"].lower()]
    return f"{full}{_full_stop(match)}"


def _saint_or_street(match: _Match) -> str:
    follows_name = re.search(r"[A-Z]\w*\s$", match.string[: match.start()])
    return "Saint" if match["name"] is not None and not follows_name else f"Street{_full_stop(match)}"


def _letters(match: _Match) -> str:
    return f"{match['letters']}{_full_stop(match)}"


def _full_stop(match: _Match) -> str:
    """The dot of an abbreviation that ends the sentence is the sentence's full stop, too."""
    return "." if match.groupdict().get("end") is not None else ""


def _clock(match: _Match) -> str:
    hours, minutes, half = int(match["hours"]), int(match.groupdict().get("minutes") or "0"), match["half"]
    said = cardinal(hours)
    if minutes:
        said += f" oh {cardinal(minutes)}" if minutes < 10 else f" {cardinal(minutes)}"
    elif not half:
        said += " o'clock" if 0 < hours <= 12 else " hundred"
    return f"{said} {half.upper()}.M{_full_stop(match)}" if half else said


def _date(match: _Match) -> str:
    in_year = f", {year(int(match['year']))}" if match["year"] else ""
    month, day = match["month"], int(match["day"])
    if month.isdigit():
        if not 1 <= int(month) <= 12 or not 1 <= day <= 31:
            return match[0]
        return f"{MONTHS[int(month) - 1]} {ordinal(day)}{in_year}"
    name = next(name for name in MONTHS if name.startswith(month[:3]))
    if match.start("day") < match.start("month"):
        return f"the {ordinal(day)} of {name}{in_year}"
    return f"{name} {ordinal(day)}{in_year}"


def _money(match: _Match) -> str:
    scale = (match["scale"] or "").lower()
    return money(match["symbol"], match["amount"], SCALES.get(scale, scale))


def _measure(match: _Match) -> str:
    singular, plural = UNITS[match["unit"]]
    return f"{number(match['number'])} {singular if match['number'] == '1' else plural}"


def _phone(match: _Match) -> str:
    plus = "plus " if match[0].startswith("+") else ""
    return plus + ", ".join(digit_by_digit(group) for group in re.findall(r"\d+", match[0]))


def _fraction(match: _Match) -> str:
    whole = f"{cardinal(int(match['whole']))} and " if match["whole"] else ""
    said = fraction(int(match["numerator"]), int(match["denominator"]))
    return f"{whole}{'a half' if whole and said == 'one half' else said}"


_Rule: TypeAlias = tuple[re.Pattern[str], Callable[[_Match], str]]


def _rules(*rules: tuple[str, Callable[[_Match], str]]) -> tuple[_Rule, ...]:
    return tuple((re.compile(pattern), reading) for pattern, reading in rules)


_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_END = r"""(?P<end>(?=["')]*\s*$))?"""  # matches, emptily, at the end of the sentence
_MONTH = "(?P<month>" + "|".join([*MONTHS, *(rf"{month[:3]}\b\.?" for month in MONTHS), r"Sept\b\.?"]) + ")"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?\b"
_YEAR = r"(?:,?\s(?P<year>\d{4})\b)?"

# Each rule sees what the earlier ones have left, so that special readings come before general ones.
_ADDRESSES = _rules(
    (r"(?i)\b(?:(?:https?|ftp)://|mailto:)(?P<address>[^\s<>\"()]*[\w/])", _address),
    (r"(?i)(?P<address>\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+)", _address),
    (r"(?i)(?P<address>\bwww\.[^\s<>\"()]*[\w/])", _address),
    (r"(?P<address>\b(?:[\w-]+\.)+(?:com|org|net|io|dev|ai|gov|edu|uk|eu)\b(?:/[^\s<>\"()]*[\w/])?)", _address),
)
_ABBREVIATED = _rules(
    (r"(?i)\be\.\s?g\.,?", lambda _: "for example,"),
    (r"(?i)\bi\.\s?e\.,?", lambda _: "that is,"),
    (rf"\bSt\.{_END}(?P<name>(?=\s[A-Z]))?", _saint_or_street),
    (rf"\b(?P<title>{'|'.join(TITLES)})\.(?=\s[A-Z])", lambda match: TITLES[match["title"]]),
    (
        rf"(?i)\b(?P<short>{'|'.join(BEFORE_NUMBERS)})\.\s?(?=\d)",
        lambda match: f"{BEFORE_NUMBERS[match['short'].lower()]} ",
    ),
)
_DATES: dict[bool, tuple[_Rule, ...]] = {
    day_first: _rules(
        (r"\b(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)\b", _date),
        (
            r"\b(?P<day>\d{1,2})[/.](?P<month>\d{1,2})[/.](?P<year>\d{4})\b"
            if day_first
            else r"\b(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})\b",
            _date,
        ),
        (rf"\b{_MONTH}\s{_DAY}{_YEAR}(?!:\d)", _date),
        (rf"\b(?:the\s)?{_DAY}(?:\sof)?\s{_MONTH}(?!\w){_YEAR}", _date),
    )
    for day_first in (False, True)
}
_NUMBERS = _rules(
    # months and days of the week are words of their own ("sat", "sun", "mar"): only with a capital, and not at the end
    (
        r"\b(?P<short>Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)\.(?=[\s,])",
        _abbreviation,
    ),
    (rf"(?i)\b(?P<short>approx|ave|blvd|co|corp|dept|dr|etc|inc|jr|ltd|mrs?|ms|sr|vs)\.{_END}", _abbreviation),
    (
        r"\b(?P<hours>[01]?\d|2[0-3]):(?P<minutes>[0-5]\d)(?:\s?(?P<half>[AaPp])\.?[Mm]\b(?:\."
        + _END
        + ")?)?(?!:?\\d)",
        _clock,
    ),
    (rf"\b(?P<hours>1[0-2]|[1-9])\s?(?P<half>[AaPp])\.?[Mm]\b(?:\.{_END})?", _clock),
    (rf"\bPh\.?D\b(?:\.{_END})?", lambda match: f"P.H.D{_full_stop(match)}"),
    (rf"\b(?P<letters>(?:[A-Za-z]\.)+[A-Za-z])\b(?:\.{_END})?", _letters),
    (r"\b(?P<letters>[A-Z])\.(?=\s[A-Z])", _letters),
    (r"\+\d[\d\s().-]{5,18}\d\b", _phone),
    (r"(?:\b1[\s.-])?(?:\(\d{3}\)\s?|\b\d{3}[\s.-])\d{3}[\s.-]\d{4}\b", _phone),
    (r"(?<![\d-])\d{3}-\d{4}\b(?!-)", _phone),
    (r"\b0\d{2,4}[\s-]\d{3,4}[\s-]?\d{3,4}\b", _phone),
    (
        rf"(?P<symbol>[$£€¥])\s?(?P<amount>{_NUMBER})(?:\s?(?P<scale>(?i:hundred|thousand|million|billion|trillion|[mbt]n|[kmbt]))\b)?",
        _money,
    ),
    (r"(?<![\w)])[-](?=\.?\d)", lambda _: "minus "),
    (r"~\s?(?=\d)", lambda _: "about "),
    (r"#\s?(?=\d)", lambda _: "number "),
    (r"\b(?P<tens>1[1-9]\d0|20\d0)s\b", lambda match: decade(int(match["tens"]))),
    (r"'?\b(?P<tens>[2-9]0)s\b", lambda match: decade(int(match["tens"]))),
    (rf"(?<![\d.,])(?P<number>{_NUMBER})\s?(?P<unit>{_UNIT})(?![\w/])", _measure),
    (r"\b(?P<feet>\d)'(?P<inches>\d{1,2})\b\"?", lambda match: f"{match['feet']} foot {match['inches']}"),
    (r"(?<=\b[A-G])#", lambda _: " sharp"),
    (r"(?<=\d)\s?[*×]\s?(?=\d)", lambda _: " times "),
    (r"(?<![\w/])24/7\b", lambda _: "twenty four seven"),
    (r"(?:\b(?P<whole>\d+)\s)?(?<![\w/])(?P<numerator>\d{1,3})/(?P<denominator>\d{1,3})(?![\w/])", _fraction),
    (r"\b(?P<number>\d[\d,]*)(?:st|nd|rd|th)\b", lambda match: ordinal(int(match["number"].replace(",", "")))),
    (r"(?<![\d.,])\d+(?:\.\d+){2,}", lambda match: " point ".join(number(part) for part in match[0].split("."))),
    (r"(?<=\d)\s?-\s?(?=\d)", lambda _: " to "),
    (r"(?<=\d):(?=\d)", lambda _: " "),
    (r"(?<![\d.,])(?:1[1-9]|20)\d\d\b(?![.,]\d)", lambda match: year(int(match[0]))),
    (_NUMBER, lambda match: f" {number(match[0])} "),
)
