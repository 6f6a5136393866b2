"""Who serves a request, and why: in order, the first that can.

    the workflow or agent that it names → an automation → a workflow by intent → the goal's best agent → a generalist
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from evolvent.events.clock import Clock
from evolvent.events.errors import ErrorInfo, EvolventError, NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.tools import ToolSpec
from evolvent.events.language.workflow import Workflow
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import RoutingDecision, ServedBy
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.routing.candidates import DEFAULT_GOAL, GENERALIST, Candidates
from evolvent.orchestrator.routing.intent_desk import IntentDesk
from evolvent.orchestrator.routing.pool import AgentPool
from evolvent.orchestrator.routing.resolving import Resolved, WorkflowResolver, parameters_of
from evolvent.orchestrator.routing.selection import Scored, rank
from evolvent.orchestrator.routing.staffing import Staff, Staffing
from evolvent.storage.agent_records import AgentRecords
from evolvent.storage.agent_roster import AgentRoster
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.workflows import WorkflowStore


@dataclass(frozen=True, slots=True)
class Route:
    """A decision and what it takes to act on it; or the error that ends the run before it began.

    A plain request has a `spec` and no `workflow`. A workflow has an agent for every agent task, and `agents` holds
    the specs of them all, those of its `fallback` too; `params` is what its `${params.…}` lead to.
    """

    decision: RoutingDecision
    spec: AgentSpec | None = None
    error: ErrorInfo | None = None
    workflow: Workflow | None = None
    fallback: Workflow | None = None
    agents: Mapping[str, AgentSpec] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


class Automations(Protocol):
    """Workflows that were learnt: whether one of them serves a request."""

    async def route(self, request: Request, goal: str) -> Route | None:
        """Return where an automation takes a request; None where none accepts it."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What routing is decided from. Without workflows none can be named or meant; without records all agents equal."""

    agents: AgentStore
    roster: AgentRoster | None = None
    records: AgentRecords | None = None
    workflows: WorkflowStore | None = None
    tools: Callable[[], Mapping[str, ToolSpec]] | None = None

    @classmethod
    def of(
        cls, databases: Databases, clock: Clock, tools: Callable[[], Mapping[str, ToolSpec]] | None = None
    ) -> Sources:
        """Return the sources that databases hold."""
        return cls(
            AgentStore(databases.definitions, clock),
            AgentRoster(databases.definitions),
            AgentRecords(databases.records),
            WorkflowStore(databases.definitions, clock),
            tools,
        )


class Router:
    """Routes requests."""

    def __init__(
        self,
        bus: NatsBus,
        sources: Sources,
        clock: Clock,
        *,
        wait_seconds: float,
        automations: Automations | None = None,
    ) -> None:
        pool = AgentPool(bus, sources, clock)
        self._candidates = Candidates(bus, sources.agents, pool, clock, wait_seconds=wait_seconds)
        self._staffing = Staffing(self._candidates)
        self._automations = automations
        self._resolver: WorkflowResolver | None = None
        self._intents: IntentDesk | None = None
        if sources.workflows is not None:
            self._resolver = WorkflowResolver(sources.workflows, clock, sources.tools)
            self._intents = IntentDesk(sources.workflows, clock)
