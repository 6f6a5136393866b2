"""Agents that people register, one by one or in a file."""

from __future__ import annotations

import pytest

from evolvent.events.errors import InvalidMessage
from evolvent.events.language.agents import Capability
from evolvent.events.messages.calls import RegisterAgent
from evolvent.orchestrator.agents.registration import registered, registrations

ENTRY = {
    "id": "analyst",
    "type": "Risk analysis",
    "capabilities": ["analysis"],
    "config": {"model": "small", "temperature": 0.1, "custom_settings": {"region": "EU"}},
}


def test_a_file_registers_agents_that_take_three_tasks_unless_it_says_otherwise() -> None:
    first, second = registrations({"agents": [ENTRY, {**ENTRY, "id": "other", "max_tasks": 7}]})
    assert (first.max_concurrent_tasks, second.max_concurrent_tasks) == (3, 7)
    spec = registered(first, default_model="big", max_tokens=99)
    assert (spec.agent_id, spec.specialty, spec.model, spec.max_tokens) == ("analyst", "risk_analysis", "small", 99)
    assert spec.capabilities == (Capability.ANALYSIS,)
    assert '"region": "EU"' in spec.system_prompt


def test_a_call_registers_an_agent_that_takes_five_tasks() -> None:
    ask = RegisterAgent(agent_id="a", agent_type="research")
    spec = registered(ask, default_model="big", max_tokens=99)
    assert (spec.max_concurrent_tasks, spec.model) == (5, "big")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "registers no agent"),
        ({"agents": ["x"]}, r"agents\[0\] is no object"),
        ({"agents": [{**ENTRY, "colour": 1}]}, "colour"),
        ({"agents": [{**ENTRY, "capabilities": ["flying"]}]}, "capabilities"),
        ({"agents": [{**ENTRY, "max_tasks": 0}]}, "max_concurrent_tasks"),
    ],
)
def test_what_cannot_be_registered_is_named(document: object, said: str) -> None:
    with pytest.raises(InvalidMessage, match=said):
        registrations(document)


@pytest.mark.parametrize("config", [{"colour": 1}, {"temperature": 9}, {"agent_id": "other"}])
def test_a_setting_that_no_agent_has_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage):
        registered(RegisterAgent(agent_id="a", agent_type="b", config=config), default_model="m", max_tokens=9)
