"""Definitions: what is read from files, what the hash depends on, what travels."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mission_workflows import ACCOUNT_WORKFLOW, PARALLEL_WORKFLOW, ROBUST, STEP_LISTS

from evolvent.events.language.agents import Capability
from evolvent.events.language.builders import TaskDefinition, create_custom_workflow_from_tasks, workflow
from evolvent.events.language.workflow import ExecutionMode, Task, TaskKind, Workflow, single_agent
from evolvent.events.language.workflow_files import load_workflow, read_workflow
from evolvent.events.language.workflow_problems import WorkflowInvalid
from evolvent.events.subjects import Priority

FULL: dict[str, Any] = {
    "name": "report",
    "parameters": {"type": "object", "properties": {"service": {"type": "string"}}},
    "mode": "pipeline",
    "priority": "low",
    "output": "${tasks.write.output}",
    "tasks": [
        {
            "task_id": "fetch",
            "tool": "search",
            "arguments": {"q": "${params.service}", "none": None},
            "transformations": [{"type": "filter", "criteria": {"a": {"equals": None}}}],
        },
        {"task_id": "ask", "approval": {"prompt": "Send?", "on_timeout": "approve"}, "dependencies": ["fetch"]},
        {
            "task_id": "write",
            "instructions": "Write.",
            "capability": "analysis",
            "dependencies": ["ask"],
            "context_requirements": [],
            "timeout_seconds": 90,
        },
        {"task_id": "more", "workflow": "other", "dependencies": ["fetch"]},
    ],
}


@pytest.mark.parametrize("name", STEP_LISTS)
def test_the_documents_examples_load_as_they_stand(name: str) -> None:
    loaded = load_workflow({"name": name, "steps": STEP_LISTS[name]})
    assert [task.task_id for task in loaded.tasks] == [step["step_id"] for step in STEP_LISTS[name]]


def test_the_documents_words_mean_ours() -> None:
    loaded = load_workflow(ACCOUNT_WORKFLOW)
    first = loaded.tasks[0]
    assert (loaded.mode, loaded.priority) == (ExecutionMode.ADAPTIVE, Priority.HIGH)
    assert loaded.context == {"account_id": "ACC-12345"}
    assert (first.capability, first.agent_type) == (Capability.DATA_FETCH, "zoho_scout")
    assert (first.estimated_duration_seconds, first.retry_count) == (5.0, 3)
    assert load_workflow(PARALLEL_WORKFLOW).max_parallel_tasks == 5
    assert load_workflow({"name": "r", "steps": ROBUST}).tasks[0].delay_before_retry(2) == 4.0


def test_kinds_follow_from_what_is_set() -> None:
    kinds = [task.kind for task in load_workflow(FULL).tasks]
    assert kinds == [TaskKind.TOOL, TaskKind.APPROVAL, TaskKind.AGENT, TaskKind.WORKFLOW]


def test_tasks_may_be_an_object_by_id() -> None:
    loaded = load_workflow({"name": "w", "tasks": {"a": {}, "b": {"depends_on": "a"}}})
    assert loaded.by_id["b"].dependencies == ("a",)


def test_a_workflow_id_is_the_name_and_the_name_a_title() -> None:
    loaded = load_workflow({"workflow_id": "w1", "name": "My Workflow", "tasks": [{"id": "a"}]})
    assert (loaded.name, loaded.title) == ("w1", "My Workflow")


def test_every_wrong_word_and_value_is_reported_with_the_problems_behind_them() -> None:
    data = {
        "name": "w",
        "mode": "fastest",
        "timeuot_seconds": 5,
        "tasks": [
            {"task_id": "a", "capability": "cooking", "retry_count": "many", "dependencies": ["b"]},
            {"task_id": "b", "instuctions": "x", "dependencies": ["a", "c"]},
        ],
    }
    with pytest.raises(WorkflowInvalid) as caught:
        load_workflow(data)
    text = str(caught.value)
    for part in ["mode", "fastest", "timeout_seconds", "cooking", "retry_count", "instructions", "'c'", "a → b → a"]:
        assert part in text, part
    assert len(caught.value.problems) == 7


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "not_object"),
        ([], "not_object"),
        ({"name": "w", "tasks": 5}, "value"),
        ({"name": "w"}, "value"),
        ({"name": "w", "tasks": ["a"]}, "value"),
        ({"name": "w", "tasks": [{}]}, "value"),
        ({"name": "w", "tasks": [{"task_id": "a", "arguments": {"on": datetime.date(2024, 1, 1)}}]}, "not_json"),
        ({"name": "w", "tasks": [{"task_id": "a", "arguments": {1: 2}}]}, "not_json"),
        ({"name": "w", "tasks": [{"task_id": "a", "arguments": {"x": float("nan")}}]}, "not_json"),
        ({"name": "w", "tasks": [{"task_id": "a", "step_id": "b"}]}, "word.twice"),
    ],
)
def test_what_is_no_workflow_is_refused_with_a_reason(data: object, code: str) -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        load_workflow(data)
    assert code in {problem.code for problem in caught.value.problems}


def test_a_document_that_holds_itself_ends() -> None:
    data: dict[str, Any] = {"name": "w", "tasks": []}
    data["context"] = data
    with pytest.raises(WorkflowInvalid, match="deeper"):
        load_workflow(data)
    laughs: list[Any] = ["ha"]
    for _ in range(40):
        laughs = [laughs, laughs]
    with pytest.raises(WorkflowInvalid):
        load_workflow({"name": "w", "tasks": [{"task_id": "a", "arguments": {"x": laughs}}]})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "tasks", "steps", "task_id", "tool", "mode", "dependencies", "approval", "x"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=15,
    )
)
def test_any_document_is_read_or_refused_with_problems(data: object) -> None:
    loaded, found = read_workflow(data)
    assert loaded is not None or found


def test_the_hash_does_not_know_key_order_version_or_spelling() -> None:
    loaded = load_workflow(FULL)
    turned = json.loads(json.dumps(FULL), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert load_workflow(turned).workflow_hash == loaded.workflow_hash
    assert load_workflow({**FULL, "version": 7}).workflow_hash == loaded.workflow_hash
    assert load_workflow({**FULL, "max_parallel_tasks": 5}).workflow_hash == loaded.workflow_hash
    assert load_workflow({**FULL, "max_parallel_tasks": 4}).workflow_hash != loaded.workflow_hash


def test_a_workflow_travels_short_and_whole() -> None:
    loaded = load_workflow(FULL)
    wire = loaded.model_dump_json(exclude_none=True)
    assert Workflow.model_validate_json(wire) == loaded
    assert Workflow.model_validate_json(wire).workflow_hash == loaded.workflow_hash
    assert Task(task_id="a").model_dump() == {"task_id": "a"}
    assert len(single_agent("helper_1").model_dump_json(exclude_none=True)) < 150


def test_a_copy_knows_its_own_tasks_and_hash() -> None:
    loaded = load_workflow(FULL)
    assert loaded.by_id and loaded.dependents and loaded.workflow_hash
    changed = loaded.model_copy(update={"tasks": (Task(task_id="only"),)})
    assert list(changed.by_id) == list(changed.dependents) == ["only"]
    assert changed.workflow_hash != loaded.workflow_hash
    builder = workflow("w").agent("a", "x")
    assert len(builder.build().by_id) == 1
    assert len(builder.agent("b", "y").build().by_id) == 2


def test_builders_say_the_same_as_files() -> None:
    built = (
        workflow("w")
        .tool("fetch", "search", arguments={"q": "x"})
        .agent("sum_up", "Sum up.", after=["fetch"], capability=Capability.ANALYSIS)
        .approval("ask", "Send it?", after=["sum_up"])
        .nested("send", "mail", parameters={"text": "${tasks.sum_up.output}"}, after=["ask", "sum_up"])
        .options({"mode": "adaptive", "output": "${tasks.send.output}"})
        .build()
    )
    read = load_workflow(
        {
            "name": "w",
            "mode": "adaptive",
            "output": "${tasks.send.output}",
            "tasks": [
                {"task_id": "fetch", "tool": "search", "arguments": {"q": "x"}},
                {
                    "task_id": "sum_up",
                    "instructions": "Sum up.",
                    "dependencies": ["fetch"],
                    "capability": "analysis",
                    "context_requirements": [],
                },
                {"task_id": "ask", "approval": "Send it?", "dependencies": ["sum_up"]},
                {
                    "task_id": "send",
                    "workflow": "mail",
                    "arguments": {"text": "${tasks.sum_up.output}"},
                    "dependencies": ["ask", "sum_up"],
                },
            ],
        }
    )
    assert built == read
    assert built.workflow_hash == read.workflow_hash


def test_a_builder_refuses_what_cannot_run() -> None:
    with pytest.raises(WorkflowInvalid, match="which is no task"):
        workflow("w").agent("a", "x", after=["b"]).build()


def test_custom_workflows_are_made_of_task_definitions() -> None:
    made = create_custom_workflow_from_tasks(
        workflow_id="network_security_analysis",
        workflow_name="Network Security Analysis",
        task_definitions=[
            TaskDefinition(
                task_id="firewall_connectivity",
                name="Firewall Connectivity Check",
                instructions="Check firewall data ingestion...",
                required_tools=["run_oneshot_search", "list_indexes"],
                dependencies=[],
            ),
            TaskDefinition(
                task_id="network_baseline_analysis",
                instructions="Analyze network traffic patterns...",
                required_tools=["run_oneshot_search"],
                dependencies=["firewall_connectivity"],
                context_requirements=[],
            ),
        ],
    )
    assert (made.name, made.title) == ("network_security_analysis", "Network Security Analysis")
    assert made.dependents["firewall_connectivity"] == ("network_baseline_analysis",)
