"""What is known of a run: the fold of its journal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import TypeAdapter

from evolvent.events.errors import ErrorInfo
from evolvent.events.language.conversation import ToolCall
from evolvent.events.language.workflow import Task, Workflow
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
    """Where a task stands. Waiting: a dependency is not done. Skipped: it never will be, or its workflow was left."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def is_over(self) -> bool:
        """Say whether nothing more is done about the task."""
        return self in (TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.SKIPPED)


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
class Stage:
    """A task of a pipeline, as the items it takes one by one: item i is the task `name[i]`.

    `source` is the stage whose items it takes as they come, where it does not wait for the whole list.
    """

    size: int
    source: str | None = None
    begun: int = 0
    over: int = 0


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task of the run. `tries` counts the failures in a row of its next turn or call."""

    task: Task
    status: TaskStatus = TaskStatus.WAITING
    turns: tuple[TurnRecord, ...] = ()
    calls: tuple[CallState, ...] = ()
    tries: int = 0
    model: str | None = None
    output: Any = None
    error: ErrorInfo | None = None
    asked_at: datetime | None = None
    """Since when a person is asked, in an approval task."""
    stage: Stage | None = None
    item_of: str | None = None
    """The stage that this is an item of, and which one."""
    index: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """No lease for a task's turn, and what the goal's policy says about it."""

    task_id: str
    error: ErrorInfo
    policy: str
    cheaper_model: str | None = None

    @property
    def goes_on_with(self) -> str | None:
        """The model that the task goes on with; None where the policy lets the run end or wait."""
        return self.cheaper_model if self.policy == "cheaper_model" else None


@dataclass(frozen=True, slots=True)
class Approval:
    """An answer that is not yet applied."""

    approved: bool
    principal: str = "anonymous"
    outcome: str | None = None
    result: Any = None
    note: str | None = None
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """A run. `attempt` counts its owners; `last_seq` fences the next append.

    `active` are the running tasks in the order in which they became so, `begun` those with a turn, a call or a claim
    behind them, `missing` how many dependencies each waiting
    task lacks, `left` how many tasks are not over: kept beside `tasks` so that no step has to look at all of them.
    """

    run_id: str
    status: RunStatus = RunStatus.NEW
    attempt: int = 1
    started: WorkflowStarted | None = None
    tasks: dict[str, TaskState] = field(default_factory=dict)
    active: dict[str, None] = field(default_factory=dict)
    begun: dict[str, None] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    left: int = 0
    failed: tuple[str, ...] = ()
    deoptimized: str | None = None
    """Why an agent took over from the workflow, where one did."""
    fell_back: bool = False
    output_bytes: int = 0
    cancel: CancelRequested | None = None
    answers: tuple[Approval, ...] = ()
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

    @property
    def workflow(self) -> Workflow:
        """The workflow that is being done: that of the start, or its fallback."""
        assert self.started is not None
        fallback = self.started.fallback
        return fallback if self.fell_back and fallback is not None else self.started.workflow


_ADAPTER: TypeAdapter[RunState] = TypeAdapter(RunState)
_DERIVED: Final = ("active", "begun", "missing", "left")


def dump_state(state: RunState) -> dict[str, Any]:
    """Return the state as the JSON that a suspended event carries. A task that its workflow holds is not held twice."""
    data: dict[str, Any] = _ADAPTER.dump_python(state, mode="json", exclude_none=True, exclude=set(_DERIVED))
    known = _documents(state.started)
    for name, task in data["tasks"].items():
        if state.tasks[name].task == known.get(name):
            del task["task"]
    return data


def load_state(data: dict[str, Any]) -> RunState:
    """Return the state that `dump_state` wrote."""
    started = WorkflowStarted.model_validate(data["started"]) if data.get("started") else None
    known = _documents(started)
    held = {n: task if "task" in task else {**task, "task": known[n]} for n, task in data.get("tasks", {}).items()}
    given = {name: value for name, value in data.items() if name not in _DERIVED}
    state = _ADAPTER.validate_python({**given, "started": started, "tasks": held})
    tasks = state.tasks
    waiting = {name: task for name, task in tasks.items() if task.status is TaskStatus.WAITING}
    return replace(
        state,
        active={name: None for name, task in tasks.items() if task.status is TaskStatus.RUNNING and not task.stage},
        begun={name: None for name, task in tasks.items() if task.status is TaskStatus.RUNNING and has_begun(task)},
        missing={name: _missing(task, tasks) for name, task in waiting.items() if task.item_of is None},
        left=sum(1 for task in tasks.values() if not task.status.is_over and task.item_of is None),
    )


def _documents(started: WorkflowStarted | None) -> dict[str, Task]:
    """Return the tasks that a run's first event holds, by task_id."""
    if started is None:
        return {}
    workflows = [workflow for workflow in (started.workflow, started.fallback) if workflow is not None]
    whole = [*(w.takeover for w in workflows if w.takeover is not None), *(t for w in workflows for t in w.tasks)]
    return {task.task_id: task for task in whole}


def has_begun(task: TaskState) -> bool:
    """Say whether a task has a turn or a call behind it, or a claim."""
    return bool(task.turns) or any(call.record is not None or call.claim is not None for call in task.calls)


def has_open_claim(task: TaskState) -> bool:
    """Say whether a task has a call that may have taken effect, and nobody has told how it ended."""
    return any(call.claim is not None and call.record is None for call in task.calls)


def _missing(task: TaskState, tasks: dict[str, TaskState]) -> int:
    return sum(1 for name in dict.fromkeys(task.task.dependencies) if tasks[name].status is not TaskStatus.DONE)
