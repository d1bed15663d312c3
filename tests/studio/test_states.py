"""The steps between states: all of them, and no others."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.database import Unit
from studio.mistakes import FailureCode, words_for
from studio.moves import fail_clone, move_call, move_clone
from studio.states import CallPurpose, CallStatus, CloneStatus, SynthesisStatus
from studio.tables import Call, Clone

_CLONE_PATH = tuple(status.value for status in CloneStatus)[:-2]  # all but FAILED and CANCELED, in their order
_CLONE_STEPS = {
    *pairwise(_CLONE_PATH),
    ("CALLING", "ANSWERED"),  # the ringing was not heard of
    ("REQUESTED", "RECORDED"),  # without a call
    ("REVIEWING", "RECORDING"),  # again
    *product(_CLONE_PATH[:-1], ("FAILED", "CANCELED")),
}
_SYNTHESIS_STEPS = {
    ("QUEUED", "SYNTHESIZING"),
    ("SYNTHESIZING", "DONE"),
    *product(("QUEUED", "SYNTHESIZING"), ("FAILED", "CANCELED")),
}


@pytest.mark.parametrize("old", CloneStatus)
@pytest.mark.parametrize("new", CloneStatus)
def test_steps_of_a_clone(old: CloneStatus, new: CloneStatus) -> None:
    clone = Clone(user_id="1", name="Me", provider="tone", status=old)
    unit = Unit()
    if (old, new) in _CLONE_STEPS:
        move_clone(unit, clone, new)
        assert clone.status is new
        assert unit.changed == {f"clone:{clone.id}"}
    else:
        with pytest.raises(ValueError, match="cannot become"):
            move_clone(unit, clone, new)
        assert clone.status is old
        assert unit.changed == set()


@pytest.mark.parametrize("old", SynthesisStatus)
@pytest.mark.parametrize("new", SynthesisStatus)
def test_steps_of_a_synthesis(old: SynthesisStatus, new: SynthesisStatus) -> None:
    assert old.may_become(new) is ((old, new) in _SYNTHESIS_STEPS)


def test_what_is_over() -> None:
    assert {status for status in CloneStatus if status.over} == {"READY", "FAILED", "CANCELED"}
    assert {status for status in SynthesisStatus if status.over} == {"DONE", "FAILED", "CANCELED"}
    assert {status for status in CallStatus if status.over} == {"COMPLETED", "BUSY", "NO_ANSWER", "FAILED", "CANCELED"}


def test_a_clone_that_is_over_fails_no_more() -> None:
    clone = Clone(user_id="1", name="Me", provider="tone", status=CloneStatus.READY)
    fail_clone(Unit(), clone, FailureCode.INTERNAL)
    assert (clone.status, clone.failure_code) == (CloneStatus.READY, None)


@given(st.lists(st.sampled_from(list(CallStatus)), max_size=12))
def test_reports_of_a_call_in_any_order_and_number(reports: list[CallStatus]) -> None:
    """However they are shuffled, repeated or lost: a call only moves forward, and its first end is its end."""
    call = Call(user_id="1", purpose=CallPurpose.CLONE, phone="+14155550101", confirmation_code="1234")
    unit = Unit()
    order = list(CallStatus)
    seen = [call.status]
    for report in reports:
        move_call(unit, call, report)
        seen.append(call.status)
    ends = [report for report in reports if report.over]
    if ends:
        assert call.status is ends[0]
        assert call.ended_at is not None
        assert call.confirmation_code is None
    else:
        assert call.status is max([CallStatus.QUEUED, *reports], key=order.index)
        assert call.ended_at is None
    progress = [order.index(status) for status in seen if not status.over]
    assert progress == sorted(progress)
    assert (call.started_at is not None) is (CallStatus.IN_PROGRESS in seen)


@given(st.permutations([CallStatus.INITIATED, CallStatus.RINGING, CallStatus.IN_PROGRESS, CallStatus.COMPLETED]))
def test_the_end_is_the_same_in_every_order(reports: list[CallStatus]) -> None:
    call = Call(user_id="1", purpose=CallPurpose.CLONE, phone="+14155550101")
    for report in reports:
        move_call(Unit(), call, report)
    assert (call.status, call.failure_code) == (CallStatus.COMPLETED, None)


@pytest.mark.parametrize("code", FailureCode)
def test_every_failure_has_words(code: FailureCode) -> None:
    words, retryable = words_for(code)
    assert words.endswith(".")
    assert isinstance(retryable, bool)
