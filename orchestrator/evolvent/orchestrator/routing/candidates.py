"""The agents that a request could go to: those that there are, and those that are made when there is none."""

from __future__ import annotations

import asyncio

from evolvent.events import subjects
from evolvent.events.clock import Clock
from evolvent.events.language.agents import AgentSpec, Capability
from evolvent.events.messages.calls import AgentReply, SpawnAgent
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.patience import patiently
from evolvent.orchestrator.routing.pool import AgentPool
from evolvent.orchestrator.routing.selection import Candidate
from evolvent.storage.agents import AgentStore

GENERALIST = "assistant"
DEFAULT_GOAL = "default"
_SPAWN_SECONDS = 15.0
_MAX_SPECIALTY_CHARACTERS = 40


class Candidates:
    """Finds agents, and has the loader spawn them."""

    def __init__(self, bus: NatsBus, agents: AgentStore, pool: AgentPool, clock: Clock, *, wait_seconds: float) -> None:
        self._bus = bus
        self._agents = agents
        self._pool = pool
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._spawning: dict[str, asyncio.Lock] = {}

    async def named(self, agent_id: str) -> AgentSpec:
        """Return the agent of a name.

        Raises:
            NotFound: there is none, or it is retired.
        """
        return await self._agents.get_active(agent_id)

    async def of(self, goal: str, user_id: str | None = None) -> list[Candidate]:
        """Return the active agents of a goal."""
        return await self._pool.candidates(goal, user_id)

    async def generalist(self) -> AgentSpec:
        """Return the agent that serves where nobody else is: spawned for the goal `default`, the first time."""
        return await self._spawn(SpawnAgent(specialty=GENERALIST, goal=DEFAULT_GOAL, key=f"generalist:{DEFAULT_GOAL}"))

    async def specialist(self, goal: str, wish: str, capability: Capability | None) -> AgentSpec:
        """Return a specialist for a wish; the same goal and wish give the same agent.

        Raises:
            EvolventError: the goal may have no more agents, or nobody can spawn one.
        """
        capabilities = (capability,) if capability is not None else None
        specialty = wish[:_MAX_SPECIALTY_CHARACTERS]
        key = f"wish:{wish}:{capability or ''}"
        return await self._spawn(SpawnAgent(specialty=specialty, goal=goal, key=key, capabilities=capabilities))

    async def _spawn(self, call: SpawnAgent) -> AgentSpec:
        subject, body = subjects.endpoint("loader", "spawn"), call.encode()

        async def once() -> bytes:
            return await self._bus.call(subject, body, timeout_seconds=_SPAWN_SECONDS)

        name = f"{call.goal} {call.key}"
        async with self._spawning.setdefault(name, asyncio.Lock()):
            try:
                data = await patiently(once, clock=self._clock, limit_seconds=self._wait_seconds)
            finally:
                self._spawning.pop(name, None)
            spec = AgentReply.decode(data).spec
        self._pool.add(call.goal, spec)
        return spec
