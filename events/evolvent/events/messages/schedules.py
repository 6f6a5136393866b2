"""Users' own schedules: what `evolvent.improvement.schedules.<verb>` takes and gives.

A schedule belongs to the principal that made it, by whose name its subject is signed, and its requests are that
principal's. Names are unique for each principal.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field

from evolvent.events.envelope import Message
from evolvent.events.messages.requests import Request
from evolvent.events.subjects import Priority

Missed = Literal["coalesce", "all", "skip"]
"""What becomes of times that passed while nobody kept the schedule: one run for all of them, each, or none."""


class ScheduleVerb(StrEnum):
    """What may be said about schedules."""

    ADD = "add"
    LIST = "list"
    SHOW = "show"
    REMOVE = "remove"
    PAUSE = "pause"
    RESUME = "resume"
    RUN = "run"


class AddSchedule(Message):
    """improvement.schedules.add: publish this request again and again. Just one of `cron` and `every_seconds`.

    The same schedule added twice is one; another one of the same name is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    cron: str | None = Field(default=None, max_length=200)
    every_seconds: int | None = Field(default=None, ge=1, le=366 * 86_400)
    timezone: str = Field(default="UTC", max_length=64)
    """The zone in whose wall-clock time `cron` is meant."""
    missed: Missed = "coalesce"
    goal: str = "default"
    priority: Priority = Priority.MEDIUM
    request: Request


class ScheduleQuery(Message):
    """improvement.schedules.show, remove, pause, resume, run: which schedule of the caller's."""

    name: str


class SchedulesQuery(Message):
    """improvement.schedules.list: which part of the list."""

    limit: int = Field(default=100, gt=0, le=300)
    offset: int = Field(default=0, ge=0)


class ScheduleRow(Message):
    """One schedule, when it is due next and what it asked last. Moments are UTC."""

    schedule_id: str
    name: str
    principal: str
    cron: str | None = None
    every_seconds: int | None = None
    timezone: str = "UTC"
    missed: Missed = "coalesce"
    goal: str = "default"
    priority: Priority = Priority.MEDIUM
    request: Request
    paused: bool = False
    created_at: str
    next_at: tuple[str, ...] = ()
    """The next few planned times; none while it is paused."""
    last_at: str | None = None
    last_run_id: str | None = None


class ScheduleList(Message):
    """The caller's schedules by name, for an operator everybody's; requests without context, long messages cut."""

    schedules: tuple[ScheduleRow, ...] = ()
