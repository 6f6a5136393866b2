"""The time syntax of searches: `now`, `-2h`, `-7d@d`, `@h`, ISO 8601 and seconds since 1970. Pure; UTC throughout.

A relative time is steps from now (`s m h d w mon q y`), each with a sign, and at most one snap after `@` that goes
back to the beginning of its unit; weeks begin on Sunday, or on the weekday of `@w1` to `@w6`.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from evolvent.orchestrator.tools.refusals import QueryInvalid

_STEPS = re.compile(r"(?:[+-]\d{0,6}[a-z]+)*")
_STEP = re.compile(r"([+-])(\d{0,6})([a-z]+)")
_EPOCH = re.compile(r"\d{1,11}(?:\.\d{1,6})?")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MONTHS = {"mon": 1, "q": 3, "y": 12}
_UNITS: dict[str, str] = {
    name: unit
    for unit, names in {
        "s": "s sec secs second seconds",
        "m": "m min mins minute minutes",
        "h": "h hr hrs hour hours",
        "d": "d day days",
        "w": "w week weeks",
        "mon": "mon month months",
        "q": "q qtr qtrs quarter quarters",
        "y": "y yr yrs year years",
    }.items()
    for name in names.split()
}
_HOW = "write `now`, `-2h`, `-15m`, `-7d@d`, or an ISO time like 2026-03-01T12:00:00Z"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From `earliest`, inclusive, to `latest`, exclusive; both aware UTC."""

    earliest: datetime
    latest: datetime


def time_range(earliest: str, latest: str, *, now: datetime) -> TimeRange:
    """Return the range that two time expressions name.

    Raises:
        QueryInvalid: If one cannot be read, or the range holds no time.
    """
    found = TimeRange(moment(earliest, now=now), moment(latest, now=now))
    if found.earliest >= found.latest:
        raise QueryInvalid(
            f"The time range from {earliest!r} ({found.earliest:%Y-%m-%dT%H:%M:%SZ}) to {latest!r} "
            f"({found.latest:%Y-%m-%dT%H:%M:%SZ}) holds no time; let `earliest` lie before `latest`."
        )
    return found


def moment(text: str, *, now: datetime) -> datetime:
    """Return the moment that a time expression names, in UTC.

    Raises:
        QueryInvalid: If it cannot be read.
    """
    given = text.strip()
    try:
        if _EPOCH.fullmatch(given):
            return datetime.fromtimestamp(float(given), UTC)
        if found := _relative(given.lower(), now.astimezone(UTC)):
            return found
        absolute = datetime.fromisoformat(given)
        return (absolute if absolute.tzinfo else absolute.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, KeyError):
        raise QueryInvalid(f"{text[:60]!r} is no time; {_HOW}.") from None


def _relative(text: str, now: datetime) -> datetime | None:
    steps, at, snap = text.removeprefix("now").partition("@")
    if not text or not _STEPS.fullmatch(steps):
        return None
    for sign, count, name in _STEP.findall(steps):
        number = int(count or "1") * (-1 if sign == "-" else 1)
        now = _moved(now, number, _UNITS[name])
    return _snapped(now, snap) if at else now


def _moved(now: datetime, number: int, unit: str) -> datetime:
    if unit in _SECONDS:
        return now + timedelta(seconds=number * _SECONDS[unit])
    months = now.year * 12 + now.month - 1 + number * _MONTHS[unit]
    year, month = divmod(months, 12)
    day = min(now.day, calendar.monthrange(year, month + 1)[1])
    return now.replace(year=year, month=month + 1, day=day)


def _snapped(now: datetime, snap: str) -> datetime:
    if match := re.fullmatch(r"w([0-7])", snap):
        midnight = _snapped(now, "d")
        return midnight - timedelta(days=(midnight.isoweekday() - int(match[1])) % 7)
    match _UNITS[snap]:
        case "s":
            return now.replace(microsecond=0)
        case "m":
            return now.replace(second=0, microsecond=0)
        case "h":
            return now.replace(minute=0, second=0, microsecond=0)
        case "d":
            return now.replace(hour=0, minute=0, second=0, microsecond=0)
        case "w":
            return _snapped(now, "w0")
        case "mon":
            return _snapped(now, "d").replace(day=1)
        case "q":
            return _snapped(now, "d").replace(day=1, month=(now.month - 1) // 3 * 3 + 1)
        case _:
            return _snapped(now, "d").replace(day=1, month=1)
