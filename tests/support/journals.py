"""Journals of runs for tests of the records: several runs whose events are interleaved in one stream."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from support.runs import AGENT, NOW, done, failed_turn, started, turn

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import (
    ApprovalGiven,
    CancelRequested,
    RunEvent,
    ServedBy,
    SuspendReason,
    ToolCompleted,
    Totals,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowResumed,
    WorkflowSuspended,
)
from evolvent.storage.projections import JournalEntry

STEPS = Workflow(
    name="steps",
    tasks=(
        Task(task_id="look", kind=TaskKind.TOOL, tool="look"),
        Task(task_id="answer", agent_id=AGENT.agent_id, dependencies=("look",)),
    ),
)


def run_id_of(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def stamp(number: int, at: int) -> dict[str, Any]:
    return {
        "event_id": f"e{number}-{at}",
        "run_id": run_id_of(number),
        "occurred_at": NOW + timedelta(seconds=60 * number + at),
        "source": "test",
    }


def _started(number: int, **changes: Any) -> RunEvent:
    request = Request(message=f"question {number}", user_id=f"user{number % 2}")
    return started(**{**stamp(number, 0), "request": request, "principal": "alice", "mode": "live", **changes})


def completed_run(number: int) -> list[RunEvent]:
    """A question, a tool, an answer."""
    look = done("c1_0", "look", result={"rows": [1, 2]})
    return [
        _started(number),
        ToolCompleted(**stamp(number, 1), turns=(turn(1, ("look", {"index": "main"})),), tools=(look,)),
        WorkflowCompleted(
            **stamp(number, 2),
            turns=(turn(2, text="42"),),
            answer="42",
            totals=Totals(cost_microusd=14, prompt_tokens=20, completion_tokens=10, model_calls=2, duration_seconds=2),
        ),
    ]


def workflow_run(number: int) -> list[RunEvent]:
    """A workflow whose first task is a tool; its agent fails once, a second owner ends it."""
    look = done("t1", "look").model_copy(update={"task_id": "look", "duration_seconds": 0.5})
    return [
        _started(number, workflow=STEPS),
        ToolCompleted(**stamp(number, 1), tools=(look,)),
        WorkflowResumed(**stamp(number, 2), attempt=2, owner="other"),
        WorkflowFailed(
            **stamp(number, 3),
            attempt=2,
            turns=(failed_turn(1, retryable=False),),
            error=ErrorInfo(code="model.unavailable", category=Category.NETWORK, message="away\0"),
            served_by=ServedBy.WORKFLOW,
        ),
    ]


def suspended_run(number: int, *, ends: bool = True) -> list[RunEvent]:
    """A run that waits for a person; with `ends`, it is approved and then cancelled."""
    waits = WorkflowSuspended(
        **stamp(number, 1),
        reason=SuspendReason.APPROVAL,
        detail="pay 3 EUR?",
        wake_at=NOW + timedelta(hours=1),
        state={"at": "pay"},
    )
    if not ends:
        return [_started(number), waits]
    return [
        _started(number),
        waits,
        ApprovalGiven(**stamp(number, 2), approved=True),
        WorkflowResumed(**stamp(number, 3), attempt=2, owner="other", cause="approved"),
        CancelRequested(**stamp(number, 4)),
        WorkflowCancelled(**stamp(number, 5), attempt=2),
        CancelRequested(**stamp(number, 6)),
    ]


def stream(*journals: list[RunEvent]) -> list[JournalEntry]:
    """Interleave journals into one stream, each event naming the one before it in its run."""
    entries: list[JournalEntry] = []
    last: dict[str, int] = {}
    for column in range(max(len(journal) for journal in journals)):
        for journal in journals:
            if column < len(journal):
                event, seq = journal[column], len(entries) + 1
                chained = event.model_copy(update={"prev_seq": last.get(event.run_id, 0)})
                last[event.run_id] = seq
                entries.append(JournalEntry(seq, chained, chained.encode()))  # type: ignore[arg-type]
    return entries


def sequences(entries: Iterable[JournalEntry]) -> list[int]:
    return [entry.seq for entry in entries]
