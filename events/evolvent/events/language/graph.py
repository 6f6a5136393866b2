"""The graph of a workflow's tasks: order, cycles, what is upstream, what is left. Everything in O(V+E) steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from evolvent.events.language.workflow import Workflow

Edges = Mapping[str, Sequence[str]]


def dependencies(workflow: Workflow) -> dict[str, tuple[str, ...]]:
    """Return for each task the tasks that it waits for, those left out that do not exist."""
    known = workflow.by_id
    return {name: tuple(d for d in dict.fromkeys(task.dependencies) if d in known) for name, task in known.items()}


def topological_order(edges: Edges) -> tuple[str, ...]:
    """Return the tasks so that each comes after what it waits for; those of a cycle, and behind one, are left out."""
    missing = {name: len(needed) for name, needed in edges.items()}
    waiting = reverse(edges)
    ready = deque(name for name, count in missing.items() if not count)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for dependent in waiting[name]:
            missing[dependent] -= 1
            if not missing[dependent]:
                ready.append(dependent)
    return tuple(order)


def reverse(edges: Edges) -> dict[str, list[str]]:
    """Return for each task the tasks that wait for it."""
    found: dict[str, list[str]] = {name: [] for name in edges}
    for name, needed in edges.items():
        for dependency in needed:
            found[dependency].append(name)
    return found


def find_cycles(edges: Edges) -> tuple[tuple[str, ...], ...]:
    """Return cycles that share no task, each as a, b, …, a in the order of waiting; none means that it is a DAG."""
    ordered = set(topological_order(edges))
    left = {name: needed for name, needed in edges.items() if name not in ordered}
    seen: set[str] = set()
    cycles: list[tuple[str, ...]] = []
    for start in left:
        trail: dict[str, int] = {}
        name: str | None = start
        while name is not None and name not in seen and name not in trail:
            trail[name] = len(trail)
            name = next((d for d in left[name] if d in left), None)
        if name is not None and name in trail:
            loop = list(trail)[trail[name] :]
            cycles.append((*loop, loop[0]))
        seen.update(trail)
    return tuple(cycles)


def levels(edges: Edges) -> tuple[tuple[str, ...], ...]:
    """Return the tasks in as few phases as there can be: each as early as what it waits for allows."""
    level: dict[str, int] = {}
    for name in topological_order(edges):
        level[name] = 1 + max((level[d] for d in edges[name]), default=-1)
    phases: list[list[str]] = [[] for _ in range(1 + max(level.values(), default=-1))]
    for name in edges:
        if name in level:
            phases[level[name]].append(name)
    return tuple(tuple(phase) for phase in phases)


def upstream(edges: Edges) -> dict[str, int]:
    """Return for each task a bit set of the tasks that are done before it; bits are positions in `edges`."""
    position = {name: index for index, name in enumerate(edges)}
    above: dict[str, int] = {}
    for name in topological_order(edges):
        bits = 0
        for dependency in edges[name]:
            bits |= above[dependency] | (1 << position[dependency])
        above[name] = bits
    return above


def remaining_seconds(edges: Edges, seconds: Mapping[str, float]) -> dict[str, float]:
    """Return for each task how long it and the longest chain behind it take."""
    waiting = reverse(edges)
    left: dict[str, float] = {}
    for name in reversed(topological_order(edges)):
        left[name] = seconds[name] + max((left[d] for d in waiting[name]), default=0.0)
    return left
