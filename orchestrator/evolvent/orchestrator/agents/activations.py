"""The agents that one loader has in memory: found, loaded once however many ask, pinned while in use, let go.

An activation is a cache entry. What it holds, it holds alone: when it leaves the pool, nothing refers to it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from evolvent.events.clock import Clock
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.conversation import ChatMessage
from evolvent.events.messages.calls import InvokeTurn
from evolvent.orchestrator.agents.residency import NoRoom, Residency
from evolvent.orchestrator.llm.client import ModelRequest
from evolvent.storage.agents import AgentStore

Key = tuple[str, str]
"""An agent_id and the hash of the spec that a run is pinned to."""


@dataclass(slots=True, weakref_slot=True)
class Activation:
    """An agent that is ready to answer."""

    spec: AgentSpec
    system: ChatMessage
    uses: int = 0

    @classmethod
    def of(cls, spec: AgentSpec) -> Activation:
        """Make the activation of a spec."""
        system = ChatMessage(role="system", content=spec.system_prompt)
        return cls(spec, system)

    def request(self, call: InvokeTurn, *, deadline_seconds: float) -> ModelRequest:
        """Return what the model is asked in a turn of this agent."""
        spec = self.spec
        return ModelRequest(
            model=call.model or spec.model,
            messages=(self.system, *call.conversation),
            max_tokens=call.max_tokens,
            tools=call.tools,
            deadline_seconds=deadline_seconds,
            temperature=spec.temperature,
            top_p=None if spec.top_p == 1 else spec.top_p,
            presence_penalty=spec.presence_penalty or None,
            frequency_penalty=spec.frequency_penalty or None,
        )


@dataclass(slots=True)
class Counts:
    """What the pool did since it was made."""

    hits: int = 0
    activations: int = 0
    evictions: int = 0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told, at once and without waiting, what came and went: (agent_id) and (agent_id, reason)."""

    activated: Callable[[str], None]
    evicted: Callable[[str, str], None]


@dataclass(slots=True)
class ActivationPool:
    """At most `residency`'s cap of activations. All methods belong to one event loop."""

    store: AgentStore
    residency: Residency[Key]
    clock: Clock
    listeners: Listeners
    counts: Counts = field(default_factory=Counts)
    _active: dict[Key, Activation] = field(default_factory=dict)
    _loading: dict[Key, asyncio.Task[AgentSpec]] = field(default_factory=dict)
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    @asynccontextmanager
    async def use(self, agent_id: str, spec_hash: str) -> AsyncIterator[tuple[Activation, bool]]:
        """Give an activation that stays until the block ends, and whether it had to be made.

        Waits while every place is taken by an agent in use.

        Raises:
            NotFound, CorruptRecord: there is no such spec, or it cannot be read.
        """
        key = (agent_id, spec_hash)
        made = False
        if key not in self.residency:
            made = await self._admit(key)
        self.residency.pin(key)
        activation = self._active[key]
        activation.uses += 1
        self.counts.hits += not made
        try:
            yield activation, made
        finally:
            del activation
            self._unpin(key)

    async def warm(self, agent_id: str, spec_hash: str) -> bool:
        """Make an agent resident before it is used, where a place is free: for a guess nobody has to leave.

        Returns:
            Whether it is resident.
        """
        key = (agent_id, spec_hash)
        if self.residency.touch(key, self.clock.monotonic()):
            return True
        if self.residency.has_room:
            await self._admit(key)
        return key in self.residency

    def uses(self, agent_id: str) -> int | None:
        """Return how often an agent was used since it is resident, or None where it is not."""
        found = [a.uses for key, a in self._active.items() if key[0] == agent_id]
        return sum(found) if found else None

    def drop(self, agent_id: str, reason: str) -> None:
        """Let every version of an agent leave: now, or when its last user is done."""
        for key in [key for key in self._active if key[0] == agent_id]:
            if self.residency.drop(key):
                self._forget(key, reason)
        self._wake()

    def drop_idle(self) -> None:
        """Let those leave that nobody used for too long."""
        for key in self.residency.idle(self.clock.monotonic()):
            self._forget(key, "idle")

    def clear(self) -> None:
        """Let go of everything; for when the loader ends."""
        for task in self._loading.values():
            task.cancel()
        self._active.clear()

    async def _admit(self, key: Key) -> bool:
        """Make a key resident; False where somebody else did it meanwhile."""
        spec = await self._load(key)
        while key not in self.residency:
            try:
                evicted = self.residency.admit(key, self.clock.monotonic())
            except NoRoom:
                await self._room()
                continue
            for other in evicted:
                self._forget(other, "least_recently_used")
            self._active[key] = Activation.of(spec)
            self.counts.activations += 1
            self.listeners.activated(key[0])
            return True
        return False

    async def _load(self, key: Key) -> AgentSpec:
        task = self._loading.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self.store.get(*key))
            self._loading[key] = task
            task.add_done_callback(lambda done: self._loaded(key, done))
        return await asyncio.shield(task)

    def _loaded(self, key: Key, task: asyncio.Task[AgentSpec]) -> None:
        self._loading.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen, though all who asked may have gone away meanwhile

    async def _room(self) -> None:
        """Wait until an activation is no longer in use."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake()  # it was our turn, and it must not be lost with us
            raise

    def _unpin(self, key: Key) -> None:
        if self.residency.unpin(key, self.clock.monotonic()):
            self._forget(key, "dropped")
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _forget(self, key: Key, reason: str) -> None:
        del self._active[key]
        self.counts.evictions += 1
        self.listeners.evicted(key[0], reason)
