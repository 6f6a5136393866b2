"""When a run ends, and how: cancelled, too late, out of money, all tasks over."""

from __future__ import annotations

from typing import Any

from evolvent.events.errors import Category, ErrorInfo, EvolventError
from evolvent.events.language.references import resolve
from evolvent.events.language.scopes import Outputs, scope_of
from evolvent.events.language.state import RunState, TaskStatus, has_begun
from evolvent.events.language.steps import Decision, Finish, Suspend
from evolvent.events.messages.runs import SuspendReason

MAX_ATTEMPTS = 10
_ENDS = {TaskStatus.DONE: "completed", TaskStatus.FAILED: "failed"}


def ending_of(state: RunState) -> Decision | None:
    """Return how a run ends or falls back, or None where it goes on."""
    if state.cancel is not None:
        return _failed(state, _cancelled(state), "workflow_cancelled")
    if state.is_late:
        message = "The run took longer than its timeout_seconds; allow it more."
        return _failed(state, ErrorInfo(code="run.timeout", category=Category.TIMEOUT, message=message))
    if state.attempt - state.suspensions > MAX_ATTEMPTS:  # each wait ends with a new owner, and is no crash
        message = f"The run was taken over {MAX_ATTEMPTS} times without coming to an end."
        return _failed(state, ErrorInfo(code="run.attempts", category=Category.SYSTEM, message=message))
    if state.refusal is not None and state.refusal.goes_on_with is None:
        return _refused(state)
    if state.left or not state.tasks:
        return None
    if not state.failed:
        return _completed(state)
    error = state.tasks[state.failed[0]].error
    assert error is not None
    if not state.fell_back and state.started is not None and state.started.fallback is not None:
        return Decision(fallback=error.message)
    return _failed(state, error)


def partial_results(state: RunState) -> dict[str, Any] | None:
    """Return the outputs of the tasks that are done, by task_id; None where the run is one task."""
    return dict(Outputs(state.tasks)) if len(state.tasks) > 1 else None


def success_rate(state: RunState) -> float:
    """Return the tasks that are done ÷ all tasks of the workflow at hand and those that were done before it."""
    tasks = [task for task in state.tasks.values() if task.item_of is None]
    return sum(1 for task in tasks if task.status is TaskStatus.DONE) / len(tasks) if tasks else 0.0


def task_ends(state: RunState) -> dict[str, tuple[str, ...]]:
    """Return how the tasks ended of which no turn or call tells it: those without any, and those not planned."""
    started = state.started
    if started is None or len(state.tasks) < 2:
        return {}
    ends: dict[str, list[str]] = {}
    for name, task in state.tasks.items():
        is_told = name in started.workflow.by_id and has_begun(task)
        if task.status is not TaskStatus.DONE or not is_told:
            ends.setdefault(_ENDS.get(task.status, "skipped"), []).append(name)
    return {end: tuple(names) for end, names in ends.items()}


def _completed(state: RunState) -> Decision:
    try:
        output = _output(state)
    except EvolventError as error:
        return _failed(state, error.info())
    answer = output if isinstance(output, str) else None
    return Decision(finish=Finish("workflow_completed", answer=answer, output=output))


def _output(state: RunState) -> Any:
    """Return what the workflow says its output is; else that of the task, or tasks, that nothing depends on."""
    takeover = state.workflow.takeover
    if state.deoptimized is not None and takeover is not None:
        return state.tasks[takeover.task_id].output
    if state.workflow.output is not None:
        return resolve(state.workflow.output, scope_of(state), task_id="output")
    sinks = [name for name, waiting in state.workflow.dependents.items() if not waiting]
    if len(sinks) == 1:
        return state.tasks[sinks[0]].output
    return {name: state.tasks[name].output for name in sinks}


def _failed(state: RunState, error: ErrorInfo, event_type: str = "workflow_failed") -> Decision:
    return Decision(finish=Finish(event_type, error=error, output=partial_results(state)))


def _cancelled(state: RunState) -> ErrorInfo:
    assert state.cancel is not None
    reason = f": {state.cancel.reason}" if state.cancel.reason else "."
    return ErrorInfo(
        code="run.cancelled", category=Category.SYSTEM, message=f"Cancelled by {state.cancel.principal}{reason}"
    )


def _refused(state: RunState) -> Decision:
    refusal = state.refusal
    assert refusal is not None
    if refusal.policy in ("queue", "ask"):
        return Decision(suspend=Suspend(SuspendReason.BUDGET, refusal.error.message), waits_for_others=True)
    ending = _failed(state, refusal.error)
    return Decision(finish=ending.finish, waits_for_others=True)
