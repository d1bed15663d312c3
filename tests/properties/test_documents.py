"""The documents of any step: TwiML as Twilio has it, with addresses of ours that lead on."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from studio.desk import AskConsent, Choose, Goodbye, GoodbyeReason, Hold, Record, RecordWhy, Step
from telephony.script import document
from telephony.urls import RETRIES, CallUrls, Onward, TakeLinks
from tests.properties.search import pure

BASE = "https://voices.example.com/some/where"
CALL = "0123456789abcdef" * 2
_LINKS = TakeLinks("token", clock=lambda: 1_000_000.0)
# What each verb may hold, and which of its attributes are addresses.
_MAY_HOLD = {
    "Response": {"Say", "Gather", "Record", "Pause", "Redirect", "Hangup"},
    "Gather": {"Say", "Play"},
    **{verb: set() for verb in ("Say", "Play", "Record", "Pause", "Redirect", "Hangup")},
}
_LAST = {"Hangup", "Redirect", "Gather"}

_seconds = st.floats(0, 86_400)
_attempt = st.integers(1, 100)
_recording = st.uuids().map(lambda each: each.hex)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(AskConsent, st.text(max_size=200), st.none() | st.integers(1, 9), _attempt),
    st.builds(Record, st.integers(1, 9), st.sampled_from(RecordWhy), _seconds, st.just(20.0)),
    st.builds(Hold, st.integers(0, 1000)),
    st.builds(Choose, _recording, _seconds, _attempt, st.booleans()),
    st.builds(Goodbye, st.sampled_from(GoodbyeReason)),
)


def made(step: Step, number: int) -> ElementTree.Element:
    return ElementTree.fromstring(document(step, Onward(CallUrls(BASE, CALL), number, _LINKS)))


def addresses(root: ElementTree.Element) -> list[str]:
    """Where the call goes on."""
    found = [each.attrib["action"] for each in root.iter() if "action" in each.attrib]
    return found + [each.text or "" for each in root.iter("Redirect")]


def assert_holds(parent: ElementTree.Element) -> None:
    for child in parent:
        assert child.tag in _MAY_HOLD[parent.tag], f"<{child.tag}> in <{parent.tag}>"
        assert_holds(child)


@given(steps, st.integers(1, 1000))
@pure
def test_a_document_is_twiml_and_leads_on(step: Step, number: int) -> None:
    root = made(step, number)
    assert root.tag == "Response"
    assert_holds(root)
    assert root[-1].tag in _LAST, "after the last verb the call would just end"
    assert (root.find("Hangup") is not None) is isinstance(step, Goodbye)
    for url in addresses(root):
        assert url.startswith(f"{BASE}/telephony/calls/{CALL}/")
        assert url.endswith(RETRIES)
        assert parse_qs(urlsplit(url).query)["step"] == [str(number)]
    for said in root.iter("Say"):
        assert (said.text or "\n").isprintable()
    for played in root.iter("Play"):
        assert urlsplit(played.text or "").path.startswith(f"/some/where/telephony/calls/{CALL}/takes/")


@given(st.lists(steps, max_size=12))
@pure
def test_an_address_occurs_in_a_call_once(story: list[Step]) -> None:
    """A repeated delivery is told from a second round of the same question by its address alone."""
    seen = [url for number, step in enumerate(story, 1) for url in addresses(made(step, number))]
    assert len(seen) == len(set(seen))


@given(steps)
@pure
def test_only_who_agreed_is_recorded(step: Step) -> None:
    """No document records somebody but that of the one step that comes after they agreed."""
    assert (made(step, 1).find(".//Record") is not None) is isinstance(step, Record)
