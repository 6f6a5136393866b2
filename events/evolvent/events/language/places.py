"""Which of the ready tasks go on: the caps and the order of the workflow's mode.

A task that has begun keeps its place until it is over. Free places go to ready tasks: in order of definition
(sequential, one at a time), as they became ready (parallel, pipeline), or the most pressing first (adaptive). A task
of mode sequential goes alone: nothing is begun beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from evolvent.events.language.adaptation import Ways, ready_order, ways
from evolvent.events.language.state import RunState
from evolvent.events.language.workflow import ExecutionMode, TaskKind, Workflow

MOST_RANKED = 64
"""So many ready tasks are laid before the rules at once, the earliest ready; a wide workflow has thousands."""

Order = Callable[[Workflow, Sequence[str]], Sequence[str]]


def by_estimates(workflow: Workflow, ready: Sequence[str]) -> Sequence[str]:
    """Return ready tasks, the most pressing first, going by what the workflow says of itself."""
    return ready_order(workflow, ready, _estimated(_Pinned(workflow)))


@dataclass(frozen=True, slots=True)
class _Pinned:
    """A workflow as a key: the same content is the same key."""

    workflow: Workflow

    def __hash__(self) -> int:
        return hash(self.workflow.workflow_hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Pinned) and other.workflow.workflow_hash == self.workflow.workflow_hash


@lru_cache(maxsize=32)
def _estimated(pinned: _Pinned) -> Ways:
    return ways(pinned.workflow)


@dataclass(frozen=True, slots=True)
class Going:
    """What an owner has in hand: the tasks with an activity under way, and its order for adaptive workflows."""

    busy: frozenset[str] = frozenset()
    order: Order = field(default=by_estimates)


IDLE = Going()


def chosen(state: RunState, going: Going = IDLE, *, only_busy: bool = False) -> list[str]:
    """Return the tasks that go on, those that have begun first."""
    begun = [name for name in state.begun if name in state.active]
    begun += [name for name in going.busy if name in state.active and name not in state.begun]
    if only_busy:
        return [name for name in begun if name in going.busy]
    cap = cap_of(state.workflow) if state.deoptimized is None else 1
    free = cap - len(begun)
    if free <= 0 or any(_goes_alone(state, name) for name in begun):
        return begun
    taken = set(begun)
    ready = (n for n in state.active if n not in taken and state.tasks[n].task.kind is not TaskKind.APPROVAL)
    for name in _in_order(state.workflow, ready, going, free):
        if _goes_alone(state, name):
            return begun if begun else [name]
        begun.append(name)
    return begun


def cap_of(workflow: Workflow) -> int:
    """Return how many tasks of a workflow may be under way at once."""
    return 1 if workflow.mode is ExecutionMode.SEQUENTIAL else workflow.max_parallel_tasks


def _goes_alone(state: RunState, name: str) -> bool:
    return state.tasks[name].task.mode is ExecutionMode.SEQUENTIAL


def _in_order(workflow: Workflow, ready: Iterator[str], going: Going, free: int) -> Sequence[str]:
    if workflow.mode is ExecutionMode.SEQUENTIAL:
        first = min(ready, key=lambda name: workflow.positions.get(name, len(workflow.positions)), default=None)
        return [] if first is None else [first]
    if workflow.mode is not ExecutionMode.ADAPTIVE:
        return list(islice(ready, free))
    seen = list(islice(ready, MOST_RANKED))
    if len(seen) <= free:
        return seen
    items = [name for name in seen if name not in workflow.by_id]
    return [*items, *going.order(workflow, [name for name in seen if name in workflow.by_id])][:free]
