from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.improvement.planned_times import EPOCH, WEEKDAYS, Daily, Every, Trigger, last_planned, next_planned

SATURDAY_NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TRIGGERS = st.one_of(
    st.builds(Every, st.integers(1, 100_000)),
    st.builds(Daily, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.sampled_from([None, *WEEKDAYS])),
)
TIMES = st.timedeltas(timedelta(), timedelta(days=50_000)).map(lambda since: EPOCH + since)


@pytest.mark.parametrize(
    ("trigger", "last", "following"),
    [
        (Every(15), "2026-11-21T12:00:00+00:00", "2026-11-21T12:00:15+00:00"),
        (Every(7 * 3600), "2026-11-21T08:00:00+00:00", "2026-11-21T15:00:00+00:00"),
        (Daily(3, 15), "2026-11-21T03:15:00+00:00", "2026-11-22T03:15:00+00:00"),
        (Daily(12), "2026-11-21T12:00:00+00:00", "2026-11-22T12:00:00+00:00"),
        (Daily(12, 0, 1), "2026-11-20T12:00:01+00:00", "2026-11-21T12:00:01+00:00"),
        (Daily(3, weekday="mon"), "2026-11-16T03:00:00+00:00", "2026-11-23T03:00:00+00:00"),
        (Daily(3, weekday="sat"), "2026-11-21T03:00:00+00:00", "2026-11-28T03:00:00+00:00"),
        (Daily(13, weekday="sat"), "2026-11-14T13:00:00+00:00", "2026-11-21T13:00:00+00:00"),
        (Daily(3, weekday="sun"), "2026-11-15T03:00:00+00:00", "2026-11-22T03:00:00+00:00"),
    ],
)
def test_planned_times_around_a_saturday_noon(trigger: Trigger, last: str, following: str) -> None:
    assert last_planned(trigger, SATURDAY_NOON).isoformat() == last
    assert next_planned(trigger, SATURDAY_NOON).isoformat() == following


@given(TRIGGERS, TIMES)
def test_now_lies_between_the_last_and_the_next_planned_time(trigger: Trigger, now: datetime) -> None:
    last, following = last_planned(trigger, now), next_planned(trigger, now)
    assert last <= now < following
    assert last_planned(trigger, following) == following
    assert last_planned(trigger, following - timedelta(microseconds=1)) == last


@given(TRIGGERS, TIMES, st.integers(-12, 12))
def test_every_process_plans_the_same_times_whatever_its_time_zone(trigger: Trigger, now: datetime, hours: int) -> None:
    elsewhere = now.astimezone(timezone(timedelta(hours=hours)))
    assert last_planned(trigger, elsewhere) == last_planned(trigger, now)


def test_a_weekday_is_a_name_and_never_a_number() -> None:
    with pytest.raises(ValueError, match="mon, tue"):
        Daily(3, weekday="0")  # type: ignore[arg-type]
