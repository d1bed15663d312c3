"""The steps between states as a graph, and random walks on it."""

from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.database import Unit
from studio.mistakes import FailureCode
from studio.moves import fail_clone, move_call, move_clone
from studio.states import CallPurpose, CallStatus, CloneStatus, SynthesisStatus
from studio.tables import Call, Clone
from tests.properties.search import pure

S = TypeVar("S", CloneStatus, CallStatus, SynthesisStatus)
AGAIN = {"CloneStatus.REVIEWING", "CloneStatus.RECORDING"}


def steps_of(kind: type[S]) -> dict[str, set[str]]:
    def name(status: S) -> str:
        return f"{kind.__name__}.{status.name}"

    return {name(old): {name(new) for new in kind if old.may_become(new)} for old in kind}


STEPS = steps_of(CloneStatus) | steps_of(CallStatus) | steps_of(SynthesisStatus)
ENDS = {status for status, after in STEPS.items() if not after}


def reachable(start: str, without: str = "") -> set[str]:
    """The states after `start`, by one step or many, none of which leads to `without`."""
    found: set[str] = set()
    left = [start]
    while left:
        for new in STEPS[left.pop()] - found - {without}:
            found.add(new)
            left.append(new)
    return found


@pytest.mark.parametrize("kind", [CloneStatus, CallStatus, SynthesisStatus])
def test_every_state_can_be_reached(kind: type[CloneStatus | CallStatus | SynthesisStatus]) -> None:
    first, *others = [f"{kind.__name__}.{status.name}" for status in kind]
    assert reachable(first) == set(others)


@pytest.mark.parametrize("status", sorted(STEPS))
def test_every_state_is_an_end_or_leads_to_every_end(status: str) -> None:
    kind = status.partition(".")[0]
    ends = {end for end in ENDS if end.startswith(f"{kind}.")}
    assert reachable(status) & ends == (set() if status in ends else ends)


@pytest.mark.parametrize("status", sorted(STEPS))
def test_nothing_comes_back_but_a_recording_that_is_made_again(status: str) -> None:
    assert status not in STEPS[status]
    assert (status in reachable(status)) is (status in AGAIN)
    assert status not in AGAIN or status not in reachable(status, without=(AGAIN - {status}).pop())


_fate = st.sampled_from([*CloneStatus, *FailureCode])


@given(st.lists(_fate, max_size=30))
@pure
def test_a_clone_takes_only_steps_that_are_allowed_and_ends_once(fates: list[CloneStatus | FailureCode]) -> None:
    """Whatever is tried: what is not allowed is refused as a whole, and what failed keeps its first reason."""
    clone = Clone(user_id="1", name="Me", provider="tone")
    for fate in fates:
        before, reason, unit = clone.status, clone.failure_code, Unit()
        if isinstance(fate, FailureCode):
            fail_clone(unit, clone, fate)
            allowed = not before.over
        else:
            allowed = before.may_become(fate)
            try:
                move_clone(unit, clone, fate)
            except ValueError:
                assert not allowed
        if allowed:
            assert before.may_become(clone.status)
            assert unit.changed == {f"clone:{clone.id}"}
        else:
            assert (clone.status, clone.failure_code, unit.changed) == (before, reason, set())
        if isinstance(fate, FailureCode) and allowed:
            assert (clone.status, clone.failure_code) == (CloneStatus.FAILED, fate)


@given(st.lists(st.sampled_from(CallStatus), max_size=20), st.lists(st.integers(0, 19), max_size=20))
@pure
def test_repeated_reports_of_a_call_change_nothing(reports: list[CallStatus], again: list[int]) -> None:
    """A report that comes once more, at any time after the first, is as if it had not come."""
    once = Call(user_id="1", purpose=CallPurpose.CLONE, phone="+14155550101")
    repeated = once.model_copy()
    for number, report in enumerate(reports):
        move_call(Unit(), once, report)
        move_call(Unit(), repeated, report)
        for earlier in again:
            if earlier <= number:
                unit = Unit()
                move_call(unit, repeated, reports[earlier])
                assert unit.changed == set()
        assert (once.status, once.failure_code) == (repeated.status, repeated.failure_code)
