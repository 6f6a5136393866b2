"""Adaptation: who goes first, and why; and what each agent task is told."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dags import dags
from support.mission_workflows import ACCOUNT_WORKFLOW

from evolvent.events.language.adaptation import BUILT_IN_RULES, Boost, ReadyTask, ready_order, ways
from evolvent.events.language.briefing import brief, monolith
from evolvent.events.language.references import Scope
from evolvent.events.language.workflow import Task, Workflow
from evolvent.events.language.workflow_files import load_workflow
from evolvent.events.language.workflow_problems import ReferenceUnresolved

ACCOUNT = load_workflow(ACCOUNT_WORKFLOW)
READY = ("get_historical_context", "analyze_risk")


def test_the_critical_path_goes_first() -> None:
    assert ready_order(ACCOUNT, READY, ways(ACCOUNT)) == ("analyze_risk", "get_historical_context")


def test_what_was_observed_changes_the_order() -> None:
    known = ways(ACCOUNT, {"get_historical_context": 9.0})
    assert ready_order(ACCOUNT, READY, known) == READY


def test_a_loaded_agent_waits_where_no_rule_says_otherwise() -> None:
    loads = {"analyze_risk": 1.0}
    assert ready_order(ACCOUNT, READY, ways(ACCOUNT), loads=loads, rules=()) == READY
    assert ready_order(ACCOUNT, READY, ways(ACCOUNT), loads=loads)[0] == "analyze_risk"


def test_users_add_rules_and_a_task_its_own_boost() -> None:
    def rule(workflow: Workflow, ready: Sequence[ReadyTask]) -> Sequence[Boost]:
        return [Boost(task.task_id, 50) for task in ready if task.task.capability == "memory"]

    assert ready_order(ACCOUNT, READY, ways(ACCOUNT), rules=(*BUILT_IN_RULES, rule)) == READY
    tasks = [t.model_copy(update={"priority_boost": 30.0}) if t.task_id == READY[0] else t for t in ACCOUNT.tasks]
    boosted = ACCOUNT.model_copy(update={"tasks": tuple(tasks)})
    assert ready_order(boosted, READY, ways(boosted)) == READY


def test_nonsense_from_a_rule_counts_for_nothing() -> None:
    def rule(workflow: Workflow, ready: Sequence[ReadyTask]) -> Sequence[Boost]:
        return [Boost("nobody", 5), Boost(READY[0], math.nan), Boost(READY[0], math.inf)]

    assert ready_order(ACCOUNT, READY, ways(ACCOUNT), rules=(*BUILT_IN_RULES, rule))[0] == "analyze_risk"


@given(dags(), st.data())
def test_an_order_holds_every_ready_task_once_and_is_always_the_same(workflow: Workflow, data: st.DataObject) -> None:
    ready = data.draw(st.lists(st.sampled_from(sorted(workflow.by_id)), unique=True))
    known = ways(workflow)
    order = ready_order(workflow, ready, known)
    assert sorted(order) == sorted(ready)
    assert order == ready_order(workflow, ready, known)
    if order:
        assert known.remaining[order[0]] == max(known.remaining[name] for name in ready)


SCOPE = Scope(
    outputs={"a": {"rows": [1, 2]}, "b": "unrelated " * 50},
    context={"account": {"id": "ACC-1"}, "secret": "s3"},
    params={"service": "web"},
)


def test_a_task_is_told_its_job_its_context_and_its_inputs_and_no_more() -> None:
    task = Task(
        task_id="c",
        instructions="Look at ${params.service}.",
        dependencies=("a",),
        context_requirements=("account.id",),
    )
    told = brief(task, SCOPE)
    assert told.as_prompt() == 'Look at web.\n\nContext: {"account.id":"ACC-1"}\n\nOutput of a: {"rows":[1,2]}'


def test_a_task_that_declares_nothing_is_told_all_the_context() -> None:
    assert brief(Task(task_id="c"), SCOPE).context == SCOPE.context
    assert brief(Task(task_id="c", context_requirements=()), SCOPE).context == {}


def test_missing_context_names_the_task_and_the_key() -> None:
    with pytest.raises(ReferenceUnresolved, match=r"'c' needs 'account\.name'"):
        brief(Task(task_id="c", context_requirements=("account.name",)), SCOPE)


def test_the_monolith_holds_every_job_and_all_outputs() -> None:
    tasks = tuple(Task(task_id=name, instructions=f"Do {name}. " * 40, dependencies=()) for name in "abcdef")
    whole = Workflow(name="w", tasks=tasks)
    everything = monolith(whole, SCOPE)
    assert all(f"Do {name}." in everything for name in "abcdef")
    assert "unrelated" in everything
    told = brief(tasks[2].model_copy(update={"context_requirements": ()}), SCOPE).as_prompt()
    assert len(told) < 0.2 * len(everything)
