"""Which of the ready tasks go on: the caps and the order of the workflow's mode.

A task that has begun keeps its place until it is over. Free places go to ready tasks: in order of definition
(sequential, one at a time), as they became ready (parallel, pipeline), or the most pressing first (adaptive). A task
of mode sequential goes alone: nothing is begun beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evolvent.events.language.adaptation import ready_order, ways
from evolvent.events.language.state import RunState, TaskState
from evolvent.events.language.workflow import ExecutionMode, TaskKind, Workflow

MOST_RANKED = 64
"""So many ready tasks are laid before the rules at once, the earliest ready; a wide workflow has thousands."""

Order = Callable[[Workflow, Sequence[str]], Sequence[str]]


def by_estimates(workflow: Workflow, ready: Sequence[str]) -> Sequence[str]:
    """Return ready tasks, the most pressing first, going by what the workflow says of itself."""
    return ready_order(workflow, ready, ways(workflow))


@dataclass(frozen=True, slots=True)
class Going:
    """What an owner has in hand: the tasks with an activity under way, and its order for adaptive workflows."""

    busy: frozenset[str] = frozenset()
    order: Order = field(default=by_estimates)


IDLE = Going()


def chosen(state: RunState, going: Going = IDLE, *, only_busy: bool = False) -> list[str]:
    """Return the tasks that go on, those that have begun first."""
    begun = [name for name in state.active if name in going.busy or has_begun(state.tasks[name])]
    if only_busy:
        return [name for name in begun if name in going.busy]
    cap = cap_of(state.workflow) if state.deoptimized is None else 1
    free = cap - len(begun)
    if free <= 0 or any(_goes_alone(state, name) for name in begun):
        return begun
    taken = set(begun)
    ready = [n for n in state.active if n not in taken and state.tasks[n].task.kind is not TaskKind.APPROVAL]
    for name in _in_order(state.workflow, ready, going, free):
        if _goes_alone(state, name):
            return begun if begun else [name]
        begun.append(name)
    return begun


def cap_of(workflow: Workflow) -> int:
    """Return how many tasks of a workflow may be under way at once."""
    return 1 if workflow.mode is ExecutionMode.SEQUENTIAL else workflow.max_parallel_tasks


def has_begun(task: TaskState) -> bool:
    """Say whether a task has a turn or a call behind it, or a claim."""
    return bool(task.turns) or any(call.record is not None or call.claim is not None for call in task.calls)


def _goes_alone(state: RunState, name: str) -> bool:
    return state.tasks[name].task.mode is ExecutionMode.SEQUENTIAL


def _in_order(workflow: Workflow, ready: list[str], going: Going, free: int) -> Sequence[str]:
    if workflow.mode is ExecutionMode.SEQUENTIAL:
        return sorted(ready, key=lambda name: workflow.positions.get(name, len(workflow.positions)))[:free]
    if workflow.mode is ExecutionMode.ADAPTIVE and len(ready) > free:
        known = [name for name in ready[:MOST_RANKED] if name in workflow.by_id]
        return going.order(workflow, known)[:free] if known else ready[:free]
    return ready[:free]
