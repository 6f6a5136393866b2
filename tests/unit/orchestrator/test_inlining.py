"""Nested workflows become one flat DAG that means the same."""

from __future__ import annotations

from typing import Any

import pytest
from support.simulation import Simulation

from evolvent.events.language import graph
from evolvent.events.language.state import RunStatus
from evolvent.events.language.workflow import ExecutionMode, Task, TaskKind, Workflow
from evolvent.events.language.workflow_problems import WorkflowInvalid
from evolvent.orchestrator.workflows.inlining import inline


def tool(task_id: str, **more: Any) -> Task:
    return Task(task_id=task_id, kind=TaskKind.TOOL, tool="echo", **more)


def nested(task_id: str, name: str, **more: Any) -> Task:
    return Task(task_id=task_id, kind=TaskKind.WORKFLOW, workflow=name, **more)


def work_out(workflow: Workflow, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run it; a tool gives its arguments back."""
    run = Simulation(workflow, answer=lambda _, given: dict(given), started_with={"parameters": parameters or {}})
    assert run.run().status is RunStatus.COMPLETED
    return {name: task.output for name, task in run.state.tasks.items()}


INNER = Workflow(
    name="inner",
    parameters={"type": "object", "properties": {"n": {}, "unit": {"default": "${km}"}}, "required": ["n"]},
    tasks=(
        tool("take", arguments={"n": "${params.n}", "text": "${params.n.deep} ${params.unit}"}),
        tool("give", arguments={"got": "${tasks.take.output.n.deep[0]}"}, dependencies=("take",)),
    ),
    output={"answer": "${tasks.give.output.got}", "said": "${tasks.take.output.text}"},
)


def test_the_nested_output_is_the_output_of_the_task_that_named_it() -> None:
    outer = Workflow(
        name="outer",
        tasks=(
            tool("first", arguments={"deep": ["x", 2]}),
            nested("mid", "inner", arguments={"n": "${tasks.first.output}"}, dependencies=("first",)),
            tool("last", arguments={"all": "${tasks.mid.output.answer}"}, dependencies=("mid",)),
        ),
    )
    flat = inline(outer, {"inner": INNER})
    assert [task.task_id for task in flat.tasks] == ["first", "mid/@params", "mid/take", "mid/give", "mid", "last"]
    outputs = work_out(flat)
    assert outputs["mid"] == {"answer": "x", "said": '["x",2] ${km}'}
    assert outputs["last"] == {"all": "x"}
    assert not graph.find_cycles(graph.dependencies(flat))


def test_workflows_nest_in_nested_ones_and_keep_their_parameters_apart() -> None:
    middle = Workflow(
        name="middle",
        parameters={"type": "object", "properties": {"n": {}}},
        tasks=(
            nested("a", "inner", arguments={"n": {"deep": ["${params.n}"]}}),
            nested("b", "inner", arguments={"n": {"deep": ["other"]}, "unit": "m"}, dependencies=("a",)),
        ),
        output=["${tasks.a.output.answer}", "${tasks.b.output.answer}"],
    )
    outer = Workflow(name="outer", tasks=(nested("top", "middle", arguments={"n": "${params.start}"}),))
    flat = inline(outer, {"inner": INNER, "middle": middle})
    assert work_out(flat, {"start": 7})["top"] == [7, "other"]
    assert "top/a/take" in flat.by_id
    assert flat.by_id["top/a/take"].dependencies == ("top/a/@params",)


def test_without_an_output_the_ends_are_the_output() -> None:
    one = Workflow(name="one", tasks=(tool("x", arguments={"v": 1}), tool("y", arguments={"v": 2})))
    flat = inline(Workflow(name="outer", tasks=(nested("t", "one"),)), {"one": one})
    assert work_out(flat)["t"] == {"x": {"v": 1}, "y": {"v": 2}}


def test_a_cycle_is_refused_and_named() -> None:
    a = Workflow(name="a", tasks=(nested("t", "b"),))
    b = Workflow(name="b", tasks=(nested("t", "c"),))
    c = Workflow(name="c", tasks=(nested("t", "b"),))
    with pytest.raises(WorkflowInvalid, match="b → c → b"):
        inline(a, {"b": b, "c": c})


def test_what_grows_beyond_all_measure_is_refused_before_it_has_grown() -> None:
    known = {
        f"w{n}": Workflow(name=f"w{n}", tasks=tuple(nested(f"t{i}", f"w{n + 1}") for i in range(40))) for n in range(6)
    }
    known["w6"] = Workflow(name="w6", tasks=(tool("x"),))
    with pytest.raises(WorkflowInvalid, match="more than 5000 tasks"):
        inline(known["w0"], known)


def test_workflows_that_want_different_context_under_one_name_are_refused() -> None:
    one = Workflow(name="one", tasks=(tool("x"),), context={"range": "-1h"})
    two = Workflow(name="two", tasks=(tool("x"),), context={"range": "-2h"})
    outer = Workflow(name="outer", tasks=(nested("p", "one"), nested("q", "two")))
    with pytest.raises(WorkflowInvalid, match="different context 'range'"):
        inline(outer, {"one": one, "two": two})
    settled = inline(outer.model_copy(update={"context": {"range": "-3h"}}), {"one": one, "two": two})
    assert settled.context == {"range": "-3h"}


def test_arguments_that_do_not_fit_are_refused_by_name() -> None:
    outer = Workflow(name="outer", tasks=(nested("mid", "inner", arguments={"unit": "m"}),))
    with pytest.raises(WorkflowInvalid, match="'n' is a required property"):
        inline(outer, {"inner": INNER})


def test_a_nested_workflow_keeps_its_mode_except_where_one_task_goes_at_a_time() -> None:
    inner = Workflow(name="inner", tasks=(tool("x"),), mode=ExecutionMode.SEQUENTIAL)
    wide = Workflow(name="wide", tasks=(tool("x"),), mode=ExecutionMode.PARALLEL)
    outer = Workflow(name="outer", tasks=(nested("t", "inner"),))
    assert inline(outer, {"inner": inner}).by_id["t/x"].mode is ExecutionMode.SEQUENTIAL
    strict = Workflow(name="outer", tasks=(nested("t", "wide"),), mode=ExecutionMode.SEQUENTIAL)
    assert inline(strict, {"wide": wide}).by_id["t/x"].mode is None


def test_a_task_tells_its_nested_agents_no_more_context_than_it_has() -> None:
    inner = Workflow(name="inner", tasks=(Task(task_id="x", context_requirements=("a", "b")), Task(task_id="y")))
    outer = Workflow(name="outer", tasks=(nested("t", "inner", context_requirements=("b",), priority_boost=5),))
    flat = inline(outer, {"inner": inner})
    assert [flat.by_id[n].context_requirements for n in ("t/x", "t/y")] == [("b",), ("b",)]
    assert flat.by_id["t/x"].priority_boost == 5
