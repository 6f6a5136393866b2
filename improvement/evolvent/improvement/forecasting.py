"""Pure: forecasts of hourly sums for the coming day, simple enough to be explained, honest about how far they err.

What comes is what came in the same hours of past weeks (two weeks of history or more), else of past days (two days or
more), else on average: the mean of up to four of them, moved on by how they changed from one to the next (drift). How
far that errs is measured, not assumed: the same forecast is made from many points of the past, and 80 of 100 errors of
the sums up to each hour lie in the interval. A history too short for that gives no interval, and one of less than
three hours no forecast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Literal

Basis = Literal["hour_of_week", "hour_of_day", "mean", "none"]
HORIZON = 24
WEEK, DAY = 168, 24
_SEASONS = 4
_LEAST_HOURS = 3
_LEAST_ERRORS = 10
_MOST_ORIGINS = 120
_LOW, _HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class Forecast:
    """Sums of the coming hours: `expected[h]` is that of the first h + 1 hours; None where there is no interval."""

    basis: Basis
    expected: tuple[float, ...] = ()
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


def forecast(history: Sequence[float], *, horizon: int = HORIZON) -> Forecast:
    """Return the forecast that follows a history of hours without a gap, oldest first.

    Args:
        history: what each hour came to; zero where nothing happened.
        horizon: how many hours ahead, at most a day.
    """
    horizon = min(horizon, DAY)
    basis, season = basis_of(len(history))
    if basis == "none":
        return Forecast("none")
    expected = _summed(history, len(history), season, horizon)
    errors = _errors(history, season, horizon)
    low: list[float | None] = []
    high: list[float | None] = []
    for hour, sums in enumerate(errors):
        is_known = len(sums) >= _LEAST_ERRORS
        low.append(max(0.0, expected[hour] + min(0.0, _quantile(sums, _LOW))) if is_known else None)
        high.append(expected[hour] + max(0.0, _quantile(sums, _HIGH)) if is_known else None)
    return Forecast(basis, tuple(expected), tuple(low), tuple(high))


def basis_of(hours: int) -> tuple[Basis, int]:
    """Return what a history of so many hours allows, and after how many hours it comes again (0: never)."""
    if hours >= 2 * WEEK:
        return "hour_of_week", WEEK
    if hours >= 2 * DAY:
        return "hour_of_day", DAY
    return ("mean", 0) if hours >= _LEAST_HOURS else ("none", 0)


def used_up_at(sums: Sequence[float], left: float, now: datetime) -> datetime | None:
    """Return when a sum passes what is left, or None where it does not within the day.

    Args:
        sums: a forecast's, of the hours from the one on that `now` lies in.
        left: how much may still come.
        now: the present; of the hour that it lies in, only the rest counts.
    """
    if left <= 0:
        return now
    start = now.replace(minute=0, second=0, microsecond=0)
    midnight = start.replace(hour=0) + timedelta(days=1)
    passed = (now - start) / timedelta(hours=1)
    before = 0.0
    gone = sums[0] * passed if sums else 0.0
    for hour, total in enumerate(sums):
        if total - gone > left:
            share = (left + gone - before) / (total - before)
            at = start + timedelta(hours=hour + share)
            return at if at < midnight else None
        before = total
    return None


def later(sums: Sequence[float], hours: int) -> list[float]:
    """Return a forecast's sums as they are so many hours later: without the hours that have passed."""
    if hours <= 0:
        return list(sums)
    passed = sums[hours - 1] if hours <= len(sums) else 0.0
    return [total - passed for total in sums[hours:]]


def sum_until(sums: Sequence[float], now: datetime, end: datetime) -> float:
    """Return what comes between now and the end, of a forecast from the hour on that `now` lies in."""
    start = now.replace(minute=0, second=0, microsecond=0)
    return max(0.0, _at(sums, (end - start) / timedelta(hours=1)) - _at(sums, (now - start) / timedelta(hours=1)))


def _at(sums: Sequence[float], hours: float) -> float:
    whole = min(int(hours), len(sums))
    before = sums[whole - 1] if whole else 0.0
    return before + (sums[whole] - before) * (hours - whole) if whole < len(sums) else before


def _summed(history: Sequence[float], origin: int, season: int, horizon: int) -> list[float]:
    """Return the sums that would have been forecast at an origin, from what lies before it."""
    if season == 0:
        mean = math.fsum(history[:origin]) / origin
        return [mean * (hour + 1) for hour in range(horizon)]
    seasons = min(_SEASONS, origin // season)
    drift = _drift(history, origin, season, seasons) * (seasons + 1) / 2
    hours = (
        math.fsum(history[origin + hour - season * back] for back in range(1, seasons + 1)) / seasons
        for hour in range(horizon)
    )
    return list(accumulate(max(0.0, hour + drift) for hour in hours))


def _drift(history: Sequence[float], origin: int, season: int, seasons: int) -> float:
    """Return by how much an hour changes from one season to the next."""
    if seasons < 2:
        return 0.0
    latest = math.fsum(history[origin - season : origin])
    earliest = math.fsum(history[origin - season * seasons : origin - season * (seasons - 1)])
    return (latest - earliest) / (seasons - 1) / season


def _errors(history: Sequence[float], season: int, horizon: int) -> list[list[float]]:
    """Return, for each sum ahead, by how much it came to more than was forecast at points of the past."""
    first = season or _LEAST_HOURS
    step = max(1, -(-(len(history) - first) // _MOST_ORIGINS))
    found: list[list[float]] = [[] for _ in range(horizon)]
    for origin in range(len(history) - 1, first - 1, -step):
        expected = _summed(history, origin, season, horizon)
        came = accumulate(history[origin : origin + horizon])
        for hour, total in enumerate(came):
            found[hour].append(total - expected[hour])
    return found


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of values does not pass; the outer one between two, so not too sure."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    return ordered[math.floor(place) if share < 0.5 else math.ceil(place)]
