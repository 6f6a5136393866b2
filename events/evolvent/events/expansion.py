"""From the few fat events of a journal to the list that people read.

A journal says in one event all that its tick decided; a reader wants one line for each thing that happened. The
same expansion serves `client.follow`, the listings and the metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evolvent.events.messages.runs import AnyRunEvent, ToolRecord, TurnRecord

_ONLY_PARTS = frozenset({"agent_completed", "agent_error", "tool_completed"})
"""Events that say nothing but the turns and tool calls that they carry."""
_NOT_ITS_OWN = frozenset(
    {"turns", "tools", "claims", "state", "type", "run_id", "schema_version", "source", "correlation_id", "agents"}
)


def expand(event: AnyRunEvent) -> list[tuple[str, dict[str, Any]]]:
    """Return what an event says, as (type, facts) in the order in which it happened.

    Every entry has `run_id` and `at`; all values are JSON.
    """
    common = {"run_id": event.run_id, "at": event.occurred_at.isoformat()}
    return [(kind, {**common, **facts}) for kind, facts in _happened(event)]


def _happened(event: AnyRunEvent) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for turn in event.turns:
        yield from _turn(turn)
    for tool in event.tools:
        yield "tool_completed", _tool(tool)
    if event.type == "tool_claimed":
        for claim in event.claims:
            yield event.type, claim.model_dump(mode="json", exclude_none=True)
    elif event.type not in _ONLY_PARTS:
        yield event.type, _own(event)


def _own(event: AnyRunEvent) -> Mapping[str, Any]:
    """Return what the event says of itself; who knows it by heart (states, specs) reads the journal."""
    facts = event.model_dump(mode="json", exclude=set(_NOT_ITS_OWN), exclude_none=True)
    facts.pop("occurred_at")
    return facts


def _turn(turn: TurnRecord) -> Iterator[tuple[str, Mapping[str, Any]]]:
    who = {"task_id": turn.task_id, "turn": turn.turn, "try_number": turn.try_number, "agent_id": turn.agent_id}
    yield "agent_started", {**who, "at": turn.started_at.isoformat()}
    spent = {"cost_usd": turn.cost_microusd / 1e6, "duration_seconds": turn.duration_seconds}
    if turn.reply is None:
        error = turn.error.model_dump(mode="json", exclude_none=True) if turn.error else None
        yield "agent_error", {**who, **spent, "error": error}
        return
    reply = turn.reply
    yield (
        "agent_completed",
        {
            **who,
            **spent,
            "text": reply.text,
            "tool_calls": [{"name": call.name, "arguments": call.arguments} for call in reply.tool_calls],
            "model": reply.model,
            "scripted": reply.scripted,
            "prompt_tokens": reply.usage.prompt_tokens,
            "completion_tokens": reply.usage.completion_tokens,
        },
    )


def _tool(tool: ToolRecord) -> Mapping[str, Any]:
    facts = tool.model_dump(mode="json", exclude_none=True, exclude={"started_at", "schema_hash"})
    return {**facts, "started_at": tool.started_at.isoformat()}
