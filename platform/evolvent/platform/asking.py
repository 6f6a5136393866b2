"""What goes out with a request and what comes back as its answer, as the SDK and the command line know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from evolvent.events import subjects
from evolvent.events.errors import ErrorInfo, InvalidMessage
from evolvent.events.language.state import load_state
from evolvent.events.messages.requests import read_request
from evolvent.events.messages.runs import Final, WorkflowSuspended
from evolvent.events.subjects import Priority


class Ask(TypedDict, total=False):
    """What may be said of a request beside its message; all of it is optional.

    `goal` chooses the budget and `priority` the queue; `workflow` or `agent` name who serves it; `parameters` are
    those of the workflow; `context` are facts for the agent; `user_id` and `session_id` are labels; `timeout_seconds`
    is how long the run may take; `run_id` is a UUID of the caller's, by which asking twice is asking once.
    """

    goal: str
    priority: str
    workflow: str | None
    parameters: dict[str, Any] | None
    agent: str | None
    context: dict[str, Any] | None
    user_id: str | None
    session_id: str | None
    timeout_seconds: float | None
    run_id: str | None


class Answer(BaseModel):
    """How a run ended, or why it waits. `status` is completed, failed, cancelled or suspended."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    status: Literal["completed", "failed", "cancelled", "suspended"]
    served_by: str | None = None
    answer: str | None = None
    error: ErrorInfo | None = None
    cost_usd: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    duration_seconds: float = 0.0
    scripted: bool = False
    output: Any = None

    @property
    def ok(self) -> bool:
        """Say whether the run ended well."""
        return self.status == "completed"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened in a run. `data` has `run_id`, `at` and what belongs to the type."""

    type: str
    data: dict[str, Any]


def answer_of(event: Final | WorkflowSuspended) -> Answer:
    """Return how a run ended, or why it waits, as those who asked get it."""
    if isinstance(event, WorkflowSuspended):
        detail = event.detail or f"It waits for {event.reason.replace('_', ' ')}."
        error = ErrorInfo.model_validate(
            {"code": f"run.suspended.{event.reason}", "category": "resource", "message": detail}
        )
        return Answer.model_validate({"run_id": event.run_id, "status": "suspended", "error": error, **_so_far(event)})
    return Answer.model_validate(
        {
            **event.totals.model_dump(exclude={"cost_microusd"}),
            "run_id": event.run_id,
            "status": event.type.removeprefix("workflow_"),
            "served_by": event.served_by.value,
            "answer": event.answer,
            "output": event.output,
            "error": event.error,
            "cost_usd": event.cost_usd,
            "scripted": event.scripted,
        }
    )


def _so_far(event: WorkflowSuspended) -> dict[str, Any]:
    """Return what a run that waits has taken until now; nothing is known of one too large to be told whole."""
    if not event.state:
        return {}
    state = load_state(event.state)
    totals = state.totals.model_dump(exclude={"cost_microusd", "duration_seconds"})
    facts = {**totals, "cost_usd": state.totals.cost_microusd / 1e6}
    if state.started is None:
        return facts
    seconds = max(0.0, (event.occurred_at - state.started.occurred_at).total_seconds())
    return {**facts, "served_by": state.started.routing.served_by.value, "duration_seconds": seconds}


def request_of(message: str, run_id: str | None, *, stream: bool, ask: Ask) -> tuple[str, bytes]:
    """Return the subject and the bytes of a request.

    Raises:
        InvalidMessage, InvalidSubject: it cannot be sent as it is.
    """
    fields = {
        "message": message,
        "context": ask.get("context") or {},
        "workflow": ask.get("workflow"),
        "agent_id": ask.get("agent"),
        "user_id": ask.get("user_id"),
        "session_id": ask.get("session_id"),
        "run_id": run_id,
        "timeout_seconds": ask.get("timeout_seconds"),
        "stream": stream,
    }
    if parameters := ask.get("parameters"):
        fields["parameters"] = parameters
    subject = subjects.request(_priority(ask.get("priority", "medium")), ask.get("goal", "default"))
    return subject, read_request(to_json(fields)).encode()


def _priority(value: str) -> Priority:
    try:
        return Priority(value)
    except ValueError:
        raise InvalidMessage(f"{value!r} is no priority; use one of {', '.join(Priority)}. Nothing was sent.") from None
