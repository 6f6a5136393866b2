"""Row classes of the records of runs. Filled by `recording`, read by `runs`; nobody else sees them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.rows import LONG, RecordsRow


class RunRow(RecordsRow, table=True):
    """One run, as its journal says up to `last_seq`."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_started", "started_at"),
        Index("ix_runs_goal", "goal", "started_at"),
        Index("ix_runs_principal", "principal", "started_at"),
        Index("ix_runs_user", "user_id", "started_at"),
        Index("ix_runs_status", "status", "first_seq"),
        Index("ix_runs_wake", "status", "wake_at"),
    )
    run_id: str = Field(primary_key=True)
    status: str
    goal: str = "default"
    priority: str = "medium"
    principal: str = "anonymous"
    user_id: str | None = None
    session_id: str | None = None
    mode: str = "live"
    message: str = Field(default="", sa_type=LONG)
    request: str = Field(default="{}", sa_type=LONG)
    request_hash: str = ""
    causation_id: str | None = None
    correlation_id: str | None = None
    served_by: str | None = None
    agent_id: str | None = None
    workflow: str | None = None
    workflow_hash: str = ""
    routing: str | None = Field(default=None, sa_type=LONG)
    answer: str | None = Field(default=None, sa_type=LONG)
    error: str | None = Field(default=None, sa_type=LONG)
    scripted: bool = False
    cost_microusd: int = Field(default=0, sa_type=BigInteger)
    prompt_tokens: int = Field(default=0, sa_type=BigInteger)
    completion_tokens: int = Field(default=0, sa_type=BigInteger)
    model_calls: int = 0
    tool_calls: int = 0
    duration_seconds: float = 0.0
    attempts: int = 0
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    first_seq: int = Field(default=0, sa_type=BigInteger)
    last_seq: int = Field(default=0, sa_type=BigInteger)
    suspended_reason: str | None = None
    suspended_detail: str | None = Field(default=None, sa_type=LONG)
    suspension: int = 0
    wake_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    state: str | None = Field(default=None, sa_type=LONG)


class RunEventRow(RecordsRow, table=True):
    """An event of a journal, byte for byte."""

    __tablename__ = "run_events"
    run_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    prev_seq: int = Field(sa_type=BigInteger)
    type: str
    event_id: str
    occurred_at: datetime = Field(sa_type=UtcDateTime)
    body: str = Field(sa_type=LONG)


class TaskRow(RecordsRow, table=True):
    """A task of a run and what it took so far."""

    __tablename__ = "tasks"
    run_id: str = Field(primary_key=True)
    task_id: str = Field(primary_key=True)
    position: int = 0
    kind: str = "agent"
    name: str = ""
    agent_id: str | None = None
    tool: str | None = None
    dependencies: str = "[]"
    status: str = "planned"
    turns: int = 0
    tool_calls: int = 0
    cost_microusd: int = Field(default=0, sa_type=BigInteger)
    busy_seconds: float = 0.0
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ModelTurnRow(RecordsRow, table=True):
    """A model turn that ended."""

    __tablename__ = "model_turns"
    __table_args__ = (Index("ix_model_turns_agent", "agent_id", "started_at"),)
    run_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    position: int = Field(primary_key=True)
    task_id: str
    turn: int
    try_number: int
    agent_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_microusd: int = Field(sa_type=BigInteger)
    lease_id: str | None = None
    sent: bool
    error_code: str | None = None
    started_at: datetime = Field(sa_type=UtcDateTime)
    duration_seconds: float


class ToolCallRow(RecordsRow, table=True):
    """A tool call that ended, in the order of the journal; (run_id, seq, position) is the trace."""

    __tablename__ = "tool_calls"
    __table_args__ = (Index("ix_tool_calls_name", "name", "started_at"),)
    run_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    position: int = Field(primary_key=True)
    task_id: str
    call_id: str
    name: str
    effect: str
    schema_hash: str
    arguments: str = Field(sa_type=LONG)
    outcome: str
    result: str | None = Field(default=None, sa_type=LONG)
    result_ref: str | None = None
    error_code: str | None = None
    attempt: int
    decided_by: str | None = None
    started_at: datetime = Field(sa_type=UtcDateTime)
    duration_seconds: float


class AttemptRow(RecordsRow, table=True):
    """An owner that took the run, and why."""

    __tablename__ = "attempts"
    run_id: str = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    owner: str
    cause: str
    began_at: datetime = Field(sa_type=UtcDateTime)


class FinishedRunRow(RecordsRow, table=True):
    """Ended runs in the order in which they were recorded: where the learner stopped is a position here."""

    __tablename__ = "finished_runs"
    __table_args__ = {"sqlite_autoincrement": True}
    position: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(unique=True)


class AgentTotalsRow(RecordsRow, table=True):
    """What an agent did so far, kept in the commit that records it."""

    __tablename__ = "agent_totals"
    agent_id: str = Field(primary_key=True)
    runs: int = 0
    successes: int = 0
    turns: int = 0
    failed_turns: int = 0
    tokens: int = Field(default=0, sa_type=BigInteger)
    cost_microusd: int = Field(default=0, sa_type=BigInteger)
    busy_seconds: float = 0.0


class DailyTotalsRow(RecordsRow, table=True):
    """What a goal's runs came to on the UTC day on which they ended."""

    __tablename__ = "daily_totals"
    day: str = Field(primary_key=True)
    goal: str = Field(primary_key=True)
    runs: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    by_automation: int = 0
    tokens: int = Field(default=0, sa_type=BigInteger)
    model_calls: int = 0
    tool_calls: int = 0
    cost_microusd: int = Field(default=0, sa_type=BigInteger)
    duration_seconds: float = 0.0
