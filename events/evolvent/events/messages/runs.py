"""The events of a run's journal. Few and fat: one event says all that its tick decided.

Every event may carry `turns` (model turns that ended in this tick) and `tools` (tool calls that ended), so the
last turn of a run travels inside `workflow_completed`. `events.expansion.expand` gives the list that people read.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from evolvent.events.envelope import Envelope
from evolvent.events.errors import ErrorInfo
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.conversation import ModelReply
from evolvent.events.language.tools import Effect
from evolvent.events.language.workflow import Workflow
from evolvent.events.messages.requests import Request
from evolvent.events.subjects import Priority

_FROZEN = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
FINAL_TYPES = frozenset({"workflow_completed", "workflow_failed", "workflow_cancelled"})


class ServedBy(StrEnum):
    """How a run was served."""

    AUTOMATION = "automation"
    WORKFLOW = "workflow"
    AGENT = "agent"
    KEYWORD = "keyword"
    STATIC = "static"


class Mode(StrEnum):
    """What a run is for. Only live runs count as support, or as served."""

    LIVE = "live"
    REPLAY = "replay"
    SHADOW = "shadow"
    AUDIT = "audit"


class Price(BaseModel):
    """USD per million tokens, as they were when the turn was leased."""

    model_config = _FROZEN

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(default=None, ge=0)


class LeaseInfo(BaseModel):
    """Money held for one model turn, in micro-dollars, charged in full if the turn's end is never known."""

    model_config = _FROZEN

    lease_id: str
    goal: str
    model: str
    held_microusd: int = Field(ge=0)
    price: Price | None = None


class TurnRecord(BaseModel):
    """A model turn that ended, well or badly."""

    model_config = _FROZEN

    task_id: str
    turn: int
    try_number: int = 0
    agent_id: str
    spec_hash: str
    prompt_hash: str = ""
    tools_hash: str = ""
    reply: ModelReply | None = None
    error: ErrorInfo | None = None
    sent: bool = True
    """False only where it is proven that no request reached the provider."""
    lease: LeaseInfo | None = None
    cost_microusd: int = 0
    started_at: datetime
    duration_seconds: float = 0.0
    loader: str = ""
    prompt_bytes: int = 0
    """What a workflow's task was told at its first turn, and what one prompt for everything would have been."""
    monolith_bytes: int = 0


class ToolOutcome(StrEnum):
    """How a tool call ended; `unknown` is never guessed away."""

    OK = "ok"
    ERROR = "error"
    UNKNOWN = "unknown"


class ToolRecord(BaseModel):
    """A tool call that ended, with its full arguments and result."""

    model_config = _FROZEN

    task_id: str
    call_id: str
    name: str
    effect: Effect
    schema_hash: str = ""
    arguments: dict[str, Any] = {}
    outcome: ToolOutcome = ToolOutcome.OK
    result: Any = None
    result_ref: str | None = None
    """Hash of the stored result where it was too large for the journal; `result` is then its beginning."""
    error: ErrorInfo | None = None
    origin: Literal["tool", "web"] = "tool"
    idempotency_key: str | None = None
    attempt: int = 1
    decided_by: str | None = None
    """Who settled an unknown outcome: `reconcile`, or a person's principal."""
    started_at: datetime
    duration_seconds: float = 0.0


class ToolClaim(BaseModel):
    """The promise, stored before the call, that this owner and no other makes it."""

    model_config = _FROZEN

    task_id: str
    call_id: str
    name: str
    effect: Effect
    idempotency_key: str


class RoutingDecision(BaseModel):
    """Why this run went where it went."""

    model_config = _FROZEN

    served_by: ServedBy
    chosen: str
    reason: str
    scores: dict[str, float] = {}
    runner_up: str | None = None
    runner_up_scores: dict[str, float] = {}
    automations: tuple[str, ...] = ()
    """What was learnt and serves this run, each as `ID@VERSION`."""
    abstained: str | None = None
    """Why no automation serves it although there are some: one of a few words; `reason` says it in full."""
    match_seconds: float | None = None
    """How long it took to find that out."""
    prefetched: int = 0
    """Reads that are made before its agent is asked, for runs like it always began with them."""
    hints: tuple[str, ...] = ()
    """What its agent is told of runs like it, each as `ID@VERSION`."""


class RunEvent(Envelope):
    """What every event of a journal carries. `prev_seq` is the stream sequence of the run's event before."""

    run_id: str
    type: str
    attempt: int = 1
    prev_seq: int = 0
    turns: tuple[TurnRecord, ...] = ()
    tools: tuple[ToolRecord, ...] = ()


class WorkflowStarted(RunEvent):
    """A request was taken up: what was asked, by whom, how it was routed, and the versions it is pinned to."""

    type: Literal["workflow_started"] = "workflow_started"
    request: Request
    request_seq: int = 0
    request_hash: str = ""
    goal: str
    priority: Priority
    principal: str = "anonymous"
    owner: str = ""
    mode: Mode = Mode.LIVE
    routing: RoutingDecision
    workflow: Workflow
    fallback: Workflow | None = None
    parameters: dict[str, Any] = {}
    workflow_hash: str = ""
    agents: dict[str, AgentSpec] = {}
    tool_hashes: dict[str, str] = {}
    lease: LeaseInfo | None = None
    deadline_at: datetime
    seed: int = 0


