"""The example workflows on their real files: every tool task is called, transformed and handed on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from evolvent.events.clock import SystemClock
from evolvent.events.language.conversation import ToolCall
from evolvent.events.language.plan import plan
from evolvent.events.language.references import Scope, resolve
from evolvent.events.language.transforms import transform
from evolvent.events.language.validation import problems
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.events.messages.runs import ToolOutcome
from evolvent.orchestrator.tools import ToolContext, ToolRegistry
from evolvent.orchestrator.tools.call import call_tool
from evolvent.orchestrator.tools.registry import ToolSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted((EXAMPLES / "workflows").glob("*.yaml"))


def read(name: str) -> Workflow:
    return Workflow.model_validate(yaml.safe_load((EXAMPLES / "workflows" / f"{name}.yaml").read_text("utf-8")))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> ToolRegistry:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    made = ToolRegistry(ToolSettings(allowed_folders=(EXAMPLES / "workflows" / "data",)))
    made.load_builtin()
    made.load_modules(["fetch_tools"])
    return made


async def output_of(registry: ToolRegistry, task: Task, scope: Scope) -> Any:
    assert task.tool is not None
    wish = ToolCall(call_id="c", name=task.tool, arguments=resolve(task.arguments, scope, task_id=task.task_id))
    offered = frozenset({task.tool})
    record = await call_tool(registry, wish, ToolContext("r", task.task_id, "c"), offered=offered, clock=SystemClock())
    assert record.outcome is ToolOutcome.OK, record.error
    return transform(task.transformations, record.result, task_id=task.task_id)


async def test_three_fetches_are_filtered_summed_and_combined(registry: ToolRegistry) -> None:
    workflow = read("three_fetches_aggregate")
    phases = plan(workflow).phases
    assert [len(phase) for phase in phases] == [3, 1]
    tasks = {task.task_id: task for task in workflow.tasks}
    outputs: dict[str, Any] = {}
    for phase in phases:
        for task_id in phase:
            outputs[task_id] = await output_of(registry, tasks[task_id], Scope(outputs=dict(outputs)))
    assert [outputs[f"fetch_{where}"] for where in ("north", "south", "west")] == [200.0, 350.0, 50.0]
    assert resolve(workflow.output, Scope(outputs=outputs)) == {"total": 600.0, "average": 200.0}


async def test_account_analysis_fetches_the_account_that_its_context_names(registry: ToolRegistry) -> None:
    workflow = read("account_analysis")
    assert [set(phase) for phase in plan(workflow).phases] == [
        {"fetch_account_data"}, {"analyze_risk", "get_historical_context"}, {"generate_recommendations"},
    ]  # fmt: skip
    account = await output_of(registry, workflow.tasks[0], Scope(context=workflow.context))
    assert (account["account_id"], account["name"]) == ("ACC-12345", "Harbour Bakery")
    history = ToolCall(call_id="c", name="fetch_history", arguments={"account_id": "ACC-12345"})
    offered = frozenset({"fetch_history"})
    record = await call_tool(registry, history, ToolContext("r", "t", "c"), offered=offered, clock=SystemClock())
    assert [entry["event"] for entry in record.result][-1] == "invoice overdue"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_example_names_tools_that_exist_and_no_unknown_field(path: Path, registry: ToolRegistry) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    assert document["name"] == path.stem
    assert set(document) <= set(Workflow.model_fields)
    tools = {spec.name: spec for spec in registry.specs()}
    assert [str(problem) for problem in problems(read(path.stem), tools)] == []
    for raw, task in zip(document["tasks"], read(path.stem).tasks, strict=True):
        assert set(raw) <= set(Task.model_fields)
        if task.kind is TaskKind.TOOL:
            registry.get(str(task.tool))
        registry.specs(task.required_tools or ())
