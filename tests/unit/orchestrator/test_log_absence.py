"""What is said where log tools are needed and no log source is set up."""

from __future__ import annotations

from evolvent.events.language.validation import problems
from evolvent.events.language.workflow_files import load_workflow
from evolvent.orchestrator.logs.absence import DIAGNOSTIC_TOOLS, told_once
from evolvent.orchestrator.logs.opening import TOOL_MODULE
from evolvent.orchestrator.tools import ToolRegistry
from evolvent.orchestrator.workflows.builtin_documents import builtin_documents


def test_the_log_tools_are_those_that_a_log_source_brings() -> None:
    registry = ToolRegistry()
    registry.load_modules((TOOL_MODULE,))
    assert {spec.name for spec in registry.specs()} == DIAGNOSTIC_TOOLS


def test_absent_log_tools_are_one_problem_that_names_the_setting() -> None:
    registry = ToolRegistry()
    registry.load_builtin()
    tools = {spec.name: spec for spec in registry.specs()}
    for document in builtin_documents().values():
        found = told_once(problems(load_workflow(document), tools), tools)
        assert [problem.code for problem in found] == ["logs.no_source"]
        assert "EVOLVENT_TOOLS__LOGS__FOLDERS='[\"/var/log\"]'" in str(found[0])


def test_other_problems_stay_as_they_are() -> None:
    document = {"name": "w", "tasks": [{"task_id": "a", "tool": "rm_rf", "arguments": {}}]}
    found = problems(load_workflow(document), {})
    assert told_once(found, {}) == found
