"""Pure: cron expressions in a time zone, as the five fields of `crontab(5)` mean them.

A wall-clock time that a change of clocks leaves out is taken as if the clocks had not changed yet (02:30 becomes
03:30), one that comes twice is taken the first time (RFC 5545). Expressions that run in every hour follow the
elapsed time instead: nothing in the hour that is left out, and both of the hours that come twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from evolvent.events.errors import Category, EvolventError

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_HOURS_OF_A_DAY = 24
_MARGIN = timedelta(hours=3)
"""More than clocks are ever changed by at once."""


class InvalidTiming(EvolventError):
    """This is no time to plan with; correct it and add the schedule again. Nothing was stored."""

    code, category = "schedule.invalid", Category.VALIDATION


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression. Days of the week count from Sunday, 0."""

    expression: str
    zone: ZoneInfo
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Both kinds of day are named, and then one of them is enough."""

    def runs_on(self, day: date) -> bool:
        """Say whether any time of this local day is planned."""
        if day.month not in self.months:
            return False
        by_date, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (by_date or by_week) if self.either_day else (by_date and by_week)

    def between(self, after: datetime, until: datetime) -> list[datetime]:
        """Return the planned moments after one and up to another, in UTC and in order."""
        margin = timedelta() if self._is_steady(after, until) else _MARGIN
        first, last = self._wall(after) - margin, self._wall(until) + margin
        found: set[datetime] = set()
        for offset in range((last.date() - first.date()).days + 1):
            day = first.date() + timedelta(days=offset)
            if self.runs_on(day):
                times = (t for t in self._times(day) if first <= t <= last)
                found.update(moment for time in times for moment in self._moments(time))
        return sorted(moment for moment in found if after < moment <= until)

    def _times(self, day: date) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                yield datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001  # wall-clock time

    def _moments(self, time: datetime) -> Sequence[datetime]:
        first = time.replace(tzinfo=self.zone).astimezone(UTC)
        if len(self.hours) < _HOURS_OF_A_DAY:
            return (first,)
        second = time.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
        return [moment for moment in (first, second) if self._wall(moment) == time]

    def _is_steady(self, after: datetime, until: datetime) -> bool:
        """Say whether surely no clock is changed in between; no zone changes back within two days."""
        first, last = (moment.astimezone(self.zone).utcoffset() for moment in (after - _MARGIN, until + _MARGIN))
        return until - after <= timedelta(days=1) and first == last

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)


def parse_cron(expression: str, zone: ZoneInfo) -> Cron:
    """Read an expression.

    Raises:
        InvalidTiming: which part of it cannot be read, and how it is written.
    """
    parts = _MACROS.get(expression.strip().lower(), expression).lower().split()
    if len(parts) != len(_FIELDS):
        raise _invalid(expression, f"it has {len(parts)} fields and needs five")
    minutes, hours, days, months, weekdays = (
        _values(expression, part, field) for part, field in zip(parts, _FIELDS, strict=True)
    )
    return Cron(
        expression=expression.strip(),
        zone=zone,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % 7 for day in weekdays),
        either_day=not parts[2].startswith("*") and not parts[4].startswith("*"),
    )


def _values(expression: str, text: str, field: _Field) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, slash, step = item.partition("/")
        if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
            raise _invalid(expression, f"the step {step!r} of the {field.name} is not a number above 0")
        low, high = _span(expression, span, field, has_step=bool(slash))
        found.update(range(low, high + 1, int(step or 1)))
    return found


def _span(expression: str, text: str, field: _Field, *, has_step: bool) -> tuple[int, int]:
    if text == "*":
        return field.low, field.high
    begin, dash, end = text.partition("-")
    low = _number(expression, begin, field)
    if not dash:
        return low, field.high if has_step else low
    high = _number(expression, end, field)
    if high == 0 and field.names is _DAYS:
        high = 7
    if high < low:
        raise _invalid(expression, f"the {field.name} {text!r} runs backwards; write two ranges with a comma")
    return low, high


def _number(expression: str, text: str, field: _Field) -> int:
    if text in field.names:
        return field.names.index(text) + (1 if field.names is _MONTHS else 0)
    if text.isascii() and text.isdigit() and field.low <= int(text[:9]) <= field.high:
        return int(text)
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    raise _invalid(expression, f"{text!r} is no {field.name}, which is {field.low} to {field.high}{names}")


def _invalid(expression: str, why: str) -> InvalidTiming:
    return InvalidTiming(
        f"The cron expression {expression[:80]!r} cannot be used: {why}. Write minute, hour, day of the month, month "
        "and day of the week, such as '30 7 * * mon-fri'. Nothing was stored."
    )
