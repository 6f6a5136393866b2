from __future__ import annotations

import json
from typing import Any

import pytest

from evolvent.events.language.agents import AgentSpec
from evolvent.improvement.prompt_proposals import (
    MOST_PROMPT,
    NewPrompt,
    NoProposal,
    improver_for,
    is_about,
    read_proposal,
    why_not,
)

SPEC = AgentSpec(agent_id="clerk", specialty="orders", system_prompt="Help with orders.", model="m", tools=("a",))


def scrub(text: str, limit: int) -> str:
    return text.replace("hunter22", "[redacted]").replace("\x07", " ")[:limit]


def said(**fields: Any) -> str:
    return json.dumps({"system_prompt": "Help with orders. Be brief.", "why": "Too long.", **fields})


def test_only_the_prompt_of_an_agent_changes() -> None:
    found = read_proposal(said(), SPEC, scrub)
    assert isinstance(found, NewPrompt)
    assert found.spec.system_prompt == "Help with orders. Be brief."
    assert found.spec.model_dump(exclude={"system_prompt"}) == SPEC.model_dump(exclude={"system_prompt"})
    assert found.spec.spec_hash != SPEC.spec_hash
    assert isinstance(read_proposal(f"```json\n{said()}\n```", SPEC, scrub), NewPrompt)


@pytest.mark.parametrize(
    "answer",
    [
        "Sure! Here it is: be brief.",
        said(tools=["delete_everything"]),
        said(model="another"),
        said(system_prompt=["a"]),
        said(system_prompt=""),
        said(system_prompt="  "),
        said(system_prompt=SPEC.system_prompt),
        said(system_prompt="x" * 2_001),
        said(system_prompt="x" * (MOST_PROMPT + 1)),
        said(system_prompt="The password is hunter22."),
        said(system_prompt="Ring\x07"),
        "[]",
        "",
    ],
)
def test_nothing_else_is_taken_from_an_answer(answer: str) -> None:
    assert isinstance(read_proposal(answer, SPEC, scrub), NoProposal)


def test_a_prompt_with_a_secret_is_shown_to_nobody() -> None:
    secret = AgentSpec.model_validate({**SPEC.model_dump(), "system_prompt": "Use hunter22."})
    assert "secret" in (why_not(secret, scrub) or "")
    assert why_not(SPEC, scrub) is None


def test_the_improver_improves_neither_itself_nor_has_it_tools() -> None:
    improver = improver_for(SPEC)
    assert (improver.model, improver.tools, improver.goal) == ("m", (), "improvement")
    assert why_not(improver, scrub) is not None


def test_a_request_is_about_the_prompt_that_it_showed() -> None:
    assert is_about(json.dumps({"system_prompt": SPEC.system_prompt}), SPEC)
    assert not is_about(json.dumps({"system_prompt": "An older one."}), SPEC)
    assert not is_about("no json", SPEC)
