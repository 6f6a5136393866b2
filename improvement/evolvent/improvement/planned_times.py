"""Pure: when a job is due. Times are UTC and the same in every process, so that they can be claimed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Names only: numbers mean another day in cron than in most libraries."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Every:
    """Each time that so many seconds, counted from 1970, have passed."""

    seconds: int

    def __str__(self) -> str:
        return f"every {self.seconds} s"


@dataclass(frozen=True, slots=True)
class Daily:
    """At one time of the day, on every day or on one weekday."""

    hour: int
    minute: int = 0
    second: int = 0
    weekday: Weekday | None = None

    def __post_init__(self) -> None:
        if self.weekday is not None and self.weekday not in WEEKDAYS:
            raise ValueError(f"{self.weekday!r} is not a weekday; use one of {', '.join(WEEKDAYS)}.")

    def __str__(self) -> str:
        day = self.weekday or "daily"
        return f"{day} at {self.hour:02}:{self.minute:02}:{self.second:02} UTC"


Trigger = Every | Daily


def last_planned(trigger: Trigger, now: datetime) -> datetime:
    """Return the latest planned time that is not after now."""
    if isinstance(trigger, Every):
        period = timedelta(seconds=trigger.seconds)
        return EPOCH + (now - EPOCH) // period * period
    today = now.astimezone(UTC).replace(hour=trigger.hour, minute=trigger.minute, second=trigger.second, microsecond=0)
    if trigger.weekday is not None:
        today -= timedelta(days=(today.weekday() - WEEKDAYS.index(trigger.weekday)) % 7)
    return today if today <= now else today - _period(trigger)


def next_planned(trigger: Trigger, now: datetime) -> datetime:
    """Return the first planned time after now."""
    return last_planned(trigger, now) + _period(trigger)


def _period(trigger: Trigger) -> timedelta:
    match trigger:
        case Every(seconds=seconds):
            return timedelta(seconds=seconds)
        case Daily(weekday=None):
            return timedelta(days=1)
        case Daily():
            return _WEEK
