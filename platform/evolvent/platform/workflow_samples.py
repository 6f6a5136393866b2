"""What the events of a run say of its workflow, as numbers. A run of one task is no workflow here."""

from __future__ import annotations

from collections.abc import Iterator

from evolvent.events.language.workflow import TaskKind
from evolvent.events.messages.runs import AnyRunEvent, Final, Mode, ToolRecord, TurnRecord, WorkflowStarted
from evolvent.platform import metric_names as names
from evolvent.platform.metric_memory import RunNote
from evolvent.platform.metric_names import Sample

NO_TASKS: dict[str, str] = {}


def remember(event: WorkflowStarted, note: RunNote) -> None:
    """Keep of a live workflow what its later events are told by."""
    if event.mode is Mode.LIVE and len(event.workflow.tasks) > 1:
        note.workflow = event.workflow.name
        note.kinds = {task.task_id: task.kind.value for task in event.workflow.tasks}


def of_tasks(event: AnyRunEvent, note: RunNote) -> Iterator[Sample]:
    """Say which tasks ended with this event and how long they took, and what their agents were told."""
    if note.workflow is None:
        return
    for turn in event.turns:
        note.began.setdefault(turn.task_id, turn.started_at)
        if turn.monolith_bytes:
            yield Sample(names.WORKFLOW_PROMPT, ("told",), turn.prompt_bytes)
            yield Sample(names.WORKFLOW_PROMPT, ("monolith",), turn.monolith_bytes)
        if turn.reply is not None and not turn.reply.tool_calls:
            yield from _ended(turn, note)
    for call in event.tools:
        note.began.setdefault(call.task_id, call.started_at)
        if note.kinds.get(call.task_id) == TaskKind.TOOL and call.error is None:
            yield from _ended(call, note)


def of_end(event: Final, note: RunNote) -> Iterator[Sample]:
    """Say how a workflow ended and how many of its tasks were done; then it is forgotten."""
    if note.workflow is None:
        return
    yield Sample(names.WORKFLOW_RUNS, (note.workflow, event.type.removeprefix("workflow_")))
    done = round(event.success_rate * len(note.kinds))
    yield Sample(names.WORKFLOW_TASKS, ("done",), done)
    yield Sample(names.WORKFLOW_TASKS, ("left",), len(note.kinds) - done)
    note.kinds = NO_TASKS
    note.began.clear()


def _ended(part: TurnRecord | ToolRecord, note: RunNote) -> Iterator[Sample]:
    began = note.began.pop(part.task_id, part.started_at)
    kind = note.kinds.get(part.task_id)
    if kind is not None:
        seconds = (part.started_at - began).total_seconds() + part.duration_seconds
        yield Sample(names.WORKFLOW_TASK_SECONDS, (kind,), max(0.0, seconds))
