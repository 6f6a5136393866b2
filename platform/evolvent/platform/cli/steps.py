"""One thing that happened in a run, as one line for a person."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evolvent.platform.client import Step

Facts = Mapping[str, Any]
_WIDTH = 160


def sentence(step: Step, *, everything: bool = True) -> str:
    """Return the line, or nothing for what is not worth one at this level."""
    if step.type in _SENTENCES:
        return "  " + _SENTENCES[step.type](step.data)
    if not everything:
        return ""
    detail = _DETAILS.get(step.type)
    return "  " + (detail(step.data) if detail else step.type.removeprefix("workflow_"))


def short_json(value: Any, width: int = _WIDTH) -> str:
    """Return a JSON value on one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= width else text[: width - 1] + "…"


def _started(data: Facts) -> str:
    routing = data.get("routing", {})
    return f"started: {routing.get('served_by')} {routing.get('chosen')} ({routing.get('reason')})"


def _turn(data: Facts) -> str:
    calls = ", ".join(call["name"] for call in data["tool_calls"])
    then = f"calls {calls}" if calls else "answers"
    return f"{data['task_id']}: the agent {then} ({data['duration_seconds']:.2f} s, ${data['cost_usd']:.6f})"


def _tool(data: Facts) -> str:
    asked = f"{data['name']}({short_json(data.get('arguments', {}))})"
    return f"{data['task_id']}: {asked} {data['outcome']} ({data['duration_seconds']:.2f} s)"


def _message(data: Facts) -> str:
    error = data.get("error")
    return str(error["message"]) if error else "no reason was given."


_TO: Mapping[str, str] = {"takeover": "the agent, with what is known", "fallback": "the fallback workflow"}
_SENTENCES: Mapping[str, Callable[[Facts], str]] = {
    "workflow_started": _started,
    "agent_completed": _turn,
    "agent_error": lambda data: f"{data['task_id']}: the turn failed: {_message(data)}",
    "tool_completed": _tool,
    "workflow_suspended": lambda data: f"waits for {data['reason']}: {data.get('detail', '')}",
    "workflow_resumed": lambda data: f"attempt {data['attempt']} goes on ({data['cause']})",
    "deoptimized": lambda data: f"left to {_TO.get(data.get('to', ''), 'another')}: {data.get('reason', '')}",
    "budget_refused": lambda data: f"no budget: {_message(data)}",
    "cancel_requested": lambda data: f"{data['principal']} asked to cancel it",
    "approval_given": lambda data: f"{data['principal']} {'approved' if data['approved'] else 'denied'} it",
}
_DETAILS: Mapping[str, Callable[[Facts], str]] = {
    "agent_started": lambda data: f"{data['task_id']}: turn {data['turn']} of {data['agent_id']}",
    "tool_claimed": lambda data: f"{data['task_id']}: is about to call {data['name']}",
}
