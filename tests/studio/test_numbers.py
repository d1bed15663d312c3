from __future__ import annotations

import pytest

from studio.mistakes import Mistake, MistakeCode
from studio.numbers import callable_number, masked

HERE = ("US", "GB", "DE")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+14155552671", "+14155552671"),
        (" +1 (415) 555-2671 ", "+14155552671"),
        ("+44 20 7946 0958", "+442079460958"),
        ("+49 30 901820", "+4930901820"),
    ],
)
def test_numbers_become_e164(text: str, number: str) -> None:
    assert callable_number(text, HERE) == number


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", MistakeCode.INVALID),
        ("4155552671", MistakeCode.INVALID),
        ("+1", MistakeCode.INVALID),
        ("+1415555267", MistakeCode.INVALID),
        ("+999123456789", MistakeCode.INVALID),
        ("+1415555267x", MistakeCode.INVALID),
        ("tel:+14155552671", MistakeCode.INVALID),
        ("+" + "1" * 100, MistakeCode.INVALID),
        ("+1415\x005552671", MistakeCode.INVALID),
        ("+33612345678", MistakeCode.COUNTRY_NOT_ALLOWED),
        ("+18765551234", MistakeCode.COUNTRY_NOT_ALLOWED),  # Jamaica, beside the United States in +1
        ("+19005551234", MistakeCode.NOT_ALLOWED),  # premium rate
        ("+448712345678", MistakeCode.NOT_ALLOWED),
    ],
)
def test_other_numbers_are_not_called(text: str, code: MistakeCode) -> None:
    with pytest.raises(Mistake) as caught:
        callable_number(text, HERE)
    assert caught.value.code is code
    assert caught.value.field == ("phone",)


def test_a_number_in_a_log_is_masked() -> None:
    assert masked("+14155552671") == "+1415•••2671"
    assert masked("+12345") == "•••"
