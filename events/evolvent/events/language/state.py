"""What is known of a run: the fold of its journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from evolvent.events.errors import ErrorInfo
from evolvent.events.language.conversation import ToolCall
from evolvent.events.language.workflow import Task
from evolvent.events.messages.runs import (
    CancelRequested,
    SuspendReason,
    ToolClaim,
    ToolRecord,
    Totals,
    TurnRecord,
    WorkflowStarted,
)


class RunStatus(StrEnum):
    """Where a run stands."""

    NEW = "new"
    RUNNING = "running"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Say whether nothing more can happen to the run."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class TaskStatus(StrEnum):
    """Where a task stands. Waiting means that a dependency is not done."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CallState:
    """A tool call that a model or a tool task asked for, until its record is there."""

    call: ToolCall
    claim: ToolClaim | None = None
    claim_attempt: int = 0
    unknown_count: int = 0
    """How often the call was made and its end not learnt."""
    reconciled: bool = False
    """The tool's own hook was asked, and could not tell."""
    record: ToolRecord | None = None


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task of the run. `tries` counts the failures of its next turn."""

    task: Task
    status: TaskStatus = TaskStatus.WAITING
    turns: tuple[TurnRecord, ...] = ()
    calls: tuple[CallState, ...] = ()
    tries: int = 0
    model: str | None = None
    output: Any = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """No lease for a task's turn, and what the goal's policy says about it."""

    task_id: str
    error: ErrorInfo
    policy: str
    cheaper_model: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """An answer that is not yet applied."""

    approved: bool
    principal: str = "anonymous"
    outcome: str | None = None
    result: Any = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """A run. `attempt` counts its owners; `last_seq` fences the next append."""

    run_id: str
    status: RunStatus = RunStatus.NEW
    attempt: int = 1
    started: WorkflowStarted | None = None
    tasks: dict[str, TaskState] = field(default_factory=dict)
    cancel: CancelRequested | None = None
    approval: Approval | None = None
    refusal: Refusal | None = None
    is_late: bool = False
    suspensions: int = 0
    suspend_reason: SuspendReason | None = None
    suspended_at: datetime | None = None
    paused_seconds: float = 0.0
    totals: Totals = field(default_factory=Totals)
    request_seq: int = 0
    last_seq: int = 0
    last_event_id: str | None = None


_ADAPTER: TypeAdapter[RunState] = TypeAdapter(RunState)


def dump_state(state: RunState) -> dict[str, Any]:
    """Return the state as the JSON that a suspended event carries."""
    data: dict[str, Any] = _ADAPTER.dump_python(state, mode="json", exclude_none=True)
    return data


def load_state(data: dict[str, Any]) -> RunState:
    """Return the state that `dump_state` wrote."""
    return _ADAPTER.validate_python(data)
