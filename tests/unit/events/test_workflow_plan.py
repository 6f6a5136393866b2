"""Plans: phases, critical path, and the two numbers of what parallel runs save."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dags import dags
from support.mission_workflows import ACCOUNT_WORKFLOW, PARALLEL_WORKFLOW

from evolvent.events.language import graph
from evolvent.events.language.plan import plan
from evolvent.events.language.workflow import ExecutionMode, Task, Workflow
from evolvent.events.language.workflow_files import load_workflow
from evolvent.events.language.workflow_problems import WorkflowInvalid


def of(**dependencies: tuple[str, ...]) -> Workflow:
    return Workflow(name="w", tasks=tuple(Task(task_id=n, dependencies=d) for n, d in dependencies.items()))


MISSING_DATA = of(license=(), index=(), time_range=(), permissions=("license",))


def test_missing_data_is_four_tasks_in_two_phases() -> None:
    found = plan(MISSING_DATA)
    assert found.phases == (("license", "index", "time_range"), ("permissions",))
    assert (found.parallelism, found.time_saved, found.theoretical_speedup) == (0.75, 0.5, 2.0)
    assert found.critical_path == ("license", "permissions")


def test_independent_tasks_are_one_phase() -> None:
    assert plan(of(a=(), b=(), c=())).parallelism == 1.0


def test_account_analysis_is_as_long_as_its_critical_path() -> None:
    found = plan(load_workflow(ACCOUNT_WORKFLOW))
    assert found.critical_path == ("fetch_account_data", "analyze_risk", "generate_recommendations")
    assert (found.critical_path_seconds, found.total_seconds) == (12.0, 14.0)


def test_what_was_observed_goes_before_what_was_estimated() -> None:
    found = plan(load_workflow(ACCOUNT_WORKFLOW), {"get_historical_context": 9.0})
    assert found.critical_path == ("fetch_account_data", "get_historical_context", "generate_recommendations")
    assert found.critical_path_seconds == 18.0


def test_the_expected_time_knows_the_cap_and_the_mode() -> None:
    workflow = load_workflow(PARALLEL_WORKFLOW)
    assert plan(workflow).expected_seconds == 3.0
    assert plan(workflow.model_copy(update={"max_parallel_tasks": 2})).expected_seconds == 5.0
    assert plan(workflow.model_copy(update={"mode": ExecutionMode.SEQUENTIAL})).expected_seconds == 7.0


def test_a_cycle_has_no_plan_and_is_named() -> None:
    with pytest.raises(WorkflowInvalid, match="a → b → a"):
        plan(of(a=("b",), b=("a",), c=()))


def test_no_task_at_all_is_an_empty_plan() -> None:
    assert plan(Workflow(name="w", tasks=())).phases == ()


@given(dags())
def test_phases_respect_dependencies_and_none_could_be_earlier(workflow: Workflow) -> None:
    found = plan(workflow)
    phase = {name: number for number, names in enumerate(found.phases) for name in names}
    assert sorted(phase) == sorted(workflow.by_id)
    for task in workflow.tasks:
        before = [phase[name] for name in task.dependencies]
        assert phase[task.task_id] == (max(before) + 1 if before else 0)


@given(dags())
def test_the_numbers_of_a_plan_agree(workflow: Workflow) -> None:
    found = plan(workflow)
    assert found.critical_path_seconds == pytest.approx(sum(found.seconds[name] for name in found.critical_path))
    for earlier, later in itertools.pairwise(found.critical_path):
        assert earlier in workflow.by_id[later].dependencies
    assert 0 <= found.parallelism <= 1
    assert 0 <= found.time_saved <= 1
    assert found.theoretical_speedup >= 1
    assert found.critical_path_seconds - 1e-6 <= found.expected_seconds <= found.total_seconds + 1e-6


@given(dags(max_tasks=9))
def test_no_path_is_longer_than_the_critical_one(workflow: Workflow) -> None:
    found = plan(workflow)

    def longest(name: str) -> float:
        return found.seconds[name] + max((longest(d) for d in workflow.by_id[name].dependencies), default=0.0)

    assert found.critical_path_seconds == pytest.approx(max(map(longest, workflow.by_id)))


@given(dags(), st.data())
def test_a_dag_has_no_cycle_and_one_more_edge_back_makes_one(workflow: Workflow, data: st.DataObject) -> None:
    edges = graph.dependencies(workflow)
    assert graph.find_cycles(edges) == ()
    path = plan(workflow).critical_path
    start = data.draw(st.sampled_from(path))
    edges[path[0]] = (*edges[path[0]], start)
    (cycle,) = graph.find_cycles(edges)
    assert cycle[0] == cycle[-1]
    for waiting, awaited in itertools.pairwise(cycle):
        assert awaited in edges[waiting]


@pytest.mark.parametrize("shape", ["wide", "deep", "diamond"])
def test_a_thousand_tasks_are_planned_in_milliseconds(shape: str) -> None:
    names = [f"t{number}" for number in range(1000)]
    above = {
        "wide": lambda i: [],
        "deep": lambda i: names[i - 1 : i] if i else [],
        "diamond": lambda i: [] if i == 0 else ([names[0]] if i < 999 else names[1:999]),
    }[shape]
    tasks = tuple(Task(task_id=name, dependencies=tuple(above(i))) for i, name in enumerate(names))
    workflow = Workflow(name=shape, tasks=tasks)
    best = min(_timed(workflow) for _ in range(5))
    assert best < 0.05, f"{best * 1000:.1f} ms"


def _timed(workflow: Workflow) -> float:
    begun = time.perf_counter()
    plan(workflow)
    return time.perf_counter() - begun
