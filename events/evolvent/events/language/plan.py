"""The plan of a workflow: its phases, its critical path, and what running it side by side can save.

    parallelism         = tasks in phases of two or more ÷ tasks
    time_saved          = 1 - critical path ÷ sum of durations
    theoretical_speedup = sum of durations ÷ critical path

A task takes as long as was observed, else as estimated, else the mean of those that are known, else one second.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from evolvent.events.language import graph
from evolvent.events.language.workflow import ExecutionMode, Workflow
from evolvent.events.language.workflow_problems import Problem, WorkflowInvalid


@dataclass(frozen=True, slots=True)
class Plan:
    """What a workflow's graph allows. `expected_seconds` also knows its mode and max_parallel_tasks."""

    phases: tuple[tuple[str, ...], ...]
    critical_path: tuple[str, ...]
    seconds: Mapping[str, float]
    critical_path_seconds: float
    total_seconds: float
    expected_seconds: float
    parallelism: float
    time_saved: float
    theoretical_speedup: float


def plan(workflow: Workflow, observed: Mapping[str, float] | None = None) -> Plan:
    """Return the plan of a workflow, given the seconds that its tasks were seen to take.

    Raises:
        WorkflowInvalid: its tasks wait for each other in a circle.
    """
    edges = graph.dependencies(workflow)
    cycles = graph.find_cycles(edges)
    if cycles:
        raise WorkflowInvalid([cycle_problem(cycle) for cycle in cycles], name=workflow.name)
    seconds = durations(workflow, observed)
    left = graph.remaining_seconds(edges, seconds)
    phases = graph.levels(edges)
    path = _critical_path(edges, left)
    longest, total = max(left.values(), default=0.0), sum(seconds.values())
    shared = sum(len(phase) for phase in phases if len(phase) > 1)
    return Plan(
        phases=phases,
        critical_path=path,
        seconds=seconds,
        critical_path_seconds=longest,
        total_seconds=total,
        expected_seconds=_expected(workflow, edges, seconds, left),
        parallelism=shared / len(edges) if edges else 0.0,
        time_saved=max(0.0, 1 - longest / total) if total else 0.0,
        theoretical_speedup=max(1.0, total / longest) if longest else 1.0,
    )


def durations(workflow: Workflow, observed: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return how long each task is taken to take, in seconds."""
    seen = observed or {}
    guesses = {name: seen.get(name, task.estimated_duration_seconds) for name, task in workflow.by_id.items()}
    known = [guess for guess in guesses.values() if guess is not None]
    usual = sum(known) / len(known) if known else 1.0
    return {name: max(0.0, usual if guess is None else guess) for name, guess in guesses.items()}


def cycle_problem(cycle: tuple[str, ...]) -> Problem:
    """Return the problem that a cycle is."""
    trail = " → ".join(cycle)
    return Problem(
        f"task {cycle[0]!r}", f"The tasks wait for each other: {trail}.", "Take one of these dependencies out.", "cycle"
    )


def _critical_path(edges: graph.Edges, left: Mapping[str, float]) -> tuple[str, ...]:
    waiting = graph.reverse(edges)
    front = [name for name, needed in edges.items() if not needed]
    path: list[str] = []
    while front:
        path.append(max(front, key=lambda name: left[name]))
        front = waiting[path[-1]]
    return tuple(path)


def _expected(workflow: Workflow, edges: graph.Edges, seconds: Mapping[str, float], left: Mapping[str, float]) -> float:
    """Return how long the run takes when free places go to the task with the longest way behind it."""
    cap = 1 if workflow.mode is ExecutionMode.SEQUENTIAL else workflow.max_parallel_tasks
    missing = {name: len(needed) for name, needed in edges.items()}
    waiting = graph.reverse(edges)
    ready = [(-left[name], name) for name, count in missing.items() if not count]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < cap:
            name = heapq.heappop(ready)[1]
            heapq.heappush(running, (now + seconds[name], name))
        now, done = heapq.heappop(running)
        for dependent in waiting[done]:
            missing[dependent] -= 1
            if not missing[dependent]:
                heapq.heappush(ready, (-left[dependent], dependent))
    return now
