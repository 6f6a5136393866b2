"""Pure: the events of one run, applied one after the other to what is recorded of it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime

from evolvent.events.language.workflow import Task, TaskKind
from evolvent.events.messages.runs import (
    AnyRunEvent,
    Final,
    Mode,
    ServedBy,
    ToolOutcome,
    ToolRecord,
    TurnRecord,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
)
from evolvent.storage.columns import utc_day
from evolvent.storage.run_parts import (
    AGENT_TOTALS,
    NO_ORIGIN,
    SECOND,
    Row,
    clean,
    dumped,
    json_text,
    origin_row,
    planned_task,
    tool_row,
    turn_row,
)

ENDED = frozenset({"completed", "failed", "cancelled"})


@dataclass(slots=True)
class RunProgress:
    """The part of a run's row that its events change."""

    status: str = "pending"
    goal: str = "default"
    mode: str = "live"
    agent_id: str | None = None
    served_by: str | None = None
    answer: str | None = None
    error: str | None = None
    scripted: bool = False
    cost_microusd: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    duration_seconds: float = 0.0
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    first_seq: int = 0
    last_seq: int = 0
    suspended_reason: str | None = None
    suspended_detail: str | None = None
    suspension: int = 0
    wake_at: datetime | None = None
    state: str | None = None


PROGRESS = tuple(field.name for field in fields(RunProgress))


