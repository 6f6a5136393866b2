"""Workflows of any size and three shapes: wide, deep, diamond. Their tasks call a tool that does nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from evolvent.events.language.workflow import ExecutionMode, Task, TaskKind, Workflow

TOOL: Final = "bench_nothing"
MANY_SECONDS: Final = 3600.0


def wide(size: int) -> Workflow:
    """Return tasks that wait for nothing."""
    return _workflow("wide", [_task(number) for number in range(size)])


def deep(size: int) -> Workflow:
    """Return tasks that wait one for the other."""
    return _workflow("deep", [_task(number, *([number - 1] if number else [])) for number in range(size)])


def diamond(size: int) -> Workflow:
    """Return one task, then all but two side by side, then one that waits for them all."""
    middle = range(1, size - 1)
    return _workflow("diamond", [_task(0), *(_task(number, 0) for number in middle), _task(size - 1, *middle)])


SHAPES: Final[Mapping[str, Callable[[int], Workflow]]] = {"wide": wide, "deep": deep, "diamond": diamond}


def _task(number: int, *after: int) -> Task:
    return Task(
        task_id=f"t{number}",
        kind=TaskKind.TOOL,
        tool=TOOL,
        arguments={"number": number},
        dependencies=tuple(f"t{each}" for each in after),
        timeout_seconds=MANY_SECONDS,
    )


def _workflow(shape: str, tasks: list[Task]) -> Workflow:
    return Workflow(
        name=f"bench_{shape}_{len(tasks)}",
        tasks=tuple(tasks),
        mode=ExecutionMode.PARALLEL,
        output=f"${{tasks.t{len(tasks) - 1}.output}}",
    )
