from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.events.messages.schedules import Missed
from evolvent.improvement.cron import InvalidTiming, parse_cron
from evolvent.improvement.timing import Grace, Interval, Timing, next_after, timing_of, to_run, upcoming

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GRACE = Grace(seconds=60, most=5)


def cron(expression: str, timezone: str = "UTC") -> Timing:
    return timing_of(cron=expression, every_seconds=None, timezone=timezone, start=START)


def after(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("* * * * *", ["2026-11-21T12:01", "2026-11-21T12:02"]),
        ("*/20 * * * *", ["2026-11-21T12:20", "2026-11-21T12:40", "2026-11-21T13:00"]),
        ("5/30 * * * *", ["2026-11-21T12:05", "2026-11-21T12:35"]),
        ("30 7 * * mon-fri", ["2026-11-23T07:30", "2026-11-24T07:30"]),
        ("0 0 * * 0", ["2026-11-22T00:00", "2026-11-29T00:00"]),
        ("0 0 * * 7", ["2026-11-22T00:00", "2026-11-29T00:00"]),
        ("0 0 * * 1", ["2026-11-23T00:00", "2026-11-30T00:00"]),
        ("0 0 * * fri-sun", ["2026-11-22T00:00", "2026-11-27T00:00", "2026-11-28T00:00"]),
        ("0 12,18 1-3/2 * *", ["2026-12-01T12:00", "2026-12-01T18:00", "2026-12-03T12:00"]),
        ("0 0 13 * fri", ["2026-11-27T00:00", "2026-12-04T00:00", "2026-12-11T00:00", "2026-12-13T00:00"]),
        ("0 0 */2 * mon", ["2026-11-23T00:00", "2026-12-07T00:00"]),
        ("0 9 31 * *", ["2026-12-31T09:00", "2027-01-31T09:00", "2027-03-31T09:00"]),
        ("0 0 29 FEB *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("@hourly", ["2026-11-21T13:00"]),
        ("@Yearly", ["2027-01-01T00:00"]),
    ],
)
def test_a_cron_expression_is_due_when_crontab_says(expression: str, following: list[str]) -> None:
    assert upcoming(cron(expression), START, count=len(following)) == [after(text) for text in following]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("61 * * * *", "'61' is no minute, which is 0 to 59"),
        ("* * * *", "it has 4 fields and needs five"),
        ("", "it has 0 fields"),
        ("* * * jan-foo *", "'foo' is no month, which is 1 to 12 or jan to dec"),
        ("* * * * 8", "'8' is no day of the week, which is 0 to 7 or sun to sat"),
        ("*/0 * * * *", "the step '0' of the minute is not a number above 0"),
        ("*/ * * * *", "the step '' of the minute"),
        ("20-10 * * * *", "runs backwards"),
        ("-5 * * * *", "'' is no minute"),
        ("٣ * * * *", "is no minute"),
        ("0 0 30 2 *", "names a day that never comes"),
    ],
)
def test_an_expression_that_cannot_be_used_says_why_and_what_to_write(expression: str, why: str) -> None:
    with pytest.raises(InvalidTiming) as refused:
        cron(expression)
    assert why in str(refused.value)
    assert "Nothing was stored" in str(refused.value)


def test_a_schedule_has_a_known_zone_and_one_timing() -> None:
    for zone in ("Europe/Bärlin", "../etc/passwd", "Mars/Olympus", ""):
        with pytest.raises(InvalidTiming, match="Europe/Berlin"):
            cron("* * * * *", zone)
    for both in ({"cron": None, "every_seconds": None}, {"cron": "* * * * *", "every_seconds": 1}):
        with pytest.raises(InvalidTiming, match="give one"):
            timing_of(**both, timezone="UTC", start=START)


def test_a_wall_clock_time_stays_when_clocks_change() -> None:
    times = upcoming(cron("30 7 * * *", BERLIN), after("2026-03-28T00:00"), count=3)
    assert [t.isoformat()[:16] for t in times] == ["2026-03-28T06:30", "2026-03-29T05:30", "2026-03-30T05:30"]


def test_a_time_that_a_change_of_clocks_leaves_out_comes_once_an_hour_later() -> None:
    times = upcoming(cron("30 2 * * *", BERLIN), after("2026-03-28T12:00"), count=2)
    assert [t.isoformat()[:16] for t in times] == ["2026-03-29T01:30", "2026-03-30T00:30"]
    assert times[0].astimezone(ZoneInfo(BERLIN)).strftime("%H:%M") == "03:30"
    both = upcoming(cron("30 2,3 * * *", BERLIN), after("2026-03-28T12:00"), count=2)
    assert [t.isoformat()[:16] for t in both] == ["2026-03-29T01:30", "2026-03-30T00:30"]


