"""How a run of a workflow is, worked out from its journal.

Pure. Shown in use by tests/e2e/test_workflow_commands.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from evolvent.events.language.reducer import fold
from evolvent.events.language.state import TaskStatus
from evolvent.events.messages.runs import AnyRunEvent
from evolvent.platform.task_views import task_views


class TaskReport(BaseModel):
    """How one task of a run is."""

    model_config = ConfigDict(frozen=True)

    task_id: str
    state: str
    execution_time: float | None = None
    error: str | None = None


class WorkflowStatus(BaseModel):
    """How a run of a workflow is. `progress` is the share of its tasks that are over."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    workflow: str
    state: str
    progress: float
    current_tasks: tuple[str, ...] = ()
    total_execution_time: float = 0.0
    tasks: tuple[TaskReport, ...] = ()


def status_of(run_id: str, entries: Sequence[tuple[int, AnyRunEvent]]) -> WorkflowStatus:
    """Return how a run is, from its journal, which has an event at least."""
    state = fold(run_id, entries)
    views = task_views(state)
    over = sum(1 for view in views.values() if TaskStatus(view.status).is_over)
    progress = over / len(views) if views else 0.0
    return WorkflowStatus(
        run_id=run_id,
        workflow=state.started.workflow.name if state.started else "",
        state=state.status.value,
        progress=1.0 if state.status.is_final else progress,
        current_tasks=tuple(name for name, view in views.items() if view.status == TaskStatus.RUNNING.value),
        total_execution_time=(entries[-1][1].occurred_at - entries[0][1].occurred_at).total_seconds(),
        tasks=tuple(
            TaskReport(task_id=name, state=view.status, execution_time=view.seconds, error=view.error)
            for name, view in views.items()
        ),
    )
