"""How far each task of a run is, and when it began and ended: for status calls and drawings.

Pure: the state of a run in, views out. Shown in use by tests/unit/platform/test_workflow_drawing.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from evolvent.events.language.state import RunState, TaskState


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task of a run: its status, and when it began and ended, in seconds from the run's start."""

    status: str
    began: float | None = None
    ended: float | None = None
    error: str | None = None

    @property
    def seconds(self) -> float | None:
        """Return how long it took, as far as it went."""
        return None if self.began is None or self.ended is None else max(0.0, self.ended - self.began)


@dataclass(frozen=True, slots=True)
class ObservedDiet:
    """The first prompts of a run's agent tasks, and what one prompt for the whole workflow would have been then."""

    prompts: int
    prompt_bytes: int
    monolith_bytes: int

    @property
    def spared(self) -> float:
        """Return the share that a prompt was spared; below 0 where it was told more."""
        return round(1 - self.prompt_bytes / self.monolith_bytes, 4)


def observed_diet(state: RunState) -> ObservedDiet | None:
    """Return what the agents of a workflow were told, or None where no agent was told anything."""
    told = [turn for task in state.tasks.values() for turn in task.turns if turn.monolith_bytes]
    if not told:
        return None
    return ObservedDiet(len(told), sum(t.prompt_bytes for t in told), sum(t.monolith_bytes for t in told))


def task_views(state: RunState) -> dict[str, TaskView]:
    """Return the tasks of a run by name; the items of a pipeline count as one task."""
    if state.started is None:
        return {}
    origin = state.started.occurred_at
    times: dict[str, list[tuple[datetime, float]]] = {}
    for name, task in state.tasks.items():
        times.setdefault(task.item_of or name, []).extend(_spans(task))
    return {name: _view(task, times[name], origin) for name, task in state.tasks.items() if task.item_of is None}


def _spans(task: TaskState) -> Iterator[tuple[datetime, float]]:
    for turn in task.turns:
        yield turn.started_at, turn.duration_seconds
    for call in task.calls:
        if call.record is not None:
            yield call.record.started_at, call.record.duration_seconds


def _view(task: TaskState, spans: list[tuple[datetime, float]], origin: datetime) -> TaskView:
    error = task.error.message if task.error is not None else None
    if not spans:
        return TaskView(task.status.value, error=error)
    began = min((at - origin).total_seconds() for at, _ in spans)
    ended = max((at - origin).total_seconds() + seconds for at, seconds in spans)
    return TaskView(task.status.value, max(0.0, began), max(0.0, ended), error)
