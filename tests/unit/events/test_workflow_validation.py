"""Validation and lint: what keeps a workflow from running, and what makes it a bad one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from support.dags import dags
from support.mission_workflows import ACCOUNT_ANALYSIS, POOR

from evolvent.events.language.agents import AgentSpec, Capability
from evolvent.events.language.json_schemas import bind_parameters
from evolvent.events.language.lint import lint, lint_agent
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.language.validation import ensure_valid, problems
from evolvent.events.language.workflow import Workflow
from evolvent.events.language.workflow_files import load_workflow, read_workflow
from evolvent.events.language.workflow_problems import ParametersInvalid, Problem, WorkflowInvalid

SEARCH = ToolSpec(
    name="search",
    effect=Effect.READ,
    parameters={
        "type": "object",
        "properties": {"q": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["q"],
        "additionalProperties": False,
    },
)
TOOLS = {"search": SEARCH}


def agent(name: str, specialty: str, *capabilities: str, **more: Any) -> AgentSpec:
    return AgentSpec(
        agent_id=name, specialty=specialty, system_prompt="x", model="m", capabilities=capabilities, **more
    )


AGENTS = {"scout_1": agent("scout_1", "scout", "data_fetch"), "risk_1": agent("risk_1", "risk", "analysis")}


def made(*tasks: dict[str, Any], **more: Any) -> Workflow:
    loaded, found = read_workflow({"name": "w", "tasks": list(tasks), **more})
    assert loaded is not None and not found, found
    return loaded


def codes(found: list[Problem]) -> list[str]:
    return sorted(problem.code for problem in found)


A: dict[str, Any] = {"task_id": "a"}


@pytest.mark.parametrize(
    ("tasks", "more", "code", "words"),
    [
        ([], {}, "empty", "no task"),
        ([A, A], {}, "duplicate", "2 tasks"),
        ([{**A, "dependencies": ["a"]}], {}, "cycle", "a → a"),
        ([{**A, "dependencies": ["z"]}], {}, "dependency.unknown", "'z'"),
        ([{"task_id": "a b"}], {}, "task_id", "a b"),
        ([{**A, "tool": "serach", "arguments": {"q": "x"}}], {}, "tool.unknown", "Did you mean 'search'?"),
        ([{**A, "required_tools": ["nope"]}], {}, "tool.unknown", "'nope'"),
        ([{**A, "tool": "search"}], {}, "arguments", "'q' is a required property"),
        ([{**A, "tool": "search", "arguments": {"q": 5}}], {}, "arguments", "q: 5 is not"),
        ([{**A, "tool": "search", "arguments": {"q": "${params.x}", "w": 1}}],
         {"parameters": {"properties": {"x": {}}}}, "arguments", "'w' was unexpected"),
        ([{**A, "kind": "tool"}], {}, "kind", "names no tool"),
        ([{**A, "kind": "agent", "tool": "search", "arguments": {"q": "x"}}], {}, "kind", "sets `tool`"),
        ([{**A, "agent_id": "scout_2"}], {}, "agent.unknown", "'scout_1'"),
        ([{**A, "agent_type": "cook"}], {}, "agent_type.unknown", "'cook'"),
        ([{**A, "capability": "memory"}], {}, "capability.unknown", "'memory'"),
        ([{**A, "workflow": "nope"}], {}, "workflow.unknown", "'nope'"),
        ([{**A, "workflow": "w"}], {}, "workflow.nested", "w → w"),
        ([{**A, "workflow": "around"}], {}, "workflow.nested", "w → around → w"),
        ([{**A, "workflow": "strict", "arguments": {"n": "x"}}], {}, "arguments", "'strict'"),
        ([A], {"fallback_workflow": "nope"}, "workflow.unknown", "'nope'"),
        ([A], {"fallback_workflow": "w"}, "workflow.nested", "w → w"),
        ([{**A, "timeout_seconds": 60}], {"timeout_seconds": 50}, "timeout.unreachable", "60 s"),
        ([{**A, "estimated_duration": 20}, {"task_id": "b", "dependencies": ["a"], "estimated_duration": 20}],
         {"timeout_seconds": 35}, "timeout.unreachable", "a → b takes 40 s"),
        ([A], {"parameters": {"type": "nonsense"}}, "parameters.schema", "nonsense"),
        ([A], {"parameters": {"type": "array"}}, "parameters.schema", "array"),
        ([A, {"task_id": "b", "instructions": "${tasks.a.output}"}], {}, "reference.not_upstream", "wait for 'a'"),
        ([{**A, "instructions": "${tasks.q.output}"}], {}, "reference.unknown", "no task"),
        ([{**A, "instructions": "${params.q}"}], {}, "reference.unknown", "no parameter"),
        ([{**A, "instructions": "${request.body}"}], {}, "reference.unknown", "request.message"),
        ([{**A, "instructions": "${1+1}"}], {}, "reference.invalid", "1+1"),
        ([{**A, "instructions": "${item.x}"}], {}, "reference.item", "pipeline"),
        ([A], {"output": {"x": "${tasks.q.output}"}}, "reference.unknown", "output"),
        ([{**A, "transformations": [{"type": "jmespath", "expression": "a["}]}], {}, "transformation", "JMESPath"),
        ([{**A, "transformations": [{"type": "map", "mapping": {"a..b": "c"}}]}], {}, "transformation", "a..b"),
    ],
)  # fmt: skip
def test_each_problem_is_named_with_its_place(
    tasks: list[dict[str, Any]], more: dict[str, Any], code: str, words: str
) -> None:
    others = {
        "around": made({"task_id": "x", "workflow": "w"}, name="around"),
        "strict": made(A, name="strict", parameters={"properties": {"n": {"type": "integer"}}}),
    }
    found = problems(made(*tasks, **more), TOOLS, agents=AGENTS, workflows=others)
    assert codes(found) == [code]
    assert words in str(found[0])
    assert found[0].where
    assert found[0].remedy


def test_all_problems_come_at_once() -> None:
    broken = made(
        {"task_id": "a", "dependencies": ["c"]},
        {"task_id": "b", "tool": "nope", "dependencies": ["a"]},
        {"task_id": "c", "dependencies": ["b"], "instructions": "${tasks.x.output} ${params.y}"},
        {"task_id": "d", "dependencies": ["gone"]},
    )
    with pytest.raises(WorkflowInvalid) as caught:
        ensure_valid(broken, TOOLS)
    assert codes(list(caught.value.problems)) == [
        "cycle", "dependency.unknown", "reference.unknown", "reference.unknown", "tool.unknown"
    ]  # fmt: skip
    assert "a → c → b → a" in str(caught.value)


def test_a_type_nobody_registered_is_fine_where_its_capability_is_there() -> None:
    assert problems(made({**A, "agent_type": "analyst", "capability": "analysis"}), agents=AGENTS) == []
    assert problems(made({**A, "agent_type": "scout"}), agents=AGENTS) == []
    assert problems(made({**A, "agent_type": "risk_1"}), agents=AGENTS) == []


@pytest.mark.parametrize(
    ("takeover", "code", "words"),
    [
        ({"task_id": "a"}, "duplicate", "id is that of a task"),
        ({"task_id": "t", "kind": "tool", "tool": "search"}, "kind", "kind tool"),
        ({"task_id": "t", "dependencies": ["a"]}, "takeover", "by itself"),
        ({"task_id": "t/u"}, "task_id", "t/u"),
        ({"task_id": "t", "agent_id": "nobody"}, "agent.unknown", "nobody"),
    ],
)
def test_an_agent_takes_over_alone(takeover: dict[str, Any], code: str, words: str) -> None:
    found = problems(made(A, takeover=takeover), agents=AGENTS)
    assert codes(found) == [code]
    assert words in str(found[0])
    assert found[0].where.startswith("takeover")


def test_references_reach_everything_upstream_not_only_the_next() -> None:
    chain = made(A, {"task_id": "b", "dependencies": ["a"]},
                 {"task_id": "c", "dependencies": ["b"], "instructions": "${tasks.a.output}"})  # fmt: skip
    assert problems(chain) == []


def test_no_schema_is_fetched() -> None:
    remote = ToolSpec(name="search", parameters={"$ref": "http://127.0.0.1:9/schema.json"})
    found = problems(made({**A, "tool": "search"}), {"search": remote})
    assert codes(found) == ["arguments"]


def test_deep_nesting_is_refused() -> None:
    others = {f"w{n}": made({"task_id": "x", "workflow": f"w{n + 1}"}, name=f"w{n}") for n in range(20)}
    others["w20"] = made(A, name="w20")
    assert codes(problems(made({**A, "workflow": "w0"}), workflows=others)) == ["workflow.depth"]
    assert problems(made({**A, "workflow": "w15"}), workflows=others) == []


@given(dags())
def test_any_dag_of_plain_tasks_is_valid(workflow: Workflow) -> None:
    assert problems(workflow, {}, agents={}, workflows={}) == []


def test_parameters_get_their_defaults_and_are_checked() -> None:
    schema = {"properties": {"n": {"type": "integer", "default": 3}, "s": {"type": "string"}}, "required": ["s"]}
    assert bind_parameters(schema, {"s": "x"}) == {"n": 3, "s": "x"}
    with pytest.raises(ParametersInvalid, match="'s' is a required property"):
        bind_parameters(schema, {"n": "x"})


def advice(*tasks: dict[str, Any], **more: Any) -> list[str]:
    return codes(lint(made(*tasks, **more), TOOLS))


def test_a_good_design_gets_no_advice() -> None:
    good = [{**step, "context_requirements": ["account_id"]} for step in ACCOUNT_ANALYSIS]
    assert lint(load_workflow({"name": "w", "steps": good, "mode": "adaptive"})) == []


def test_a_poor_design_is_told_why() -> None:
    assert advice(*POOR) == ["lint.agent_broad", "lint.estimate", "lint.retries", "lint.timeout"]


@pytest.mark.parametrize(
    ("task", "code"),
    [
        ({"instructions": "x", "estimated_duration": 0}, "lint.estimate"),
        ({"instructions": "x", "estimated_duration": 40}, "lint.estimate"),
        ({"instructions": "x", "timeout_seconds": 900}, "lint.timeout"),
        ({"instructions": "x", "timeout_seconds": 1}, "lint.timeout"),
        ({"instructions": "x", "retry_count": 6}, "lint.retries"),
        ({"instructions": "x", "required_tools": [f"t{n}" for n in range(9)]}, "lint.agent_broad"),
        ({}, "lint.agent_broad"),
    ],
)
def test_each_advice_has_its_reason(task: dict[str, Any], code: str) -> None:
    assert advice({"task_id": "a", **task}) == [code]


def test_sequential_is_advised_against_only_where_something_can_run_side_by_side() -> None:
    both = [{"task_id": n, "tool": "search", "arguments": {"q": n}} for n in "ab"]
    assert advice(*both, mode="sequential") == ["lint.sequential"]
    assert advice(both[0], mode="sequential") == []
    assert advice(both[0], {**both[1], "dependencies": ["a"]}) == ["lint.sequential"]
    uses = {**both[1], "dependencies": ["a"], "arguments": {"q": "${tasks.a.output.x}"}}
    assert advice(both[0], uses) == []


def test_a_big_fetch_is_to_be_filtered_before_an_agent_reads_it() -> None:
    fetch = {"task_id": "a", "tool": "search", "arguments": {"q": "x"}}
    read = {"task_id": "b", "instructions": "x", "dependencies": ["a"], "context_requirements": []}
    cut = {"transformations": [{"type": "filter", "criteria": {"x": {"exists": True}}}]}
    assert advice(fetch, read) == ["lint.filter_early"]
    assert advice({**fetch, **cut}, read) == []
    assert advice({**fetch, "arguments": {"q": "x", "limit": 5}}, read) == []
    limited = made({**fetch, "arguments": {"q": "x", "limit": 5}}, read)
    assert codes(lint(limited, TOOLS, output_bytes={"a": 50_000})) == ["lint.filter_early"]
    assert lint(made(fetch, read), TOOLS, output_bytes={"a": 500}) == []


def test_undeclared_context_is_advised_against_where_there_are_several_tasks() -> None:
    told = {"instructions": "x", "context_requirements": []}
    assert advice({"task_id": "a", **told}, {"task_id": "b", "instructions": "x"}) == ["lint.context"]


def test_an_agent_for_everything_is_too_broad() -> None:
    broad = agent("all", "all", *Capability, max_concurrent_tasks=10)
    assert codes(lint_agent(broad)) == ["lint.agent_broad", "lint.agent_load"]
    assert lint_agent(AGENTS["scout_1"]) == []
