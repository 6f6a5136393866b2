"""The lazy loader: hosts agents in memory while they work, and makes their model turns.

Agents are stored specs; at most `max_active_agents` of them are resident here, the least recently used goes first.
Runs and tools are not known here: a turn is a prompt in, text or tool calls out.
Shown in use by tests/integration/test_lazy_loader.py.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import ClassVar

from evolvent.events import subjects
from evolvent.events.bus import Call, CoreMessage
from evolvent.events.clock import Clock
from evolvent.events.errors import Category, ErrorInfo, EvolventError, InvalidMessage, NotFound
from evolvent.events.fault_points import reach
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.conversation import ModelReply
from evolvent.events.messages.calls import (
    AgentList,
    AgentLoads,
    AgentQuery,
    AgentReply,
    AgentsQuery,
    BudgetQuery,
    InvokeTurn,
    LoaderStats,
    RegisterAgent,
    SpawnAgent,
    SpawnPermit,
    TurnReply,
)
from evolvent.events.messages.platform import AgentActivated, AgentEvicted, AgentRetired, AgentSpawned
from evolvent.events.nats_bus import NatsBus
from evolvent.events.service import Endpoint, Listener, Service
from evolvent.orchestrator.agents.activations import Activation, ActivationPool, Listeners
from evolvent.orchestrator.agents.places import Places
from evolvent.orchestrator.agents.registration import registered
from evolvent.orchestrator.agents.residency import Residency
from evolvent.orchestrator.agents.specialist import slug, specialist
from evolvent.orchestrator.llm.client import Model, ModelRequest
from evolvent.orchestrator.llm.errors import ModelError
from evolvent.orchestrator.outbox import EventOutbox
from evolvent.orchestrator.settings import LoaderSettings
from evolvent.orchestrator.token_stream import TokenStream
from evolvent.storage.agents import AgentStore
from evolvent.storage.errors import AgentLimitReached

_IDLE_SWEEP_SECONDS = 60.0
_FINISH_SECONDS = 10.0


class LoaderBusy(EvolventError):
    """This loader had no free place for the turn before its deadline; start another loader. Nothing was sent."""

    code, category, retryable = "loader.busy", Category.RESOURCE, True


class LoaderStopping(EvolventError):
    """This loader is stopping; another one will take the turn. Nothing was sent."""

    code, category, retryable = "loader.stopping", Category.RESOURCE, True


class LazyLoader(Service):
    """Answers `evolvent.loader.*`: model turns, and the agents that make them."""

    name: ClassVar[str] = "loader"
    description: ClassVar[str] = "Hosts agents and makes their model turns"

    def __init__(
        self, bus: NatsBus, agents: AgentStore, model: Model, settings: LoaderSettings, clock: Clock | None = None
    ) -> None:
        super().__init__(bus, clock=clock)
        self._agents = agents
        self._model = model
        self._settings = settings
        self._outbox = EventOutbox(self)
        self._residency: Residency[tuple[str, str]] = Residency(settings.max_active_agents, settings.idle_seconds)
        self._pool = ActivationPool(
            agents, self._residency, self.clock, Listeners(activated=self._activated, evicted=self._evicted)
        )
        self._places = Places()
        self._turns = asyncio.Semaphore(settings.max_concurrent_turns)
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    def endpoints(self) -> Mapping[str, Endpoint]:
        """What any loader answers."""
        return {
            "invoke": self._invoke,
            "spawn": self._spawn,
            "agents": self._list,
            "agent": self._agent,
            "retire": self._retire,
            "put": self._put,
            "register": self._register,
            "loads": self._loads,
            "warm": self._warm,
        }

    def own_endpoints(self) -> Mapping[str, Endpoint]:
        """What this loader answers for itself."""
        return {"invoke": self._invoke, "stats": self._stats, "drop": self._drop}

    def listeners(self) -> Mapping[str, Listener]:
        """Hear which agents were retired anywhere."""
        return {subjects.event(AgentRetired.TYPE): self._heard_retired}

    async def on_start(self) -> None:
        """Begin to look for idle activations."""
        self.spawn(self.every(_IDLE_SWEEP_SECONDS, self.drop_idle))

    async def on_stop(self) -> None:
        """Finish the turns that are under way, send what is left to say, and let go of every agent."""
        try:
            async with asyncio.timeout(_FINISH_SECONDS):
                await self._quiet.wait()
        except TimeoutError:
            self.log.warning("stopped with turns under way", count=self._under_way)
        await self._outbox.flush()
        self._pool.clear()

    async def turn(self, call: InvokeTurn) -> TurnReply:
        """Make one model turn. Whatever goes wrong is in the reply; raises only on cancellation."""
        began = self.clock.monotonic()
        self._under_way += 1
        self._quiet.clear()
        try:
            reply = await self._guarded(call)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()
        return reply.model_copy(update={"duration_seconds": round(self.clock.monotonic() - began, 6)})

    async def _invoke(self, call: Call) -> bytes:
        reply = await self.turn(InvokeTurn.decode(call.data))
        reach("loader.replied")
        try:
            return reply.encode()
        except EvolventError as error:  # what was answered was paid for, even if it cannot be passed on
            return self._failed(error, sent=True).encode()

    async def _guarded(self, call: InvokeTurn) -> TurnReply:
        if self.is_stopping:
            return self._failed(LoaderStopping(), sent=False)
        ends_at = self.clock.monotonic() + call.deadline_seconds
        place = asyncio.timeout(call.deadline_seconds)
        try:
            use = self._pool.use(call.agent_id, call.spec_hash)
            async with place, use as (activation, made), self._places.hold(activation.spec), self._turns:
                place.reschedule(None)  # from here on the model keeps the deadline
                return await self._ask(call, activation, ends_at=ends_at, activated=made)
        except TimeoutError:
            return self._failed(LoaderBusy(), sent=False)
        except EvolventError as error:
            return self._failed(error, sent=False)

    async def _ask(self, call: InvokeTurn, activation: Activation, *, ends_at: float, activated: bool) -> TurnReply:
        request = activation.request(call, deadline_seconds=ends_at - self.clock.monotonic())
        reach("loader.before_model")
        prompt_hash = hashlib.sha256(request.prompt_json).hexdigest()[:32]
        about = {"prompt_hash": prompt_hash, "activated": activated}
        try:
            answer = await self._complete(call, request)
        except ModelError as error:
            return self._failed(error, sent=error.sent).model_copy(update=about)
        except Exception as error:  # money may be spent: the caller must hear that, whatever it was
            self.log.exception("model call failed", run_id=call.run_id, agent_id=call.agent_id)
            message = f"{type(error).__name__} in the model call; see the loader's log."
            info = ErrorInfo(code="internal", category=Category.SYSTEM, message=message)
            return TurnReply(error=info, sent=True, loader=self.instance, prompt_hash=prompt_hash)
        return TurnReply(reply=answer, loader=self.instance, prompt_hash=prompt_hash, activated=activated)

    async def _complete(self, call: InvokeTurn, request: ModelRequest) -> ModelReply:
        if not call.stream:
            return await self._model.complete(request)
        async with TokenStream(self.bus, call) as stream:
            return await self._model.complete(request, on_text=stream.write)

    def _failed(self, error: EvolventError, *, sent: bool) -> TurnReply:
        return TurnReply(error=error.info(), sent=sent, loader=self.instance)

    async def _spawn(self, call: Call) -> bytes:
        ask = SpawnAgent.decode(call.data)
        subjects.token(ask.goal)
        key = None if ask.key is None else f"{ask.goal}|{slug(ask.specialty)}|{ask.key}"
        if key is not None and (known := await self._agents.find_by_key(key)) is not None:
            return AgentReply(spec=known).encode()
        most = await self._ask_permission(ask.goal)
        new = await self._new_spec(ask)
        spec = await self._agents.put(new, created_by=self.instance, key=key, source="automated", most=most)
        event = AgentSpawned(
            **self.envelope(),
            agent_id=spec.agent_id,
            specialty=spec.specialty,
            goal=spec.goal,
            spec_hash=spec.spec_hash,
            context=spec.parent_context,
        )
        await self.emit(event)
        return AgentReply(spec=spec).encode()

    async def _ask_permission(self, goal: str) -> int | None:
        """Return how many agents the goal may have; others may be spawning too, so it counts again when storing."""
        data = await self.bus.call(subjects.endpoint("resources", "can_spawn"), BudgetQuery(goal=goal).encode())
        permit = SpawnPermit.decode(data)
        if not permit.allowed:
            raise AgentLimitReached(permit.reason or None)
        return permit.most

    async def _new_spec(self, ask: SpawnAgent) -> AgentSpec:
        """Return a spec whose agent_id nobody has; 8 hex digits do collide among many thousand agents."""
        while True:
            spec = specialist(
                ask,
                default_model=self._settings.default_model,
                max_tokens=self._settings.max_tokens,
                hex8=self.clock.new_id()[:8],
            )
            try:
                await self._agents.get(spec.agent_id)
            except NotFound:
                return spec
            if ask.key is not None:
                return spec

    async def _list(self, call: Call) -> bytes:
        ask = AgentsQuery.decode(call.data or b"{}")
        rows = await self._agents.list(ask.goal, ask.status, limit=ask.limit, offset=ask.offset)
        here = {row.agent_id: uses for row in rows if (uses := self._pool.uses(row.agent_id)) is not None}
        return AgentList(
            agents=tuple(
                row.model_copy(update={"resident_on": self.instance, "uses": here[row.agent_id]})
                if row.agent_id in here
                else row
                for row in rows
            )
        ).encode()

    async def _agent(self, call: Call) -> bytes:
        return AgentReply(spec=await self._agents.get(AgentQuery.decode(call.data).agent_id)).encode()

    async def _register(self, call: Call) -> bytes:
        most, model = self._settings.max_tokens, self._settings.default_model
        return await self._store(registered(RegisterAgent.decode(call.data), default_model=model, max_tokens=most))

    async def _put(self, call: Call) -> bytes:
        return await self._store(AgentReply.decode(call.data).spec)

    async def _store(self, spec: AgentSpec) -> bytes:
        subjects.token(spec.goal)
        if not spec.system_prompt.strip():
            raise InvalidMessage("spec.system_prompt is empty; say what the agent is.")
        return AgentReply(
            spec=await self._agents.put(spec, created_by=self.instance, source="user", spawned=False)
        ).encode()

    async def _retire(self, call: Call) -> bytes:
        ask = AgentQuery.decode(call.data)
        spec = await self._agents.get(ask.agent_id)
        is_new = await self._agents.retire(ask.agent_id)
        self._pool.drop(ask.agent_id, "retired")
        if is_new:
            await self.emit(AgentRetired(**self.envelope(), agent_id=spec.agent_id, goal=spec.goal, reason=ask.reason))
        return AgentReply(spec=spec).encode()

    async def _warm(self, call: Call) -> bytes:
        spec = await self._agents.get_active(AgentQuery.decode(call.data).agent_id)
        await self._pool.warm(spec.agent_id, spec.spec_hash)
        return self.stats().encode()

    async def _loads(self, _: Call) -> bytes:
        return AgentLoads(in_hand=self._places.in_hand()).encode()

    async def _stats(self, _: Call) -> bytes:
        return self.stats().encode()

    async def _drop(self, call: Call) -> bytes:
        self._pool.drop(AgentQuery.decode(call.data).agent_id, "dropped")
        return self.stats().encode()

    def stats(self) -> LoaderStats:
        """Return what this loader holds and did."""
        counts = self._pool.counts
        return LoaderStats(
            loader=self.instance,
            resident=len(self._residency),
            in_use=self._residency.in_use,
            max_active_agents=self._settings.max_active_agents,
            activations=counts.activations,
            evictions=counts.evictions,
            hits=counts.hits,
        )

    def _heard_retired(self, message: CoreMessage) -> None:
        try:
            self._pool.drop(AgentRetired.decode(message.data).agent_id, "retired")
        except EvolventError as error:
            self.log.warning("event cannot be read", subject=message.subject, error=str(error))

    async def drop_idle(self) -> None:
        """Let go of the agents that nobody used for `idle_seconds`."""
        self._pool.drop_idle()

    def _activated(self, agent_id: str) -> None:
        resident = len(self._residency)
        self._outbox.put(AgentActivated(**self.envelope(), agent_id=agent_id, loader=self.instance, resident=resident))

    def _evicted(self, agent_id: str, reason: str) -> None:
        resident = len(self._residency)
        self._outbox.put(
            AgentEvicted(**self.envelope(), agent_id=agent_id, loader=self.instance, reason=reason, resident=resident)
        )
