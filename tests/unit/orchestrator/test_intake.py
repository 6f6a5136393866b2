from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from evolvent.events.subjects import Priority
from evolvent.orchestrator.intake import choose

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def ago(**ages: float) -> dict[Priority, datetime]:
    return {Priority(name): NOW - timedelta(seconds=age) for name, age in ages.items()}


def test_of_requests_that_came_together_the_most_urgent_goes_first() -> None:
    assert choose(ago(background=0, low=0, critical=0, high=0), NOW) is Priority.CRITICAL


def test_a_fresh_critical_request_overtakes_an_older_medium_one() -> None:
    assert choose(ago(medium=2, critical=0), NOW) is Priority.CRITICAL


def test_background_work_that_waited_long_enough_wins() -> None:
    assert choose(ago(background=100, high=0.1), NOW) is Priority.BACKGROUND


def test_nothing_waiting_means_nothing_chosen() -> None:
    assert choose({}, NOW) is None


@given(st.floats(0.1, 3600), st.sampled_from(list(Priority)))
def test_nothing_starves(age: float, waiting: Priority) -> None:
    """A request is chosen, against fresh critical ones, after at most a thousand times the head start."""
    heads = {Priority.CRITICAL: NOW, waiting: NOW - timedelta(seconds=age + 51)}
    assert choose(heads, NOW) is waiting
