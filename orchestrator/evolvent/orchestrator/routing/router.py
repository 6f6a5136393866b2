"""Who serves a request: the agent that it names, else the goal's best, else a generalist spawned for the goal."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from evolvent.events import subjects
from evolvent.events.clock import Clock
from evolvent.events.errors import ErrorInfo, EvolventError, NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.events.messages.calls import AgentReply, SpawnAgent
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import RoutingDecision, ServedBy
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.patience import patiently
from evolvent.orchestrator.routing.selection import rank
from evolvent.storage.agents import AgentStore

GENERALIST = "assistant"
DEFAULT_GOAL = "default"
_FRESH_SECONDS = 2.0
_GOALS_KEPT = 1000
_CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class Route:
    """A decision, and the spec it chose; or the error that ends the run before it began."""

    decision: RoutingDecision
    spec: AgentSpec | None = None
    error: ErrorInfo | None = None


class Router:
    """Routes requests; knows a goal's agents for two seconds at a time."""

    def __init__(self, bus: NatsBus, agents: AgentStore, clock: Clock, *, wait_seconds: float) -> None:
        self._bus = bus
        self._wait_seconds = wait_seconds
        self._agents = agents
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, list[AgentSpec]]] = OrderedDict()
        self._spawning: dict[str, asyncio.Lock] = {}

    async def route(self, request: Request, goal: str) -> Route:
        """Return where a request goes, and why."""
        try:
            if request.workflow is not None:
                raise NotFound(f"There is no workflow {request.workflow!r}; leave it out, or create it first.")
            if request.agent_id is not None:
                return await self._named(request.agent_id)
            return await self._best(request.message, goal)
        except EvolventError as error:
            chosen = request.agent_id or request.workflow or GENERALIST
            decision = RoutingDecision(served_by=ServedBy.AGENT, chosen=chosen, reason="could not be routed")
            return Route(decision, error=error.info())

    async def _named(self, agent_id: str) -> Route:
        spec = await self._agents.get_active(agent_id)
        return Route(RoutingDecision(served_by=ServedBy.AGENT, chosen=agent_id, reason="named in the request"), spec)

    async def _best(self, message: str, goal: str) -> Route:
        """Choose among the goal's agents; a goal without any is served by those of `default`.

        So requests that invent goals spawn no agents: only `default` gets a generalist by itself.
        """
        candidates, whose = await self._candidates(goal), goal
        if not candidates and goal != DEFAULT_GOAL:
            candidates, whose = await self._candidates(DEFAULT_GOAL), DEFAULT_GOAL
        if not candidates:
            spec = await self._spawn(DEFAULT_GOAL)
            reason = f"no agent for goal {goal!r} yet: a generalist was spawned"
            return Route(RoutingDecision(served_by=ServedBy.AGENT, chosen=spec.agent_id, reason=reason), spec)
        ranked = rank(candidates, message)
        best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
        decision = RoutingDecision(
            served_by=ServedBy.AGENT,
            chosen=best.spec.agent_id,
            reason=f"the only agent of {whose!r}" if second is None else f"the best match of the agents of {whose!r}",
            scores=best.scores,
            runner_up=second.spec.agent_id if second else None,
            runner_up_scores=second.scores if second else {},
        )
        return Route(decision, best.spec)

    async def _candidates(self, goal: str) -> list[AgentSpec]:
        known = self._known.get(goal)
        now = self._clock.monotonic()
        if known is not None and now - known[0] < _FRESH_SECONDS:
            return known[1]
        rows = await self._agents.list(goal, "active", limit=_CANDIDATES)
        specs = [await self._agents.get(row.agent_id, row.spec_hash) for row in rows]
        if specs:
            self._known[goal] = (now, specs)
            if len(self._known) > _GOALS_KEPT:
                self._known.popitem(last=False)
        return specs

    async def _spawn(self, goal: str) -> AgentSpec:
        async with self._spawning.setdefault(goal, asyncio.Lock()):
            call = SpawnAgent(specialty=GENERALIST, goal=goal, key=f"generalist:{goal}")
            subject, body = subjects.endpoint("loader", "spawn"), call.encode()

            async def once() -> bytes:
                return await self._bus.call(subject, body, timeout_seconds=15.0)

            try:
                data = await patiently(once, clock=self._clock, limit_seconds=self._wait_seconds)
            finally:
                self._spawning.pop(goal, None)
            spec = AgentReply.decode(data).spec
        self._known[goal] = (self._clock.monotonic(), [spec])
        return spec
