"""What the records say about runs, as frozen documents; their JSON form is what listings print."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Json, ValidationError
from sqlmodel import SQLModel

from evolvent.events.errors import ErrorInfo
from evolvent.events.messages.runs import RoutingDecision
from evolvent.storage.errors import CorruptRecord


class Record(BaseModel):
    """A frozen document read from a row."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RunRecord(Record):
    """One run as it is recorded."""

    run_id: str
    status: str
    goal: str
    priority: str
    principal: str
    user_id: str | None
    session_id: str | None
    mode: str
    message: str
    request: Json[dict[str, Any]]
    request_hash: str
    causation_id: str | None
    correlation_id: str | None
    served_by: str | None
    agent_id: str | None
    workflow: str | None
    workflow_hash: str
    routing: Json[RoutingDecision] | None
    answer: str | None
    error: Json[ErrorInfo] | None
    scripted: bool
    cost_microusd: int
    prompt_tokens: int
    completion_tokens: int
    model_calls: int
    tool_calls: int
    duration_seconds: float
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    first_seq: int
    last_seq: int
    suspended_reason: str | None
    suspended_detail: str | None
    suspension: int
    wake_at: datetime | None


class SuspendedRun(Record):
    """A run that waits, with all that is needed to go on."""

    run_id: str
    goal: str
    priority: str
    principal: str
    suspension: int
    suspended_reason: str
    suspended_detail: str | None
    wake_at: datetime | None
    last_seq: int
    state: Json[dict[str, Any]]


class TaskRecord(Record):
    """A task and what it took."""

    task_id: str
    kind: str
    name: str
    agent_id: str | None
    tool: str | None
    dependencies: Json[tuple[str, ...]]
    status: str
    turns: int
    tool_calls: int
    cost_microusd: int
    busy_seconds: float
    started_at: datetime | None
    finished_at: datetime | None


class TurnSummary(Record):
    """A model turn without its words; those stand in the journal's events."""

    seq: int
    task_id: str
    turn: int
    try_number: int
    agent_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_microusd: int
    lease_id: str | None
    sent: bool
    error_code: str | None
    started_at: datetime
    duration_seconds: float


class ToolCallRecord(Record):
    """A tool call with its arguments and result."""

    seq: int
    task_id: str
    call_id: str
    name: str
    effect: str
    schema_hash: str
    arguments: Json[dict[str, Any]]
    outcome: str
    result: Json[Any] | None
    result_ref: str | None
    error_code: str | None
    attempt: int
    decided_by: str | None
    started_at: datetime
    duration_seconds: float


class AgentTotals(Record):
    """What an agent did so far; `runs` and `successes` count live runs that it led."""

    agent_id: str
    runs: int
    successes: int
    turns: int
    failed_turns: int
    tokens: int
    cost_microusd: int
    busy_seconds: float


class DailyTotals(Record):
    """What a goal's runs came to on one UTC day."""

    day: str
    goal: str
    runs: int
    completed: int
    failed: int
    cancelled: int
    by_automation: int
    tokens: int
    model_calls: int
    tool_calls: int
    cost_microusd: int
    duration_seconds: float


R = TypeVar("R", bound=Record)


def read_row(kind: type[R], row: SQLModel) -> R:
    """Return the document that a row holds.

    Raises:
        CorruptRecord: naming the columns that cannot be read. Other rows are not affected.
    """
    values = {name: getattr(row, name) for name in kind.model_fields}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        wrong = ", ".join(sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}))
        name = values.get("run_id") or getattr(row, "run_id", "?")
        raise CorruptRecord(f"{kind.__name__} {name!r} cannot be read: {wrong}; restore it from a backup.") from error
