"""Which ready task goes first, in adaptive mode: rules look at what is ready and answer with boosts.

    score = priority_boost + boosts of the rules + 10 x (way left ÷ longest way left) - 10 x load of its agent

The highest score goes first; equals go in order of definition. Rules are pure: data in, boosts out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evolvent.events.language import graph
from evolvent.events.language.plan import durations
from evolvent.events.language.workflow import Task, Workflow

CRITICAL_PATH_BOOST = 20.0
MAX_BOOST = 1000.0
_WAY_WEIGHT = 10.0
_LOAD_WEIGHT = 10.0


@dataclass(frozen=True, slots=True)
class ReadyTask:
    """A task that could go now. `load` is 0 where its agent is free, and 1 where it has all it takes."""

    task: Task
    estimated_seconds: float
    remaining_seconds: float
    """How long it and the longest chain behind it take."""
    is_critical: bool
    load: float = 0.0

    @property
    def task_id(self) -> str:
        """The id of the task."""
        return self.task.task_id


@dataclass(frozen=True, slots=True)
class Boost:
    """What a rule adds to the score of a ready task; negative where it should wait."""

    task_id: str
    amount: float


Rule = Callable[[Workflow, Sequence[ReadyTask]], Sequence[Boost]]


@dataclass(frozen=True, slots=True)
class Ways:
    """How long every task takes and how long the way behind it is; made once for a run, in O(V+E)."""

    seconds: Mapping[str, float]
    remaining: Mapping[str, float]


def critical_path_rule(workflow: Workflow, ready: Sequence[ReadyTask]) -> Sequence[Boost]:
    """Let the tasks of the critical path go first: +20."""
    return [Boost(task.task_id, CRITICAL_PATH_BOOST) for task in ready if task.is_critical]


BUILT_IN_RULES: tuple[Rule, ...] = (critical_path_rule,)


def ways(workflow: Workflow, observed: Mapping[str, float] | None = None) -> Ways:
    """Return the ways of a workflow, given the seconds that its tasks were seen to take."""
    seconds = durations(workflow, observed)
    return Ways(seconds, graph.remaining_seconds(graph.dependencies(workflow), seconds))


def ready_order(
    workflow: Workflow,
    ready: Iterable[str],
    known: Ways,
    *,
    loads: Mapping[str, float] | None = None,
    rules: Sequence[Rule] = BUILT_IN_RULES,
) -> tuple[str, ...]:
    """Return the ready tasks, the most pressing first. `loads` are those of the agents, by task id.

    Boosts of tasks that are not ready, and those that are no numbers, count for nothing.
    """
    names = list(ready)
    longest = max((known.remaining[name] for name in names), default=0.0)
    tasks = [_ready(workflow.by_id[name], known, longest, loads or {}) for name in names]
    scores = {task.task_id: _score(task, longest) for task in tasks}
    for rule in rules:
        for boost in rule(workflow, tasks):
            if boost.task_id in scores and math.isfinite(boost.amount):
                scores[boost.task_id] += min(MAX_BOOST, max(-MAX_BOOST, boost.amount))
    return tuple(sorted(names, key=lambda name: -scores[name]))


def _ready(task: Task, known: Ways, longest: float, loads: Mapping[str, float]) -> ReadyTask:
    name = task.task_id
    left = known.remaining[name]
    return ReadyTask(task, known.seconds[name], left, left >= longest, loads.get(name, 0.0))


def _score(task: ReadyTask, longest: float) -> float:
    way = task.remaining_seconds / longest if longest else 0.0
    return task.task.priority_boost + _WAY_WEIGHT * way - _LOAD_WEIGHT * min(max(task.load, 0.0), 10.0)
