"""Run events for tests of pure code: short to write, whole to read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.conversation import ModelReply, ToolCall, Usage
from evolvent.events.language.reducer import reduce
from evolvent.events.language.state import RunState
from evolvent.events.language.ticks import Stamp, Tick, compose
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.language.workflow import Workflow, single_agent
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import (
    LeaseInfo,
    RoutingDecision,
    RunEvent,
    ServedBy,
    ToolOutcome,
    ToolRecord,
    TurnRecord,
    WorkflowResumed,
    WorkflowStarted,
)
from evolvent.events.subjects import Priority

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUN = "11111111-1111-4111-8111-111111111111"
AGENT = AgentSpec(agent_id="assistant_00000001", specialty="assistant", system_prompt="Help.", model="m")
TOOLS = {
    "look": ToolSpec(name="look", effect=Effect.READ),
    "pay": ToolSpec(name="pay", effect=Effect.IRREVERSIBLE),
    "post": ToolSpec(name="post", effect=Effect.KEYED),
    "send": ToolSpec(name="send", effect=Effect.IRREVERSIBLE, reconcilable=True),
}
LEASE = LeaseInfo(lease_id="l1", goal="default", model="m", held_microusd=100)


def envelope(number: int = 0) -> dict[str, Any]:
    return {"event_id": f"e{number}", "run_id": RUN, "occurred_at": NOW + timedelta(seconds=number), "source": "test"}


def started(workflow: Workflow | None = None, **changes: Any) -> WorkflowStarted:
    fields: dict[str, Any] = {
        **envelope(),
        "request": Request(message="hello"),
        "request_seq": 1,
        "request_hash": "h",
        "goal": "default",
        "priority": Priority.MEDIUM,
        "routing": RoutingDecision(served_by=ServedBy.AGENT, chosen=AGENT.agent_id, reason="test"),
        "workflow": workflow or single_agent(AGENT.agent_id),
        "agents": {AGENT.agent_id: AGENT},
        "deadline_at": NOW + timedelta(hours=1),
    }
    return WorkflowStarted(**{**fields, **changes})


def turn(
    number: int, *calls: tuple[str, dict[str, Any]], text: str | None = None, task_id: str = "answer"
) -> TurnRecord:
    wanted = tuple(ToolCall(call_id=f"c{number}_{i}", name=n, arguments=a) for i, (n, a) in enumerate(calls))
    reply = ModelReply(text=text, tool_calls=wanted, usage=Usage(prompt_tokens=10, completion_tokens=5))
    return TurnRecord(
        task_id=task_id,
        turn=number,
        agent_id=AGENT.agent_id,
        spec_hash="s",
        reply=reply,
        lease=LEASE,
        cost_microusd=7,
        started_at=NOW,
    )


def failed_turn(number: int, *, retryable: bool = True, task_id: str = "answer") -> TurnRecord:
    error = ErrorInfo(code="model.unavailable", category=Category.NETWORK, message="away", retryable=retryable)
    return TurnRecord(task_id=task_id, turn=number, agent_id=AGENT.agent_id, spec_hash="s", error=error, started_at=NOW)


def done(call_id: str, name: str, *, outcome: ToolOutcome = ToolOutcome.OK, result: Any = "r") -> ToolRecord:
    return ToolRecord(
        task_id="answer",
        call_id=call_id,
        name=name,
        effect=TOOLS[name].effect,
        outcome=outcome,
        result=result,
        started_at=NOW,
    )


def resumed(state: RunState, number: int = 90) -> WorkflowResumed:
    return WorkflowResumed(
        **envelope(number), attempt=state.attempt + 1, prev_seq=state.last_seq, owner="other", request_seq=1
    )


class Script:
    """A journal in memory, for stepping through the reducer by hand."""

    def __init__(self, first: RunEvent | None = None) -> None:
        self.state = RunState(RUN)
        self.events: list[RunEvent] = []
        self.add(first or started())

    def add(self, event: RunEvent) -> RunState:
        self.events.append(event)
        self.state = reduce(self.state, event, len(self.events))  # type: ignore[arg-type]
        return self.state

    def tick(self, *parts: TurnRecord | ToolRecord, **more: Any) -> RunEvent:
        """Say what ended, and return the one event of it."""
        tick = Tick(
            turns=[p for p in parts if isinstance(p, TurnRecord)],
            tools=[p for p in parts if isinstance(p, ToolRecord)],
            **more,
        )
        stamp = Stamp(f"e{len(self.events)}", "test", NOW + timedelta(seconds=len(self.events)))
        event = compose(self.state, tick, TOOLS, stamp)
        assert event is not None
        self.add(event)
        return event