class RunFold:
    """Takes one run's events in order and gathers the rows that they make."""

    def __init__(self, run_id: str, recorded: RunProgress) -> None:
        self.run_id = run_id
        self.now = replace(recorded)
        self.origin: Row | None = None
        self.tasks: dict[str, Row] = {}
        self.turns: list[Row] = []
        self.tool_calls: list[Row] = []
        self.attempts: list[Row] = []
        self.agent_totals: dict[str, Row] = {}
        self.daily_totals: dict[tuple[str, str], Row] = {}
        self.finished_seq = 0

    def apply(self, seq: int, event: AnyRunEvent) -> None:
        """Take the next event."""
        now = self.now
        now.last_seq, now.first_seq = seq, now.first_seq or seq
        if isinstance(event, WorkflowStarted):
            self._started(event)
        for position, turn in enumerate(event.turns):
            self._turn(seq, position, turn)
        for position, call in enumerate(event.tools):
            self._tool(seq, position, call)
        if isinstance(event, WorkflowResumed):
            self._resumed(seq, event)
        elif now.status in ENDED:
            return
        elif isinstance(event, WorkflowSuspended):
            self._suspended(event)
        elif isinstance(event, Final):
            self._ended(seq, event)

    def progress_row(self) -> Row:
        """Return the columns that may have changed."""
        row: Row = {name: getattr(self.now, name) for name in PROGRESS}
        row["run_id"] = self.run_id
        return row

    def full_row(self) -> Row:
        """Return every column of a run that is not recorded yet."""
        return {**self.progress_row(), **(self.origin or NO_ORIGIN)}

    def task_rows(self) -> list[Row]:
        """Return the tasks; which status is theirs shows their kind, which an earlier batch may hold."""
        return [
            {**task, "first_status": task["tool_status"] if task["kind"] == TaskKind.TOOL else task["status"]}
            for task in self.tasks.values()
        ]

    def _started(self, event: WorkflowStarted) -> None:
        now = self.now
        now.status = "running" if now.status == "pending" else now.status
        now.goal, now.mode = event.goal, str(event.mode)
        now.agent_id = next((task.agent_id for task in event.workflow.tasks if task.agent_id), None)
        now.served_by = str(event.routing.served_by)
        now.started_at = event.occurred_at
        now.attempts = max(now.attempts, event.attempt)
        self.origin = origin_row(event)
        for position, task in enumerate(event.workflow.tasks):
            self.tasks[task.task_id] = planned_task(self.run_id, position, task)
        self._attempted(event, "started")

    def _resumed(self, seq: int, event: WorkflowResumed) -> None:
        self._attempted(event, event.cause)
        now = self.now
        if now.status in ENDED:
            return
        now.status = "running"
        now.first_seq = now.first_seq if event.state is None else seq
        now.attempts = max(now.attempts, event.attempt)
        self._wait_is_over()

    def _suspended(self, event: WorkflowSuspended) -> None:
        now = self.now
        now.status = "suspended"
        now.suspended_reason, now.suspended_detail = str(event.reason), clean(event.detail)
        now.suspension, now.wake_at = event.suspension, event.wake_at
        now.state = json_text(event.state)

    def _ended(self, seq: int, event: Final) -> None:
        totals, now = event.totals, self.now
        if now.status == "pending":
            now.goal = event.goal
        now.status = event.type.removeprefix("workflow_")
        now.answer = clean(event.answer)
        now.error = None if event.error is None else dumped(event.error)
        now.served_by, now.scripted = str(event.served_by), event.scripted
        now.cost_microusd = max(totals.cost_microusd, now.cost_microusd)
        now.prompt_tokens = max(totals.prompt_tokens, now.prompt_tokens)
        now.completion_tokens = max(totals.completion_tokens, now.completion_tokens)
        now.model_calls = max(totals.model_calls, now.model_calls)
        now.tool_calls = max(totals.tool_calls, now.tool_calls)
        now.duration_seconds = totals.duration_seconds
        now.started_at = now.started_at or event.occurred_at
        now.finished_at = event.occurred_at
        self._wait_is_over()
        for end, names in event.task_ends.items():
            for name in names:
                task = self._row(name)
                task["status"] = task["tool_status"] = end
                task["finished_at"] = task["finished_at"] or event.occurred_at
        self.finished_seq = seq
        self._total_up(event.occurred_at)

    def _wait_is_over(self) -> None:
        now = self.now
        now.suspended_reason = now.suspended_detail = now.wake_at = now.state = None

    def _total_up(self, ended_at: datetime) -> None:
        """Count the ended run once. What is not live costs money but served nobody."""
        now = self.now
        live, completed = int(now.mode == Mode.LIVE), int(now.status == "completed")
        self.daily_totals[utc_day(ended_at), now.goal] = {
            "runs": live,
            "completed": live * completed,
            "failed": live * int(now.status == "failed"),
            "cancelled": live * int(now.status == "cancelled"),
            "by_automation": live * int(now.served_by == ServedBy.AUTOMATION),
            "tokens": now.prompt_tokens + now.completion_tokens,
            "model_calls": now.model_calls,
            "tool_calls": now.tool_calls,
            "cost_microusd": now.cost_microusd,
            "duration_seconds": now.duration_seconds * live,
        }
        if now.agent_id is not None and live:
            totals = self._agent(now.agent_id)
            totals["runs"] += 1
            totals["successes"] += completed

    def _turn(self, seq: int, position: int, turn: TurnRecord) -> None:
        row = turn_row(self.run_id, seq, position, turn)
        self.turns.append(row)
        now, tokens = self.now, row["prompt_tokens"] + row["completion_tokens"]
        now.cost_microusd += turn.cost_microusd
        now.prompt_tokens += row["prompt_tokens"]
        now.completion_tokens += row["completion_tokens"]
        now.model_calls += int(turn.sent)
        totals = self._agent(turn.agent_id)
        totals["turns"] += 1
        totals["failed_turns"] += int(turn.error is not None)
        totals["tokens"] += tokens
        totals["cost_microusd"] += turn.cost_microusd
        totals["busy_seconds"] += turn.duration_seconds
        task = self._task(turn)
        task["turns"] += 1
        task["cost_microusd"] += turn.cost_microusd
        if turn.error is not None:
            task["status"] = "failed"
        elif turn.reply is not None and not turn.reply.tool_calls:
            task["status"] = "completed"

    def _tool(self, seq: int, position: int, call: ToolRecord) -> None:
        self.tool_calls.append(tool_row(self.run_id, seq, position, call))
        self.now.tool_calls += 1
        task = self._task(call)
        task["tool_calls"] += 1
        task["tool_status"] = "completed" if call.outcome is ToolOutcome.OK else "failed"

    def _task(self, part: TurnRecord | ToolRecord) -> Row:
        """Return the row of the part's task, with the part's time in it."""
        task = self._row(part.task_id)
        task["status"] = "running"
        task["started_at"] = task["started_at"] or part.started_at
        task["finished_at"] = part.started_at + part.duration_seconds * SECOND
        task["busy_seconds"] += part.duration_seconds
        return task

    def _row(self, task_id: str) -> Row:
        task = self.tasks.get(task_id)
        if task is None:
            task = self.tasks[task_id] = planned_task(self.run_id, 0, Task(task_id=task_id))
        return task

    def _agent(self, agent_id: str) -> Row:
        totals = self.agent_totals.get(agent_id)
        if totals is None:
            totals = self.agent_totals[agent_id] = dict.fromkeys(AGENT_TOTALS, 0)
        return totals

    def _attempted(self, event: WorkflowStarted | WorkflowResumed, cause: str) -> None:
        self.attempts.append(
            {
                "run_id": self.run_id,
                "attempt": event.attempt,
                "owner": clean(event.owner),
                "cause": clean(cause),
                "began_at": event.occurred_at,
            }
        )
