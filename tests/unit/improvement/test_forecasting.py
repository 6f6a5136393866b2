from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.improvement.forecasting import DAY, WEEK, basis_of, forecast, later, sum_until, used_up_at
from evolvent.improvement.prewarming import agents_needed
from evolvent.storage.insight_rows import AgentHour

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("hours", "basis"),
    [(0, "none"), (2, "none"), (3, "mean"), (47, "mean"), (48, "hour_of_day"), (336, "hour_of_week")],
)
def test_the_history_decides_what_is_forecast_by(hours: int, basis: str) -> None:
    assert basis_of(hours)[0] == basis
    assert forecast([1.0] * hours).basis == basis
    assert len(forecast([1.0] * hours).expected) == (0 if basis == "none" else 24)


@given(st.lists(st.integers(0, 1000), min_size=WEEK, max_size=WEEK), st.integers(0, 20), st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_a_week_that_comes_again_with_a_steady_change_is_forecast_exactly(
    week: list[int], drift: int, weeks: int
) -> None:
    series = [float(week[hour % WEEK] + drift * (hour // WEEK)) for hour in range(WEEK * weeks + DAY)]
    said = forecast(series[: WEEK * weeks])
    assert said.expected == pytest.approx(list(accumulate(series[WEEK * weeks :])))


@given(st.lists(st.floats(0, 1e9), min_size=3, max_size=400))
@settings(max_examples=60, deadline=None)
def test_sums_never_fall_and_lie_in_their_interval(history: list[float]) -> None:
    said = forecast(history)
    assert all(later >= earlier for earlier, later in zip(said.expected, said.expected[1:], strict=False))
    for low, expected, high in zip(said.low, said.expected, said.high, strict=True):
        assert (low is None) == (high is None)
        assert low is None or high is None or 0 <= low <= expected <= high


def test_four_of_five_days_lie_in_the_interval() -> None:
    dice = random.Random(7)
    hit = 0
    for _ in range(100):
        series = [max(0.0, 50 + 30 * (hour % 24 in range(8, 18)) + dice.gauss(0, 15)) for hour in range(21 * DAY + DAY)]
        said = forecast(series[: 21 * DAY])
        low, high = said.low[-1], said.high[-1]
        assert low is not None and high is not None
        hit += low <= sum(series[21 * DAY :]) <= high
    assert 65 <= hit <= 95


def test_a_history_too_short_to_know_its_errors_has_no_interval() -> None:
    said = forecast([2.0] * 5)
    assert (said.expected[3], set(said.low), set(said.high)) == (8.0, {None}, {None})


def test_the_moment_at_which_a_sum_passes_what_is_left() -> None:
    sums = [10.0, 20.0, 40.0]
    assert used_up_at(sums, 15, NOON) == NOON + 1.5 * HOUR
    assert used_up_at(sums, 5, NOON + HOUR / 2) == NOON + HOUR
    assert used_up_at(sums, 40, NOON) is None
    assert used_up_at(sums, 0, NOON) == NOON
    assert used_up_at([], 1, NOON) is None


def test_what_would_be_used_up_after_midnight_is_not_used_up_today() -> None:
    late = NOON + 10 * HOUR
    assert used_up_at([1.0, 2.0, 9.0], 5, late) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=24), st.floats(0.001, 1e7), st.floats(0, 0.999))
def test_by_the_moment_that_is_named_just_what_is_left_has_come(hours: list[float], left: float, passed: float) -> None:
    sums = list(accumulate(hours))
    now = NOON.replace(hour=0) + passed * HOUR
    at = used_up_at(sums, left, now)
    if at is not None:
        assert at >= now - timedelta(milliseconds=1)
        assert sum_until(sums, now, at) == pytest.approx(left, rel=1e-3, abs=1e-2)


def test_a_forecast_is_read_an_hour_later_without_the_hour_that_passed() -> None:
    assert later([1.0, 3.0, 6.0], 1) == [2.0, 5.0]
    assert later([1.0], 4) == []
    assert sum_until([1.0, 3.0, 6.0], NOON + HOUR / 2, NOON + 2 * HOUR) == pytest.approx(2.5)


def test_an_agent_is_needed_in_the_hours_in_which_it_was_used_before() -> None:
    weekly = [AgentHour(NOON - timedelta(weeks=week), "weekly", 3) for week in (1, 2, 3, 4)]
    daily = [AgentHour(NOON - timedelta(days=day), "daily", 1) for day in range(1, 7)]
    once = [AgentHour(NOON - timedelta(days=1), "once", 50)]
    elsewhere = [AgentHour(NOON - timedelta(days=day, hours=3), "elsewhere", 9) for day in range(1, 8)]
    found = agents_needed([*weekly, *daily, *once, *elsewhere], NOON, share=0.5, most=10)
    assert [(needed.agent_id, round(needed.share, 2)) for needed in found] == [("weekly", 1.0), ("daily", 0.86)]
    assert len(agents_needed([*weekly, *daily], NOON, share=0.5, most=1)) == 1
    assert agents_needed([], NOON, share=0.5, most=10) == []


def test_the_hour_itself_and_what_comes_after_it_says_nothing_of_it() -> None:
    assert agents_needed([AgentHour(NOON + n * HOUR, "a", 1) for n in range(200)], NOON, share=0.1, most=10) == []
