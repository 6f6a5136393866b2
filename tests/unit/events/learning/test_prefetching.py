"""What reads ahead are learnt from, what tools still allow of them, and how they read back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evolvent.events.language.learning.prefetching import (
    Chains,
    chains_as_json,
    learn_chains,
    parse_chains,
    prefetch,
    usable,
)
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect, ToolSpec

SCOPE = ("default", "clerk")
FIND = ToolSpec(name="find_order", effect=Effect.READ, parameters={"type": "object"})
OWNER = ToolSpec(name="find_owner", effect=Effect.READ)
TOOLS = {spec.name: spec for spec in (FIND, OWNER)}
WORDS = ("What became of {}?", "I wait for {} since May.", "Is {} lost or stolen?", "Tell me of {}, please!")


def run(number: int, **changes: Any) -> Trace:
    order, owner = f"o-{number}", f"u{number:03d}"
    calls = (
        TracedCall("find_order", {"id": order}, {"id": order, "owner": owner}, Effect.READ, None, FIND.schema_hash),
        TracedCall("find_owner", {"id": owner}, {"id": owner}, Effect.READ, None, OWNER.schema_hash),
        TracedCall("note", {"id": order}, {"ok": True}, Effect.KEYED),
    )
    words = WORDS[number % len(WORDS)].format(order)
    whose = {"goal": SCOPE[0], "agent_id": SCOPE[1], "principal": f"p{number % 2}"}
    return Trace(run_id=f"r{number}", message=words, calls=calls, **{**whose, **changes})


RUNS = [run(number) for number in range(20, 26)]


def tools_of(chains: Chains) -> list[str]:
    return [link.tool for link in chains.links]


def test_reads_follow_from_ids_and_from_what_they_return_and_writes_are_never_among_them() -> None:
    chains = learn_chains(RUNS, SCOPE)
    assert tools_of(chains) == ["find_order", "find_owner"]
    workflow = prefetch(usable(chains, TOOLS), "o-77 again!")
    assert workflow is not None
    first, second, answer = workflow.tasks
    assert (first.retry_count, second.dependencies) == (0, (first.task_id,))
    assert answer.is_primed
    assert answer.dependencies == (first.task_id, second.task_id)


@pytest.mark.parametrize(
    "runs",
    [
        RUNS[:2],
        [replace(each, outcome=False) for each in RUNS],
        [replace(each, succeeded=False) for each in RUNS],
        [replace(each, agent_id="another") for each in RUNS],
        [replace(RUNS[0], run_id=f"again{number}") for number in range(5)],
    ],
)
def test_too_few_runs_wrong_ones_or_one_text_again_and_again_teach_nothing(runs: list[Trace]) -> None:
    assert not learn_chains(runs, SCOPE).links


def test_as_many_principals_and_runs_are_wanted_as_the_settings_say() -> None:
    assert learn_chains(RUNS, SCOPE, min_principals=2).links
    assert not learn_chains(RUNS, SCOPE, min_principals=3).links
    assert not learn_chains(RUNS, SCOPE, min_runs=7).links


@pytest.mark.parametrize(
    "changed",
    [
        None,
        FIND.model_copy(update={"parameters": {"type": "object", "required": ["id"]}}),
        FIND.model_copy(update={"effect": Effect.KEYED}),
        FIND.model_copy(update={"origin": "web"}),
    ],
)
def test_a_tool_that_is_gone_changed_or_no_read_takes_along_what_follows_from_it(changed: ToolSpec | None) -> None:
    chains = learn_chains(RUNS, SCOPE)
    now = {name: spec for name, spec in TOOLS.items() if name != FIND.name}
    if changed is not None:
        # What was worked out of the old schema does not come along.
        now[FIND.name] = ToolSpec.model_validate(changed.model_dump())
    assert usable(chains, TOOLS) == chains
    assert not usable(chains, now).links
    assert prefetch(usable(chains, now), "o-77 again!") is None


def test_chains_read_back_as_they_were() -> None:
    chains = learn_chains(RUNS, SCOPE)
    assert parse_chains(chains_as_json(chains)) == chains