def test_a_time_that_comes_twice_is_run_the_first_time_only() -> None:
    times = upcoming(cron("30 1 * * *", NEW_YORK), after("2026-10-31T12:00"), count=2)
    assert [t.isoformat()[:16] for t in times] == ["2026-11-01T05:30", "2026-11-02T06:30"]


@pytest.mark.parametrize(
    ("day", "zone"),
    [("2026-03-29", BERLIN), ("2026-10-25", BERLIN), ("2026-11-01", NEW_YORK), ("2026-04-05", "Australia/Lord_Howe")],
)
def test_what_runs_in_every_hour_follows_the_elapsed_time_over_a_change_of_clocks(day: str, zone: str) -> None:
    begin = after(f"{day}T00:00") - timedelta(hours=14)
    times = upcoming(cron("*/15 * * * *", zone), begin, count=200)
    assert {b - a for a, b in pairwise(times)} == {timedelta(minutes=15)}


def test_an_interval_counts_from_its_start() -> None:
    timing = Interval(90, START)
    assert next_after(timing, START) == START + timedelta(seconds=90)
    assert next_after(timing, START + timedelta(seconds=90)) == START + timedelta(seconds=180)
    assert next_after(timing, START - timedelta(days=1)) == START + timedelta(seconds=90)


def late(missed: Missed, minutes: float, timing: Timing | None = None, grace: Grace = GRACE) -> list[float]:
    """How many minutes after the start those times were planned that are run, if nothing ran for so long."""
    timing = timing or Interval(300, START)
    first = next_after(timing, START)
    times = to_run(timing, first, START + timedelta(minutes=minutes), missed=missed, grace=grace)
    return [(time - START).total_seconds() / 60 for time in times]


def test_a_time_on_time_is_run_under_every_rule() -> None:
    for rule in ("coalesce", "all", "skip"):
        assert late(rule, 5.5) == [5]
        assert late(rule, 4.9) == []


def test_after_downtime_each_rule_runs_what_it_says() -> None:
    assert late("coalesce", 18) == [15]
    assert late("all", 18) == [5, 10, 15]
    assert late("skip", 18) == []
    assert late("coalesce", 20.5) == [20]
    assert late("skip", 20.5) == [20]


def test_all_missed_times_are_bounded_by_the_latest() -> None:
    assert late("all", 60 * 24 * 365 * 9) == [60 * 24 * 365 * 9 - 5 * back for back in (4, 3, 2, 1, 0)]
    minutely = cron("* * * * *")
    assert late("all", 60 * 24 * 365, minutely) == [60 * 24 * 365 - back for back in (4, 3, 2, 1, 0)]
    assert late("coalesce", 60 * 24 * 365, cron("0 13 * * *")) == [60 * (24 * 364 + 1)]


def test_short_intervals_lose_nothing_to_a_late_keeper_within_the_grace() -> None:
    second = Interval(1, START)
    assert len(late("coalesce", 0.5, second, Grace(60, 100))) == 30


TIMINGS = st.one_of(
    st.builds(Interval, st.integers(1, 100_000), st.just(START)),
    st.sampled_from(["* * * * *", "*/7 3-5 * * *", "0 0 1 * *", "15 2 * * sat", "59 23 31 12 *"]).flatmap(
        lambda text: st.sampled_from(["UTC", BERLIN, NEW_YORK, "Asia/Kathmandu"]).map(lambda zone: cron(text, zone))
    ),
)


@settings(max_examples=60, deadline=None)
@given(TIMINGS, st.timedeltas(timedelta(), timedelta(days=800)))
def test_the_next_time_is_the_only_one_up_to_itself(timing: Timing, since: timedelta) -> None:
    now = START + since
    following = next_after(timing, now)
    assert following > now
    assert timing.between(now, following) == [following]
    assert timing.between(now, following - timedelta(microseconds=1)) == []


@settings(max_examples=40, deadline=None)
@given(TIMINGS, st.lists(st.timedeltas(timedelta(seconds=1), timedelta(hours=8)), min_size=1, max_size=5))
def test_however_often_one_looks_all_planned_times_come_once_and_in_order(
    timing: Timing, gaps: list[timedelta]
) -> None:
    grace = Grace(seconds=0, most=1_000_000)
    now, planned_from = START, next_after(timing, START)
    ran: list[datetime] = []
    for gap in gaps:
        now += gap
        if planned_from <= now:
            ran.extend(to_run(timing, planned_from, now, missed="all", grace=grace))
            planned_from = next_after(timing, now)
    assert ran == timing.between(START, now)


def test_an_expression_keeps_its_spelling() -> None:
    assert parse_cron(" @daily ", ZoneInfo("UTC")).expression == "@daily"
