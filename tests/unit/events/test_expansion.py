from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.expansion import expand
from evolvent.events.language.conversation import ModelReply, ToolCall, Usage
from evolvent.events.language.tools import Effect
from evolvent.events.messages.runs import (
    AgentCompleted,
    ToolClaim,
    ToolClaimed,
    ToolCompleted,
    ToolRecord,
    TurnRecord,
    WorkflowCompleted,
    WorkflowSuspended,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RUN = "3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10"


def _envelope(**more: Any) -> dict[str, Any]:
    return {"event_id": "e", "run_id": RUN, "occurred_at": NOW, "source": "test", **more}


def _turn(**more: Any) -> TurnRecord:
    fields: dict[str, Any] = {"task_id": "answer", "turn": 1, "agent_id": "a_1", "spec_hash": "h", "started_at": NOW}
    return TurnRecord(**{**fields, **more})


def _tool(**more: Any) -> ToolRecord:
    fields: dict[str, Any] = {
        "task_id": "answer",
        "call_id": "c1_0",
        "name": "search",
        "effect": Effect.READ,
        "started_at": NOW,
    }
    return ToolRecord(**{**fields, **more})


def test_the_last_turn_inside_a_final_event_is_told_before_the_end() -> None:
    reply = ModelReply(text="42", usage=Usage(prompt_tokens=7, completion_tokens=2), model="m")
    event = WorkflowCompleted(**_envelope(), answer="42", turns=(_turn(reply=reply, cost_microusd=1500),))
    kinds = [kind for kind, _ in expand(event)]
    assert kinds == ["agent_started", "agent_completed", "workflow_completed"]
    facts = dict(expand(event))
    assert facts["agent_completed"]["cost_usd"] == 0.0015
    assert facts["agent_completed"]["prompt_tokens"] == 7
    assert facts["workflow_completed"]["answer"] == "42"


def test_an_event_that_only_carries_parts_adds_no_line_of_its_own() -> None:
    calls = (ToolCall(call_id="c1_0", name="search", arguments={"q": "x"}),)
    event = AgentCompleted(**_envelope(), turns=(_turn(reply=ModelReply(tool_calls=calls)),))
    assert [kind for kind, _ in expand(event)] == ["agent_started", "agent_completed"]
    assert expand(event)[1][1]["tool_calls"] == [{"name": "search", "arguments": {"q": "x"}}]
    assert [kind for kind, _ in expand(ToolCompleted(**_envelope(), tools=(_tool(), _tool())))] == [
        "tool_completed"
    ] * 2


def test_a_failed_turn_is_an_agent_error_with_its_reason() -> None:
    error = ErrorInfo(code="model.rate_limited", category=Category.RESOURCE, message="too many")
    event = AgentCompleted(**_envelope(), turns=(_turn(error=error),))
    kind, facts = expand(event)[1]
    assert kind == "agent_error"
    assert facts["error"]["code"] == "model.rate_limited"


def test_each_claim_is_told_and_a_state_is_not() -> None:
    claims = tuple(
        ToolClaim(task_id="answer", call_id=f"c1_{i}", name="send", effect=Effect.KEYED, idempotency_key=f"k{i}")
        for i in range(2)
    )
    assert [facts["idempotency_key"] for _, facts in expand(ToolClaimed(**_envelope(), claims=claims))] == ["k0", "k1"]
    suspended = WorkflowSuspended(**_envelope(), reason="budget", detail="cap", state={"huge": 1})
    (kind, facts) = expand(suspended)[0]
    assert (kind, facts["reason"]) == ("workflow_suspended", "budget")
    assert "state" not in facts


def test_every_entry_names_its_run_and_is_json() -> None:
    event = WorkflowCompleted(**_envelope(), answer="ok", turns=(_turn(reply=ModelReply(text="ok")),), tools=(_tool(),))
    for _, facts in expand(event):
        assert facts["run_id"] == RUN
        assert facts["at"]
        json.dumps(facts, allow_nan=False)
