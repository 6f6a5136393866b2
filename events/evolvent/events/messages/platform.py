"""The events of the platform: what happened to agents, budgets, patterns, automations and feedback."""

from __future__ import annotations

from typing import Any, ClassVar

from evolvent.events.envelope import Envelope
from evolvent.events.errors import ErrorInfo


class PlatformEvent(Envelope):
    """An event on `evolvent.events.<type>`; the class's TYPE is the last token."""

    TYPE: ClassVar[str]


class AgentSpawned(PlatformEvent):
    """A new agent spec was stored."""

    TYPE = "agent_spawned"
    agent_id: str
    specialty: str
    goal: str
    spec_hash: str
    context: dict[str, Any] = {}


class AgentActivated(PlatformEvent):
    """A loader made an activation of an agent."""

    TYPE = "agent_activated"
    agent_id: str
    loader: str
    resident: int


class AgentEvicted(PlatformEvent):
    """A loader dropped an activation: it was the least recently used, or idle too long. The spec stays."""

    TYPE = "agent_evicted"
    agent_id: str
    loader: str
    reason: str
    resident: int


class AgentRetired(PlatformEvent):
    """An agent spec takes no more work and no longer counts against its goal's limit."""

    TYPE = "agent_retired"
    agent_id: str
    goal: str
    reason: str = ""


class PatternDiscovered(PlatformEvent):
    """A signature was seen often enough to be worth an automation."""

    TYPE = "pattern_discovered"
    pattern_id: str
    signature: str
    support: int
    run_ids: tuple[str, ...] = ()


class AutomationProposed(PlatformEvent):
    """An automation was compiled from a pattern."""

    TYPE = "automation_proposed"
    automation_id: str
    version: int


class AutomationCreated(PlatformEvent):
    """An automation was stored and may be tried."""

    TYPE = "automation_created"
    automation_id: str
    version: int


class AutomationPromoted(PlatformEvent):
    """An automation moved up a stage, on the evidence of its receipt."""

    TYPE = "automation_promoted"
    automation_id: str
    version: int
    stage: str


class AutomationRolledBack(PlatformEvent):
    """An automation was taken back."""

    TYPE = "automation_rolled_back"
    automation_id: str
    version: int
    reason: str


class ImprovementAvailable(PlatformEvent):
    """There is a better version of something, not yet in use."""

    TYPE = "improvement_available"
    target: str
    detail: str = ""


class ImprovementApplied(PlatformEvent):
    """A better version of something is in use."""

    TYPE = "improvement_applied"
    target: str
    detail: str = ""


class FeedbackReceived(PlatformEvent):
    """A user said what they think of a run."""

    TYPE = "feedback_received"
    feedback_id: str
    user_id: str | None = None
    principal: str = "anonymous"
    text: str = ""
    rating: int | None = None


class BudgetExceeded(PlatformEvent):
    """A lease was refused because the goal's, or the platform's, cap is reached."""

    TYPE = "budget_exceeded"
    goal: str
    limit: str
    policy: str
    cap_microusd: int = 0
    used_microusd: int = 0


class BudgetOverrun(PlatformEvent):
    """A model's bill was above its lease; the model is closed for this goal until it is looked at."""

    TYPE = "budget_overrun"
    goal: str
    model: str
    lease_id: str
    held_microusd: int
    billed_microusd: int


class BudgetChanged(PlatformEvent):
    """A goal's limits were set."""

    TYPE = "budget_changed"
    goal: str
    max_agents: int
    max_concurrent: int
    max_daily_microusd: int
    principal: str = "operator"


class CircuitOpened(PlatformEvent):
    """A model endpoint or tool failed too often and is left alone for a while."""

    TYPE = "circuit_opened"
    target: str
    failures: int


class CircuitClosed(PlatformEvent):
    """A model endpoint or tool works again."""

    TYPE = "circuit_closed"
    target: str


class SchedulerRan(PlatformEvent):
    """A scheduled job ran, once, for its planned time."""

    TYPE = "scheduler_ran"
    job: str
    planned_at: str
    ok: bool = True
    detail: str = ""
    duration_seconds: float = 0.0


class DeadLettered(PlatformEvent):
    """A message that nobody could handle was kept aside."""

    TYPE = "dead_lettered"
    stream: str
    sequence: int
    subject: str
    error: ErrorInfo


PLATFORM_EVENTS: tuple[type[PlatformEvent], ...] = (
    AgentSpawned,
    AgentActivated,
    AgentEvicted,
    AgentRetired,
    PatternDiscovered,
    AutomationProposed,
    AutomationCreated,
    AutomationPromoted,
    AutomationRolledBack,
    ImprovementAvailable,
    ImprovementApplied,
    FeedbackReceived,
    BudgetExceeded,
    BudgetOverrun,
    BudgetChanged,
    CircuitOpened,
    CircuitClosed,
    SchedulerRan,
    DeadLettered,
)
BY_TYPE: dict[str, type[PlatformEvent]] = {kind.TYPE: kind for kind in PLATFORM_EVENTS}