class AgentStarted(RunEvent):
    """A task began. Appended only where no other event of the tick says it."""

    type: Literal["agent_started"] = "agent_started"
    task_id: str


class AgentCompleted(RunEvent):
    """Model turns ended, and the run goes on."""

    type: Literal["agent_completed"] = "agent_completed"


class AgentError(RunEvent):
    """Model turns failed, and the run goes on."""

    type: Literal["agent_error"] = "agent_error"


class ToolClaimed(RunEvent):
    """Keyed or irreversible calls are about to be made by this owner."""

    type: Literal["tool_claimed"] = "tool_claimed"
    claims: tuple[ToolClaim, ...]


class ToolCompleted(RunEvent):
    """Tool calls ended, and the run goes on."""

    type: Literal["tool_completed"] = "tool_completed"


class BudgetRefused(RunEvent):
    """No lease was to be had, and the run goes on in another way."""

    type: Literal["budget_refused"] = "budget_refused"
    error: ErrorInfo
    task_id: str = ""
    model: str | None = None
    """The cheaper model that the task goes on with."""


class CancelRequested(RunEvent):
    """Somebody asked that this run stop. An input event: any orchestrator may append it."""

    type: Literal["cancel_requested"] = "cancel_requested"
    principal: str = "anonymous"
    reason: str | None = None


class ApprovalGiven(RunEvent):
    """Somebody answered what a suspended run waits for. An input event.

    `outcome` speaks of an effect whose end is unknown: it happened, it did not, or treat it as failed.
    """

    type: Literal["approval_given"] = "approval_given"
    approved: bool
    principal: str = "anonymous"
    outcome: Literal["happened", "did_not_happen", "failed"] | None = None
    result: Any = None
    note: str | None = None
    task_id: str | None = None
    """Which approval task is answered; None: the one that the run waits for."""


class Deoptimized(RunEvent):
    """A workflow could not go on as planned: its agent takes over with what is known, or its fallback does."""

    type: Literal["deoptimized"] = "deoptimized"
    to: Literal["takeover", "fallback"] = "takeover"
    reason: str = ""


class SuspendReason(StrEnum):
    """What a suspended run waits for."""

    APPROVAL = "approval"
    BUDGET = "budget"
    OUTCOME_UNKNOWN = "outcome_unknown"
    WAIT = "wait"


class WorkflowSuspended(RunEvent):
    """The run waits, and holds nothing. `state` is all that is needed to go on when the journal is gone."""

    type: Literal["workflow_suspended"] = "workflow_suspended"
    reason: SuspendReason
    detail: str = ""
    wake_at: datetime | None = None
    suspension: int = 1
    state: dict[str, Any] = {}


class WorkflowResumed(RunEvent):
    """A new owner took the run over; whoever held it before is fenced off from here."""

    type: Literal["workflow_resumed"] = "workflow_resumed"
    owner: str
    cause: str = "redelivered"
    request_seq: int = 0
    state: dict[str, Any] | None = None
    """Restored from SQL, where the journal before this event was purged."""


class Totals(BaseModel):
    """What a run cost and did, as its final event states it."""

    model_config = _FROZEN

    cost_microusd: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    duration_seconds: float = 0.0


class Final(RunEvent):
    """What every last event of a run says."""

    answer: str | None = None
    output: Any = None
    error: ErrorInfo | None = None
    served_by: ServedBy = ServedBy.AGENT
    success_rate: float = 1.0
    """Tasks that were done ÷ tasks that were begun or skipped."""
    task_ends: dict[Literal["completed", "failed", "skipped"], tuple[str, ...]] = {}
    """How the tasks of a workflow ended of which no turn or call tells it: computed, answered, left out, guarded."""
    scripted: bool = False
    cost_usd: float = 0.0
    totals: Totals = Totals()
    user_id: str | None = None
    principal: str = "anonymous"
    goal: str = "default"


class WorkflowCompleted(Final):
    """The run ended with an answer."""

    type: Literal["workflow_completed"] = "workflow_completed"


class WorkflowFailed(Final):
    """The run ended with an error."""

    type: Literal["workflow_failed"] = "workflow_failed"


class WorkflowCancelled(Final):
    """The run was stopped because somebody asked for it."""

    type: Literal["workflow_cancelled"] = "workflow_cancelled"


AnyRunEvent = Annotated[
    WorkflowStarted
    | AgentStarted
    | AgentCompleted
    | AgentError
    | ToolClaimed
    | ToolCompleted
    | BudgetRefused
    | CancelRequested
    | ApprovalGiven
    | Deoptimized
    | WorkflowSuspended
    | WorkflowResumed
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCancelled,
    Field(discriminator="type"),
]


_ADAPTER: TypeAdapter[AnyRunEvent] = TypeAdapter(AnyRunEvent)
_SMALL_BYTES = 8192


def read_run_event(data: bytes) -> AnyRunEvent:
    """Read an event of a journal. Its bytes were checked by its writer, and only orchestrators may write."""
    return _read_small(data) if len(data) <= _SMALL_BYTES else _ADAPTER.validate_json(data)


@lru_cache(maxsize=1024)
def _read_small(data: bytes) -> AnyRunEvent:
    """Read once what several services of one process hear; events are frozen, so they can be shared."""
    return _ADAPTER.validate_json(data)
