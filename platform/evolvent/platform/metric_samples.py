"""From events to numbers, in pure functions. `metrics.py` adds the numbers up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from evolvent.events.messages import platform as happened
from evolvent.events.messages.runs import (
    AnyRunEvent,
    BudgetRefused,
    Deoptimized,
    Final,
    Mode,
    RoutingDecision,
    ToolRecord,
    TurnRecord,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
)
from evolvent.platform import metric_names as names
from evolvent.platform import workflow_samples
from evolvent.platform.metric_memory import RunNote
from evolvent.platform.metric_names import Sample

USD = 1e6


def of_run_event(event: AnyRunEvent, note: RunNote) -> Iterator[Sample]:
    """Say what an event of a journal adds. What `workflow_started` tells of its run is kept in the note."""
    for turn in event.turns:
        yield from _turn(turn)
    for tool in event.tools:
        yield from _tool(tool)
    yield from workflow_samples.of_tasks(event, note)
    if isinstance(event, WorkflowStarted):
        note.priority, note.mode = event.priority.value, event.mode
        workflow_samples.remember(event, note)
        if event.mode is Mode.LIVE:
            yield Sample(names.RUNS_STARTED, (event.goal, event.priority.value))
            yield from _looked_up(event.routing)
    elif isinstance(event, Final):
        yield from _final(event, note)
    elif isinstance(event, WorkflowSuspended):
        yield Sample(names.RUNS_SUSPENDED, (event.reason.value,))
    elif isinstance(event, WorkflowResumed):
        yield Sample(names.RUNS_RESUMED, (event.cause,))
    elif isinstance(event, BudgetRefused):
        yield Sample(names.BUDGET_REFUSED, (event.error.code,))
    elif isinstance(event, Deoptimized):
        yield Sample(names.DEOPTIMIZED)


def _looked_up(routing: RoutingDecision) -> Iterator[Sample]:
    if routing.abstained is not None:
        yield Sample(names.ABSTAINED, (routing.abstained,))
    if routing.match_seconds is not None:
        yield Sample(names.MATCH_SECONDS, (), routing.match_seconds)


def _final(event: Final, note: RunNote) -> Iterator[Sample]:
    if note.mode is not Mode.LIVE:
        yield Sample(names.RUNS_NOT_LIVE, (note.mode.value,))
        return
    status = event.type.removeprefix("workflow_")
    served_by = event.served_by.value
    yield Sample(names.RUNS_ENDED, (event.goal, status))
    yield Sample(names.RUNS_SERVED, (served_by, status))
    yield Sample(names.RUN_SECONDS_HELD, (note.priority,), event.totals.duration_seconds)
    yield from workflow_samples.of_end(event, note)
    yield Sample(names.RUN_COST, (served_by,), event.totals.cost_microusd / USD)
    if event.scripted:
        yield Sample(names.RUNS_SCRIPTED)
    if status == "failed":
        yield Sample(names.RUN_FAILURES, (event.error.category.value if event.error else "unknown",))


def _turn(turn: TurnRecord) -> Iterator[Sample]:
    model = _model(turn)
    yield Sample(names.MODEL_TURNS, (model, "ok" if turn.reply is not None else "error"))
    yield Sample(names.MODEL_SECONDS, (model,), turn.duration_seconds)
    if turn.cost_microusd:
        yield Sample(names.MODEL_COST, (model,), turn.cost_microusd / USD)
        yield Sample(names.GOAL_COST, (turn.lease.goal if turn.lease else "unknown",), turn.cost_microusd / USD)
    if turn.reply is not None:
        usage = turn.reply.usage
        yield Sample(names.MODEL_TOKENS, (model, "prompt"), usage.prompt_tokens)
        yield Sample(names.MODEL_TOKENS, (model, "completion"), usage.completion_tokens)
        yield Sample(names.MODEL_TOKENS, (model, "cached"), usage.cached_tokens)


def _model(turn: TurnRecord) -> str:
    """Prefer the name that was asked for: what a server calls itself is not ours to count by."""
    if turn.lease is not None:
        return turn.lease.model
    return (turn.reply.model if turn.reply else "") or "unknown"


def _tool(tool: ToolRecord) -> Iterator[Sample]:
    yield Sample(names.TOOL_CALLS, (tool.name, tool.outcome.value))
    yield Sample(names.TOOL_SECONDS, (tool.name,), tool.duration_seconds)


def of_platform_event(event: happened.PlatformEvent) -> Iterator[Sample]:
    """Say what an event of the platform adds."""
    yield Sample(names.PLATFORM_EVENTS, (event.TYPE,))
    if told := _TOLD.get(event.TYPE):
        yield from told(event)


def _spawned(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.AgentSpawned)
    yield Sample(names.AGENTS_SPAWNED, (event.goal,))


def _retired(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.AgentRetired)
    yield Sample(names.AGENTS_RETIRED, (event.goal,))


def _evicted(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.AgentEvicted)
    yield Sample(names.AGENTS_EVICTED, (event.reason,))


def _feedback(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.FeedbackReceived)
    yield Sample(names.FEEDBACK)
    if event.rating is not None:
        yield Sample(names.FEEDBACK_RATING, (), event.rating)


def _exceeded(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.BudgetExceeded)
    yield Sample(names.BUDGET_EXCEEDED, (event.goal,))


def _overrun(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.BudgetOverrun)
    yield Sample(names.BUDGET_OVERRUNS, (event.goal,))
    yield Sample(names.BUDGET_OVERRUN_USD, (event.goal,), max(0, event.billed_microusd - event.held_microusd) / USD)


def _opened(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.CircuitOpened)
    yield Sample(names.CIRCUITS_OPENED, (event.target,))
    yield Sample(names.CIRCUIT_OPEN, (event.target,), 1)


def _closed(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.CircuitClosed)
    yield Sample(names.CIRCUIT_OPEN, (event.target,), 0)


def _scheduled(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.SchedulerRan)
    yield Sample(names.SCHEDULER_RUNS, (event.job, "ok" if event.ok else "failed"))
    if event.ok:
        yield Sample(names.SCHEDULER_LAST, (event.job,), event.occurred_at.timestamp())


def _dead(event: happened.PlatformEvent) -> Iterator[Sample]:
    assert isinstance(event, happened.DeadLettered)
    yield Sample(names.DEAD_LETTERS, (event.stream,))


def _plainly(sample: Sample) -> Callable[[happened.PlatformEvent], Iterator[Sample]]:
    return lambda _: iter((sample,))


AUTOMATION_EVENTS = {
    "automation_proposed": "proposed",
    "automation_created": "created",
    "automation_promoted": "promoted",
    "automation_rolled_back": "rolled_back",
}
IMPROVEMENT_EVENTS = {"improvement_available": "available", "improvement_applied": "applied"}

_TOLD: Mapping[str, Callable[[happened.PlatformEvent], Iterator[Sample]]] = {
    "agent_spawned": _spawned,
    "agent_retired": _retired,
    "agent_activated": _plainly(Sample(names.AGENTS_ACTIVATED)),
    "agent_evicted": _evicted,
    "pattern_discovered": _plainly(Sample(names.PATTERNS)),
    "feedback_received": _feedback,
    "budget_exceeded": _exceeded,
    "budget_overrun": _overrun,
    "circuit_opened": _opened,
    "circuit_closed": _closed,
    "scheduler_ran": _scheduled,
    "dead_lettered": _dead,
    **{kind: _plainly(Sample(names.AUTOMATIONS, (what,))) for kind, what in AUTOMATION_EVENTS.items()},
    **{kind: _plainly(Sample(names.IMPROVEMENTS, (what,))) for kind, what in IMPROVEMENT_EVENTS.items()},
}
