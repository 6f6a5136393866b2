"""The rows of what is counted from ended runs, and what the store of them gives and takes.

Owns the tables hourly_totals, hourly_agents, failure_patterns and insights (records); `insights.py` works on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.rows import LONG, RecordsRow


class HourlyTotalsRow(RecordsRow, table=True):
    """What the live runs of a goal that began in an hour came to, by what served them."""

    __tablename__ = "hourly_totals"
    hour: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    goal: str = Field(primary_key=True)
    served_by: str = Field(primary_key=True)
    runs: int = 0
    completed: int = 0
    failed: int = 0
    tokens: int = Field(default=0, sa_type=BigInteger)
    cost_microusd: int = Field(default=0, sa_type=BigInteger)
    duration_seconds: float = 0.0


class HourlyAgentsRow(RecordsRow, table=True):
    """In how many live runs an agent took its first turn in an hour."""

    __tablename__ = "hourly_agents"
    hour: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    agent_id: str = Field(primary_key=True)
    runs: int = 0


class FailurePatternRow(RecordsRow, table=True):
    """Failures that are the same but for values; `hours` counts the latest ones for their trend."""

    __tablename__ = "failure_patterns"
    __table_args__ = (Index("ix_failure_patterns_seen", "last_seen"),)
    pattern_id: str = Field(primary_key=True)
    category: str
    code: str
    kind: str
    subject: str
    message: str = Field(sa_type=LONG)
    failures: int
    failed_runs: int
    first_seen: datetime = Field(sa_type=UtcDateTime)
    last_seen: datetime = Field(sa_type=UtcDateTime)
    goals: str = Field(sa_type=LONG)
    runs: str = Field(sa_type=LONG)
    hours: str = Field(sa_type=LONG)
    is_told: bool = False


class InsightRow(RecordsRow, table=True):
    """What a job found last."""

    __tablename__ = "insights"
    name: str = Field(primary_key=True)
    computed_at: datetime = Field(sa_type=UtcDateTime)
    document: str = Field(sa_type=LONG)


@dataclass(frozen=True, slots=True)
class HourTotals:
    """What the live runs of a goal that began in an hour came to, by what served them."""

    hour: datetime
    goal: str
    served_by: str
    runs: int = 0
    completed: int = 0
    failed: int = 0
    tokens: int = 0
    cost_microusd: int = 0
    duration_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentHour:
    """In how many live runs an agent took its first turn in an hour."""

    hour: datetime
    agent_id: str
    runs: int


@dataclass(frozen=True, slots=True)
class FailurePattern:
    """Failures that are the same but for values.

    `kind` is what failed (`tool`, `model`, `agent`, `workflow`), `subject` its name. `failures` counts everything,
    `failed_runs` the runs that ended by it. `goals` counts by goal, `hours` by UTC hour, `runs` are the latest.
    """

    pattern_id: str
    category: str
    code: str
    kind: str
    subject: str
    message: str
    failures: int
    failed_runs: int
    first_seen: datetime
    last_seen: datetime
    goals: Mapping[str, int]
    runs: tuple[str, ...]
    hours: Mapping[datetime, int]
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class EndedRun:
    """What is counted of a run that ended."""

    position: int
    run_id: str
    goal: str
    status: str
    mode: str
    served_by: str
    agent_id: str | None
    workflow: str | None
    error: str | None
    cost_microusd: int
    tokens: int
    duration_seconds: float
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class PartOfRun:
    """Model turns or tool calls of one run that are alike: `name` is the model or the tool."""

    run_id: str
    name: str
    agent_id: str | None
    error_code: str | None
    times: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class EndedRuns:
    """Some runs that ended, in the order in which they were recorded, with their turns and failed calls."""

    runs: tuple[EndedRun, ...]
    turns: tuple[PartOfRun, ...]
    failed_calls: tuple[PartOfRun, ...]
