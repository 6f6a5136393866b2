"""The engine's work for a task does not grow with its workflow. Calls are counted, no seconds: nobody disturbs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType

import pytest
from support.simulation import Simulation

from evolvent.events.language.plan import plan
from evolvent.events.language.state import RunStatus
from evolvent.events.language.workflow import ExecutionMode, Task, TaskKind, Workflow


def task(number: int, *after: int) -> Task:
    names = tuple(f"t{each}" for each in after)
    return Task(task_id=f"t{number}", kind=TaskKind.TOOL, tool="look", dependencies=names)


SHAPES: Mapping[str, Callable[[int], list[Task]]] = {
    "wide": lambda size: [task(number) for number in range(size)],
    "deep": lambda size: [task(number, *([number - 1] if number else [])) for number in range(size)],
    "diamond": lambda size: [
        task(0),
        *(task(number, 0) for number in range(1, size - 1)),
        task(size - 1, *range(1, size - 1)),
    ],
}


def workflow(shape: str, size: int, mode: ExecutionMode = ExecutionMode.PARALLEL) -> Workflow:
    return Workflow(name=shape, tasks=tuple(SHAPES[shape](size)), mode=mode, output=f"${{tasks.t{size - 1}.output}}")


def calls_for_a_task(shape: str, size: int, mode: ExecutionMode) -> float:
    run = Simulation(workflow(shape, size, mode))
    calls = 0

    def count(_frame: FrameType, event: str, _what: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        state = run.run()
    finally:
        sys.setprofile(None)
    assert state.status is RunStatus.COMPLETED
    return calls / size


@pytest.mark.parametrize("mode", [ExecutionMode.PARALLEL, ExecutionMode.ADAPTIVE])
@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_tasks_are_no_more_work_for_each(shape: str, mode: ExecutionMode) -> None:
    assert calls_for_a_task(shape, 600, mode) < 1.1 * calls_for_a_task(shape, 300, mode)


def test_a_thousand_tasks_are_planned_in_as_many_phases_as_they_must_wait() -> None:
    assert {shape: len(plan(workflow(shape, 1000)).phases) for shape in SHAPES} == {
        "wide": 1,
        "deep": 1000,
        "diamond": 3,
    }
