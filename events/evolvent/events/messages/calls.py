"""Service calls: what a request/reply endpoint takes and gives."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evolvent.events.envelope import Message
from evolvent.events.errors import ErrorInfo
from evolvent.events.language.agents import AgentSpec, Capability
from evolvent.events.language.conversation import ChatMessage, ModelReply
from evolvent.events.language.tools import ToolSpec
from evolvent.events.messages.runs import LeaseInfo
from evolvent.events.subjects import Priority


class Empty(Message):
    """A call or reply that needs no words."""


class InvokeTurn(Message):
    """loader.invoke: make one model turn of an agent. The loader adds the system prompt from the spec."""

    run_id: str
    task_id: str
    turn: int
    lease_id: str
    agent_id: str
    spec_hash: str
    conversation: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_tokens: int
    model: str | None = None
    """Another model than the spec's, where a policy chose a cheaper one."""
    deadline_seconds: float
    stream: bool = False


class TurnReply(Message):
    """What loader.invoke gives: a reply or an error, and whether the provider may have billed it."""

    reply: ModelReply | None = None
    error: ErrorInfo | None = None
    sent: bool = True
    loader: str
    prompt_hash: str = ""
    duration_seconds: float = 0.0
    activated: bool = False


class SpawnAgent(Message):
    """loader.spawn: store a new specialist. The same `key` gives the same agent."""

    specialty: str = Field(min_length=1, max_length=40)
    context: dict[str, Any] = {}
    goal: str = "default"
    tools: tuple[str, ...] | None = None
    model: str | None = None
    key: str | None = None
    capabilities: tuple[Capability, ...] | None = None
    """What it can be chosen for; None: what its specialty brings with it."""
    max_concurrent_tasks: int | None = Field(default=None, gt=0)


class RegisterAgent(Message):
    """loader.register: store an agent that a person describes; the same agent_id again is a new version of it."""

    agent_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    agent_type: str = Field(min_length=1, max_length=40)
    capabilities: tuple[Capability, ...] = ()
    max_concurrent_tasks: int = Field(default=5, gt=0)
    config: dict[str, Any] = {}


class AgentReply(Message):
    """An agent's spec."""

    spec: AgentSpec


class AgentQuery(Message):
    """loader.agent, loader.retire: which agent."""

    agent_id: str
    reason: str = ""


class AgentsQuery(Message):
    """loader.agents: which agents, by agent_id; an empty message means the first hundred of all."""

    goal: str | None = None
    status: str | None = None
    limit: int = Field(default=100, gt=0, le=1000)
    offset: int = Field(default=0, ge=0)


class AgentRow(Message):
    """One line of loader.agents."""

    agent_id: str
    specialty: str
    goal: str
    model: str
    status: str
    spec_hash: str
    created_at: str
    resident_on: str | None = None
    uses: int = 0


class AgentList(Message):
    """What loader.agents gives."""

    agents: tuple[AgentRow, ...] = ()


class LoaderStats(Message):
    """What loader.stats gives, per instance."""

    loader: str
    resident: int
    in_use: int
    max_active_agents: int
    activations: int
    evictions: int
    hits: int


class LeaseRequest(Message):
    """resources.lease: hold the worst case of one model turn.

    `prompt_bytes` is the UTF-8 size of the prompt plus 16 for each message and tool. `held_by` names the run's attempt;
    slots of the same task held by an earlier attempt are given back, its money stays charged.
    """

    lease_id: str
    run_id: str
    task_id: str
    turn: int
    goal: str
    principal: str = "anonymous"
    model: str
    prompt_bytes: int = Field(ge=0)
    max_tokens: int = Field(gt=0)
    priority: Priority = Priority.MEDIUM
    wait_seconds: float = 30.0
    ttl_seconds: float = 120.0


class LeaseReply(Message):
    """A lease, or why there is none and what the goal's policy says to do now."""

    lease: LeaseInfo | None = None
    error: ErrorInfo | None = None
    policy: str = "queue"
    cheaper_model: str | None = None


class SettleLease(Message):
    """resources.settle: the turn ended and cost this. A short cut: the journal says the same."""

    lease_id: str
    cost_microusd: int = Field(ge=0)


class ReleaseLease(Message):
    """resources.release: it is proven that nothing was sent."""

    lease_id: str


class BudgetQuery(Message):
    """resources.budget, resources.can_spawn: which goal."""

    goal: str


class BudgetView(Message):
    """One goal's limits and use today."""

    goal: str
    day: str
    max_agents: int
    max_concurrent: int
    max_daily_microusd: int
    policy: str = "queue"
    agents: int = 0
    concurrent: int = 0
    spent_microusd: int = 0
    leased_microusd: int = 0
    is_default: bool = False


class BudgetList(Message):
    """What resources.budgets gives; goal `*` is the whole platform."""

    budgets: tuple[BudgetView, ...] = ()


class SetBudget(Message):
    """resources.set_budget: change the limits that are given."""

    goal: str
    max_agents: int | None = Field(default=None, ge=0)
    max_concurrent: int | None = Field(default=None, ge=0)
    max_daily_usd: float | None = Field(default=None, ge=0, le=1_000_000_000)
    policy: str | None = None
    reopen_model: str | None = None
    """A model that an overrun closed for the goal, and that it may use again."""


class AgentLoads(Message):
    """What loader.loads gives: the model turns that each agent has in hand on the loader that answers."""

    in_hand: dict[str, int] = {}


class SpawnPermit(Message):
    """What resources.can_spawn gives."""

    allowed: bool
    reason: str = ""
    most: int | None = None
    """How many agents the goal may have, for whoever stores the new one."""


class RunQuery(Message):
    """orchestrator.journal: which run, from which stream sequence on."""

    run_id: str
    from_seq: int = 0
    limit: int = Field(default=500, gt=0, le=2000)


class JournalPage(Message):
    """Events of a run in order, as they stand in the stream, with their sequences; oldest first."""

    run_id: str
    events: tuple[dict[str, Any], ...] = ()
    sequences: tuple[int, ...] = ()
    more: bool = False


class JobQuery(Message):
    """improvement.run_job: run one job now."""

    job: str


class JobRow(Message):
    """One scheduled job."""

    job: str
    schedule: str
    next_at: str | None = None
    last_at: str | None = None
    last_ok: bool | None = None
    last_detail: str = ""
    description: str = ""


class JobList(Message):
    """What improvement.jobs gives."""

    jobs: tuple[JobRow, ...] = ()


class FeedbackCall(Message):
    """improvement.feedback: what a user thinks of a run, by default of their last one.

    The same `feedback_id` is stored once. Callers are services and operators, so `principal` is believed.
    """

    feedback_id: str | None = Field(default=None, max_length=64)
    run_id: str | None = None
    principal: str = Field(default="anonymous", max_length=64)
    user_id: str | None = Field(default=None, max_length=256)
    text: str = Field(default="Make it better", max_length=10_000)
    rating: int | None = Field(default=None, ge=1, le=5)


class FeedbackReply(Message):
    """Which run the feedback was applied to, and what came of it; `known` where it was stored before."""

    feedback_id: str
    run_id: str
    status: str
    detail: str = ""
