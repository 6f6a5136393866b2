"""The workflows that come with the platform: whole, runnable, and each task told only what it needs."""

from __future__ import annotations

from typing import Any

import pytest

from evolvent.events.language.lint import lint
from evolvent.events.language.plan import plan
from evolvent.events.language.references import reference_texts, references_in
from evolvent.events.language.validation import problems
from evolvent.events.language.workflow import Task, Workflow
from evolvent.orchestrator.logs.opening import TOOL_MODULE
from evolvent.orchestrator.logs.source import DiagnosticContext
from evolvent.orchestrator.tools import ToolRegistry
from evolvent.orchestrator.workflows.builtin_documents import builtin_documents, monolithic_instructions

DOCUMENTS = builtin_documents()
TASKS = [(name, task) for name, document in DOCUMENTS.items() for task in document["tasks"]]


def test_the_three_of_the_mission_are_there_with_their_phases() -> None:
    phases = {name: [set(phase) for phase in plan(Workflow.model_validate(d)).phases] for name, d in DOCUMENTS.items()}
    assert phases == {
        "health_check": [{"connectivity_check", "basic_data_check"}],
        "missing_data_troubleshooting": [
            {"license_verification", "index_verification", "time_range_verification"},
            {"permissions_verification"},
        ],
        "performance_analysis": [
            {"system_resource_baseline", "search_concurrency_analysis", "indexing_performance_analysis"}
        ],
    }
    (permissions,) = [task for _, task in TASKS if task["task_id"] == "permissions_verification"]
    assert permissions["dependencies"] == ["license_verification"]


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_no_field_of_a_document_is_unknown_and_every_output_leads_to_a_task(document: dict[str, Any]) -> None:
    assert set(document) <= set(Workflow.model_fields)
    for task in document["tasks"]:
        assert set(task) <= set(Task.model_fields), task["task_id"]
    known = {task["task_id"] for task in document["tasks"]}
    assert reference_texts(document["output"])
    assert {reference.task_id for reference in references_in(document["output"])} == known
    DiagnosticContext(**document["context"])


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_every_document_can_run_and_there_is_no_better_design_for_it(document: dict[str, Any]) -> None:
    registry = ToolRegistry()
    registry.load_builtin()
    registry.load_modules([TOOL_MODULE])
    tools = {spec.name: spec for spec in registry.specs()}
    workflow = Workflow.model_validate(document)
    assert [str(problem) for problem in problems(workflow, tools)] == []
    assert [str(advice) for advice in lint(workflow, tools)] == []


@pytest.mark.parametrize(("name", "task"), TASKS, ids=[task["task_id"] for _, task in TASKS])
def test_a_task_has_short_instructions_tools_that_exist_and_context_that_is_given(
    name: str, task: dict[str, Any]
) -> None:
    registry = ToolRegistry()
    registry.load_builtin()
    registry.load_modules([TOOL_MODULE])
    assert 60 <= len(task["instructions"].split()) <= 160
    assert registry.specs(task["required_tools"])
    assert set(task["context_requirements"]) <= set(DOCUMENTS[name]["context"])
    assert 0 < task["estimated_duration_seconds"] < task["timeout_seconds"]
    named = {spec.name for spec in registry.specs() if f"`{spec.name}`" in task["instructions"]}
    assert named <= set(task["required_tools"])


def test_each_call_is_told_four_fifths_less_than_one_agent_for_everything_would_be() -> None:
    whole = len(monolithic_instructions(DOCUMENTS).split())
    shares = {task["task_id"]: len(task["instructions"].split()) / whole for _, task in TASKS}
    assert max(shares.values()) <= 0.2, shares
