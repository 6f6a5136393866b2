"""Pure: one turn, one tool call, one task as rows, and how values become columns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from evolvent.events.language.workflow import Task
from evolvent.events.messages.runs import ToolRecord, TurnRecord, WorkflowStarted

Row = dict[str, Any]
SECOND = timedelta(seconds=1)
AGENT_TOTALS = ("runs", "successes", "turns", "failed_turns", "tokens", "cost_microusd", "busy_seconds")
NO_ORIGIN: Row = {
    "priority": "medium",
    "principal": "anonymous",
    "user_id": None,
    "session_id": None,
    "message": "",
    "request": "{}",
    "request_hash": "",
    "causation_id": None,
    "correlation_id": None,
    "workflow": None,
    "workflow_hash": "",
    "routing": None,
}


def clean(text: str | None) -> str | None:
    """Return the text without NUL, which Postgres cannot hold and a model may still write."""
    return text.replace("\0", "\ufffd") if text and "\0" in text else text


def dumped(document: BaseModel) -> str:
    """Return a document as a JSON column."""
    return document.model_dump_json(exclude_none=True)


def json_text(value: Any) -> str:
    """Return a value as a JSON column."""
    return to_json(value).decode()


def origin_row(event: WorkflowStarted) -> Row:
    """Return what a run's first event says once and for all."""
    request = event.request
    return {
        "priority": str(event.priority),
        "principal": clean(event.principal),
        "user_id": clean(request.user_id),
        "session_id": clean(request.session_id),
        "message": clean(request.message),
        "request": dumped(request),
        "request_hash": event.request_hash,
        "causation_id": event.causation_id or clean(request.causation_id),
        "correlation_id": event.correlation_id,
        "workflow": clean(event.workflow.name),
        "workflow_hash": event.workflow_hash,
        "routing": dumped(event.routing),
    }


def planned_task(run_id: str, position: int, task: Task) -> Row:
    """Return a task that has not begun. `tool_status` is its status if it turns out to be a tool task."""
    return {
        "run_id": run_id,
        "task_id": task.task_id,
        "position": position,
        "kind": str(task.kind),
        "name": clean(task.name),
        "agent_id": task.agent_id,
        "tool": task.tool,
        "dependencies": json_text(task.dependencies),
        "status": "planned",
        "tool_status": "planned",
        "turns": 0,
        "tool_calls": 0,
        "cost_microusd": 0,
        "busy_seconds": 0.0,
        "started_at": None,
        "finished_at": None,
    }


def turn_row(run_id: str, seq: int, position: int, turn: TurnRecord) -> Row:
    """Return a model turn that ended."""
    reply = turn.reply
    usage = reply.usage if reply else None
    leased = turn.lease.model if turn.lease else ""
    return {
        "run_id": run_id,
        "seq": seq,
        "position": position,
        "task_id": turn.task_id,
        "turn": turn.turn,
        "try_number": turn.try_number,
        "agent_id": turn.agent_id,
        "model": clean((reply.model if reply else "") or leased),
        "prompt_tokens": usage.prompt_tokens if usage else 0,
        "completion_tokens": usage.completion_tokens if usage else 0,
        "cached_tokens": usage.cached_tokens if usage else 0,
        "cost_microusd": turn.cost_microusd,
        "lease_id": turn.lease.lease_id if turn.lease else None,
        "sent": turn.sent,
        "error_code": turn.error.code if turn.error else None,
        "started_at": turn.started_at,
        "duration_seconds": turn.duration_seconds,
    }


def tool_row(run_id: str, seq: int, position: int, call: ToolRecord) -> Row:
    """Return a tool call that ended."""
    return {
        "run_id": run_id,
        "seq": seq,
        "position": position,
        "task_id": call.task_id,
        "call_id": clean(call.call_id),
        "name": clean(call.name),
        "effect": str(call.effect),
        "schema_hash": call.schema_hash,
        "arguments": json_text(call.arguments),
        "outcome": str(call.outcome),
        "result": None if call.result is None else json_text(call.result),
        "result_ref": call.result_ref,
        "error_code": call.error.code if call.error else None,
        "attempt": call.attempt,
        "decided_by": clean(call.decided_by),
        "started_at": call.started_at,
        "duration_seconds": call.duration_seconds,
    }
