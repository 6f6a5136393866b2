"""Who serves a request, and why.

In order, the first that can: the workflow or agent that it names, an automation, a workflow by intent, the goal's best
agent, a generalist spawned for the purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from evolvent.events.clock import Clock
from evolvent.events.errors import ErrorInfo, EvolventError, NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.learning.matching import Abstained
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
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.workflows import WorkflowStore

_NAMED = "named in the request"
_LONGEST_REASON = 160


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
    agents: dict[str, AgentSpec] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)


class Automations(Protocol):
    """Workflows that were learnt: whether one of them serves a request."""

    async def route(self, request: Request, goal: str, agent: AgentSpec) -> Route | Abstained | None:
        """Return where an automation takes a request that this agent would serve, or why none does.

        None: nothing was ever learnt that it could have been.
        """

    async def prepared(self, request: Request, goal: str, route: Route) -> Route:
        """Return the route to an agent with the reads that it is known to begin with, and hints that it is told."""

    async def refresh(self) -> None:
        """Take in what has changed."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What routing is decided from. Without workflows none can be named or meant; without records all are equal."""

    agents: AgentStore
    records: AgentRecords | None = None
    workflows: WorkflowStore | None = None
    tools: Callable[[], Mapping[str, ToolSpec]] | None = None
    automations: Automations | None = None

    @classmethod
    def of(
        cls, databases: Databases, clock: Clock, tools: Callable[[], Mapping[str, ToolSpec]] | None = None
    ) -> Sources:
        """Return the sources that databases hold."""
        return cls(
            AgentStore(databases.definitions, clock),
            AgentRecords(databases.records),
            WorkflowStore(databases.definitions, clock),
            tools,
        )


class Router:
    """Routes requests."""

    def __init__(
        self,
        bus: NatsBus,
        sources: Sources | AgentStore,
        clock: Clock,
        *,
        wait_seconds: float,
    ) -> None:
        sources = sources if isinstance(sources, Sources) else Sources(sources)
        pool = AgentPool(bus, sources.agents, sources.records, clock)
        self._clock = clock
        self._candidates = Candidates(bus, sources.agents, pool, clock, wait_seconds=wait_seconds)
        self._staffing = Staffing(self._candidates)
        self._automations = sources.automations
        self._resolver: WorkflowResolver | None = None
        self._intents: IntentDesk | None = None
        if sources.workflows is not None:
            self._resolver = WorkflowResolver(sources.workflows, clock, sources.tools)
            self._intents = IntentDesk(sources.workflows, clock)

    async def route(self, request: Request, goal: str) -> Route:
        """Return where a request goes, and why."""
        try:
            if request.workflow is not None:
                return await self._workflow(await self._resolve(request.workflow), request, goal, _NAMED)
            if request.agent_id is not None:
                spec = await self._candidates.named(request.agent_id)
                return Route(_decision(ServedBy.AGENT, spec.agent_id, _NAMED), spec)
            return await self._unnamed(request, goal)
        except EvolventError as error:
            served_by = ServedBy.WORKFLOW if request.workflow is not None else ServedBy.AGENT
            chosen = request.workflow or request.agent_id or GENERALIST
            return Route(_decision(served_by, chosen, "could not be routed"), error=error.info())

    async def _unnamed(self, request: Request, goal: str) -> Route:
        """Return where a request goes that names nobody."""
        choice = await self._ranked(request, goal) if self._automations is not None else None
        learnt: Route | Abstained | None = None
        began = self._clock.monotonic()
        if self._automations is not None and choice is not None:
            learnt = await self._automations.route(request, goal, choice[0][0].spec)
        seconds = round(self._clock.monotonic() - began, 6)
        if isinstance(learnt, Route) and choice is not None:
            agent = choice[0][0]
            said = {"runner_up": agent.spec.agent_id, "runner_up_scores": agent.scores, "match_seconds": seconds}
            return _noted(learnt, said)
        route = await self._meant(request, goal) or await self._best(request, goal, choice)
        if self._automations is not None and choice is not None:
            route = await self._automations.prepared(request, goal, route)
        if not isinstance(learnt, Abstained):
            return route
        reason = f"{route.decision.reason}; no automation: {learnt.reason[:_LONGEST_REASON]}"
        return _noted(route, {"reason": reason, "abstained": learnt.code, "match_seconds": seconds})

    async def _resolve(self, name: str) -> Resolved:
        if self._resolver is None:
            raise NotFound(f"There is no workflow {name!r}; leave it out, or create it first.")
        return await self._resolver.resolve(name)

    async def _workflow(self, resolved: Resolved, request: Request, goal: str, reason: str) -> Route:
        """Return a workflow with its parameters and agents. It, they and its version stay those of the run."""
        params = parameters_of(resolved, request.parameters)
        staff = Staff(goal, request.user_id)
        workflow = await self._staffing.staffed(resolved.workflow, staff)
        fallback = resolved.fallback
        if fallback is not None:
            fallback = await self._staffing.staffed(fallback, staff)
        return Route(
            _decision(ServedBy.WORKFLOW, resolved.label, reason),
            workflow=workflow,
            fallback=fallback,
            agents=staff.specs,
            params=params,
        )

    async def _meant(self, request: Request, goal: str) -> Route | None:
        """Return the workflow that the message means; None where it means none, or one that cannot run like that."""
        if self._intents is None or not request.message.strip():
            return None
        intent = (await self._intents.engine()).analyze_intent(request.message)
        if intent.primary_intent is None:
            return None
        try:
            resolved = await self._resolve(intent.primary_intent)
            route = await self._workflow(resolved, request, goal, "meant by the message")
        except EvolventError:
            return None
        decision = route.decision.model_copy(
            update={
                "scores": {"confidence": intent.confidence},
                "runner_up": intent.runner_up,
                "runner_up_scores": {"confidence": intent.runner_up_confidence} if intent.runner_up else {},
            }
        )
        return replace(route, decision=decision)

    async def _ranked(self, request: Request, goal: str) -> tuple[list[Scored], str] | None:
        """Return the agents that could serve, best first, and of which goal they are; None where there are none.

        A goal without any is served by those of `default`.
        """
        for whose in dict.fromkeys((goal, DEFAULT_GOAL)):
            candidates = await self._candidates.of(whose, request.user_id)
            if candidates:
                return rank(candidates, request.message), whose
        return None

    async def _best(self, request: Request, goal: str, choice: tuple[list[Scored], str] | None) -> Route:
        """Choose the best agent; only `default` gets a generalist by itself, so that invented goals spawn no agents."""
        choice = choice or await self._ranked(request, goal)
        if choice is not None:
            ranked, whose = choice
            return Route(_chosen(ranked, whose), ranked[0].spec)
        spec = await self._candidates.generalist()
        reason = f"no agent for goal {goal!r} yet: a generalist was spawned"
        return Route(_decision(ServedBy.AGENT, spec.agent_id, reason), spec)


def _noted(route: Route, said: dict[str, object]) -> Route:
    return replace(route, decision=route.decision.model_copy(update=said))


def _decision(served_by: ServedBy, chosen: str, reason: str) -> RoutingDecision:
    return RoutingDecision(served_by=served_by, chosen=chosen, reason=reason)


def _chosen(ranked: list[Scored], whose: str) -> RoutingDecision:
    best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    return RoutingDecision(
        served_by=ServedBy.AGENT,
        chosen=best.spec.agent_id,
        reason=f"the only agent of {whose!r}" if second is None else f"the best match of the agents of {whose!r}",
        scores=best.scores,
        runner_up=second.spec.agent_id if second else None,
        runner_up_scores=second.scores if second else {},
    )
