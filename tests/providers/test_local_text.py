"""From text to what Kokoro is given: read out in words, in phonemes, in pieces; nothing lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.local.kokoro import MAX_TOKENS
from providers.local.normalization import normalize
from providers.local.numbers import cardinal, decade, ordinal, year
from providers.local.phonemes import phonemize
from providers.local.pieces import FIRST_PIECE, LATER_PIECES, pieces, sentences


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("$12.50 and £3.2bn", "twelve dollars and fifty cents and three point two billion pounds"),
        ("€0.99, $1 or 50¢", "ninety nine cents, one dollar or fifty cents"),
        ("1,234 of 3.14", "one thousand two hundred and thirty four of three point one four"),
        ("-5°C and 50%", "minus five degrees Celsius and fifty percent"),
        ("3:45 p.m., 3:05, 10:00 and 9am", "three forty five P.M, three oh five, ten o'clock and nine A.M"),
        ("on Jan. 5th, 2024", "on January fifth, twenty twenty four"),
        ("5 May 1999 or 2024-01-05", "the fifth of May, nineteen ninety nine or January fifth, twenty twenty four"),
        ("the 1990s, the '80s and 1905", "the nineteen nineties, the eighties and nineteen oh five"),
        ("2005-2010", "two thousand and five to twenty ten"),
        ("call 555-0123", "call five five five, zero one two three"),
        ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
        ("1/2, 2½ and 3/4", "one half, two and a half and three quarters"),
        ("the 1st, 2nd and 21st", "the first, second and twenty first"),
        ("Dr. Smith of St. Louis on Main St.", "doctor Smith of Saint Louis on Main Street."),
        ("No. 5, e.g. this, etc.", "number five, for example, this, et cetera."),
        ("the U.S. at 5 p.m.", "the U.S at five P.M."),
        ("see https://example.com/a?b=1.", "see example dot com slash a question mark b equals one."),
        ("to bob@example.com 🙂", "to bob at example dot com"),
        ("GPT-4, 100GB and 5'10\"", "GPT four, one hundred gigabytes and five foot ten"),
        ("Well -- no... really?!?!", "Well — no… really?"),
        ("**bold** & snake_case", "bold and snake case"),
        ('"Yes," she said', "“Yes,” she said"),
        ("agent 007", "agent zero zero seven"),
        ("1212121212121212", "one two" + 7 * " one two"),  # too long for a quantity
    ],
)
def test_text_is_read_out_in_words(written: str, read: str) -> None:
    assert normalize(written) == read


def test_the_order_of_a_numeric_date_is_the_accents() -> None:
    assert normalize("3/4/2024") == "March fourth, twenty twenty four"
    assert normalize("3/4/2024", day_first=True) == "April third, twenty twenty four"


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_out_without_digits_or_formatting(text: str) -> None:
    read = normalize(text)
    assert not any(c.isdecimal() for c in read)
    assert not set(read) & set("$£€%@#*_/\\<>[]{}|~^`=+&")


@given(st.integers(0, 10**15 - 1))
def test_numbers_have_words_without_gaps(value: int) -> None:
    assert "  " not in cardinal(value)
    assert ordinal(value).split()[:-1] == cardinal(value).split()[:-1]


def test_years_and_decades() -> None:
    assert [year(value) for value in (1066, 1900, 1905, 2000, 2024)] == [
        "ten sixty six",
        "nineteen hundred",
        "nineteen oh five",
        "two thousand",
        "twenty twenty four",
    ]
    assert decade(90) == "nineties"


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("the apple, the pear", "ði ˈæpᵊl, ðə pˈɛɹ."),  # "the" before a vowel
        ("to act, to go to", "tʊ ˈækt, tə ɡˌO tu."),
        ("I read it yesterday. I will read it.", "ˌI ɹˈɛd ɪt jˈɛstəɹdˌA. ˌI wɪl ɹˈid ɪt."),
        ("little water", "lˈɪTᵊl wˈɔTəɹ."),  # syllabic l, flaps
        ("A boy and an egg", "ɐ bˈY ænd ɐn ˈɛɡ."),
        ("the FBI and NASA", "ði ˌɛfbˌiˈI ænd nˈæsə."),
        ("the boy's emojis walked", "ðə bˈYz ɪmˈOʤiz wˈɔkt."),
        ("café Zürich", "kæfˈA zˈuɹɪk."),
        ("GraphQL", "ɡɹˈæfkjˌuˈɛl."),
        ("I used to use it; she used it.", "ˌI jˈust tə jˈuz ɪt; ʃi jˈuzd ɪt."),
        ("“Yes,” (he said)!", "“jˈɛs,” (hi sˈɛd)!"),
        ("你好 🙂", ""),
        ("Hello 你好!", "həlˈO!"),
    ],
)
def test_american_words(text: str, phonemes: str) -> None:
    assert phonemize(text) == phonemes


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("better water", "bˈɛtə wˈɔːtə."),
        ("the car", "ðə kˈɑː."),
        ("Smith", "smˈɪθ."),  # of the American dictionary
        ("Twilio numbers", "twˈɪliːQ nˈʌmbəz."),  # guessed
    ],
)
def test_british_words(text: str, phonemes: str) -> None:
    assert phonemize(text, "en-GB") == phonemes


def test_every_symbol_is_known_to_kokoro(models_dir: object) -> None:
    import json

    from providers.local.weights import kokoro_vocabulary

    vocabulary = json.loads(kokoro_vocabulary().read_text(encoding="utf-8"))["vocab"]
    text = "Judge Zhivago's thirsty weird oil-boys, who'd buy “eight” yachts (Paris—or so…); sure: azure!? X-rays."
    for accent in ("en-US", "en-GB"):
        assert not set(phonemize(text, accent)) - set(vocabulary)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith paid. Mr. Jones Jr. did not!", ["Dr. Smith paid.", "Mr. Jones Jr. did not!"]),
        ("It was 3.5 million. See example.com/a.b now.", ["It was 3.5 million.", "See example.com/a.b now."]),
        ("Milk\nBread\n\nEggs", ["Milk", "Bread", "Eggs"]),
        ("This line is\nwrapped here.", ["This line is wrapped here."]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


def test_a_long_first_sentence_begins_with_a_clause() -> None:
    text = (
        "When the rain had stopped, the children ran into the garden to look for the cat that had been hiding there "
        "since the morning, although nobody had seen it go."
    )
    assert next(pieces(text)) == phonemize("When the rain had stopped,")


def test_a_lone_word_is_said_with_the_sentence_after_it() -> None:
    assert list(pieces("Yes. How can I help you?")) == [phonemize("Yes.") + " " + phonemize("How can I help you?")]


_WORDS = st.sampled_from(
    ["the", "lighthouse", "of", "and", "extraordinarily", "go,", "stop.", "why?", "it's", "x" * 700]
)


@given(st.lists(_WORDS, min_size=1, max_size=150).map(" ".join))
@settings(max_examples=40, deadline=None)
def test_pieces_are_short_enough_and_lose_nothing(text: str) -> None:
    found = list(pieces(text))
    assert len(found[0]) <= FIRST_PIECE
    assert all(0 < len(piece) <= LATER_PIECES <= MAX_TOKENS for piece in found)
    assert all(len(piece) <= max(FIRST_PIECE, 2 * sum(map(len, found[:i]))) for i, piece in enumerate(found))
    spoken = "".join(found).replace(" ", "")
    whole = "".join(phonemize(sentence) for sentence in sentences(text)).replace(" ", "")
    assert spoken == whole


@pytest.mark.parametrize("junk", ["a", "1,", "1-", "a.b.", " ", "-", "( ", "a@", "\u0301", "1 "])
def test_endless_junk_is_read_in_bounded_steps(junk: str) -> None:
    first_steps = [piece for piece, _ in zip(pieces(junk * 20_000), range(3), strict=False)]
    assert all(len(piece) <= LATER_PIECES for piece in first_steps)
