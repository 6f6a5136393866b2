"""Pure: when a user's schedule is due, and which of the times that have passed are still run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evolvent.events.messages.schedules import Missed
from evolvent.improvement.cron import Cron, InvalidTiming, parse_cron

_FIRST_WINDOW = timedelta(hours=1)
_LAST_WINDOW = timedelta(days=9 * 366)
"""Longer than from one 29 February to the next, across a century without one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Each time that so many seconds have passed since the start; the first time is one interval after it."""

    seconds: int
    start: datetime

    def between(self, after: datetime, until: datetime, *, most: int | None = None) -> list[datetime]:
        """Return the planned moments after one and up to another, in order; only the latest if they are too many."""
        period = timedelta(seconds=self.seconds)
        first = max(1, (after - self.start) // period + 1)
        last = (until - self.start) // period
        if most is not None:
            first = max(first, last - most + 1)
        return [self.start + number * period for number in range(first, last + 1)]


Timing = Cron | Interval


@dataclass(frozen=True, slots=True)
class Grace:
    """How late is late, and how many times may be run at once."""

    seconds: float
    most: int


def timing_of(*, cron: str | None, every_seconds: int | None, timezone: str, start: datetime) -> Timing:
    """Return the timing that was asked for.

    Raises:
        InvalidTiming: what is wrong with it and what to write instead.
    """
    if (cron is None) == (every_seconds is None):
        raise InvalidTiming("A schedule needs either a cron expression or an interval; give one. Nothing was stored.")
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidTiming(
            f"There is no time zone {timezone[:64]!r}; use a name such as Europe/Berlin or UTC. Nothing was stored."
        ) from error
    if every_seconds is not None:
        return Interval(every_seconds, start)
    timing = parse_cron(str(cron), zone)
    if _next(timing, start) is None:
        raise InvalidTiming(f"The cron expression {cron!r} names a day that never comes. Nothing was stored.")
    return timing


def next_after(timing: Timing, moment: datetime) -> datetime:
    """Return the first planned time after a moment.

    Raises:
        InvalidTiming: there is none; `timing_of` has refused such a timing.
    """
    found = _next(timing, moment)
    if found is None:
        raise InvalidTiming
    return found


def upcoming(timing: Timing, moment: datetime, *, count: int) -> list[datetime]:
    """Return the next few planned times."""
    found: list[datetime] = []
    for _ in range(count):
        moment = next_after(timing, moment)
        found.append(moment)
    return found


def to_run(
    timing: Timing, planned_from: datetime, now: datetime, *, missed: Missed, grace: Grace
) -> Sequence[datetime]:
    """Return the times to run now, in order, of those planned from one moment on.

    What is not later than the grace is on time, and each such time is run. Of those before, `all` runs each (the
    latest, if they are too many), `skip` none, and `coalesce` the last one unless a time after it is run anyway.
    """
    passed = _latest(timing, planned_from, now, grace.most)
    on_time = [moment for moment in passed if now - moment <= timedelta(seconds=grace.seconds)]
    match missed:
        case "all":
            return passed
        case "skip":
            return on_time
        case "coalesce":
            return on_time or passed[-1:]


def _next(timing: Timing, moment: datetime) -> datetime | None:
    if isinstance(timing, Interval):
        period = timedelta(seconds=timing.seconds)
        return timing.start + max(1, (moment - timing.start) // period + 1) * period
    window = _FIRST_WINDOW
    while True:
        found = timing.between(moment, moment + window)
        if found or window >= _LAST_WINDOW:
            return found[0] if found else None
        window = min(window * 4, _LAST_WINDOW)


def _latest(timing: Timing, planned_from: datetime, now: datetime, most: int) -> list[datetime]:
    before = planned_from.astimezone(UTC) - timedelta(microseconds=1)
    if isinstance(timing, Interval):
        return timing.between(before, now, most=most)
    window = _FIRST_WINDOW
    while True:
        since = max(before, now - window)
        found = timing.between(since, now)
        if len(found) >= most or since == before:
            return found[-most:]
        window *= 4
