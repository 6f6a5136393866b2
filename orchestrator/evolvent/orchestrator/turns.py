"""One model turn: lease its worst case, have a loader make it, say what it cost.

Money: a turn that was sent and whose bill is not known is charged at its lease. A turn that is proven unsent,
or that the provider refused before working on it, costs nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Iterable
from datetime import datetime

from evolvent.events import subjects
from evolvent.events.errors import (
    BusUnavailable,
    CallTimeout,
    Category,
    ErrorInfo,
    EvolventError,
    NoResponders,
    RemoteError,
)
from evolvent.events.fault_points import reach
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.conversation import ChatMessage, ModelReply, name_calls
from evolvent.events.language.decisions import lease_id
from evolvent.events.language.hashing import content_hash
from evolvent.events.language.prompt import conversation, monolith_bytes, prompt_bytes
from evolvent.events.language.state import Refusal, RunState
from evolvent.events.language.steps import TakeTurn
from evolvent.events.language.tools import ToolSpec
from evolvent.events.language.workflow import TaskKind, Workflow
from evolvent.events.messages.calls import InvokeTurn, LeaseReply, LeaseRequest, ReleaseLease, SettleLease, TurnReply
from evolvent.events.messages.runs import LeaseInfo, TurnRecord
from evolvent.orchestrator.bills import bill_of
from evolvent.orchestrator.patience import patiently
from evolvent.orchestrator.run_parts import RunParts

_STICKY_AGENTS = 10_000
_LEASE_SLACK_SECONDS = 30.0


class TurnTaker:
    """Makes the model turns of all runs of one process."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._loader_of: OrderedDict[str, str] = OrderedDict()
        self._in_flight: Counter[str] = Counter()

    async def lease(self, state: RunState, step: TakeTurn) -> LeaseInfo | Refusal:
        """Hold the worst case of a turn, waiting while the resource manager is away or the goal's slots are taken."""
        while (held := await self.lease_soon(state, step)) is None:
            pass
        return held

    async def lease_soon(self, state: RunState, step: TakeTurn) -> LeaseInfo | Refusal | None:
        """Hold the worst case of a turn; None where no slot was free for as long as one call waits."""
        spec, messages, tools = self._prompt(state, step)
        model = state.tasks[step.task_id].model or spec.model
        started = state.started
        assert started is not None
        settings = self._parts.settings
        ask = LeaseRequest(
            lease_id=lease_id(state.run_id, step.task_id, step.turn, f"{state.attempt}.{step.try_number}"),
            run_id=state.run_id,
            task_id=step.task_id,
            turn=step.turn,
            goal=started.goal,
            principal=started.principal,
            model=model,
            prompt_bytes=prompt_bytes(spec, messages, tools),
            max_tokens=spec.max_tokens,
            priority=started.priority,
            wait_seconds=settings.lease_wait_seconds,
            ttl_seconds=settings.turn_timeout_seconds + _LEASE_SLACK_SECONDS,
        ).encode()
        reply = await self._ask_for_lease(ask)
        if reply.lease is not None:
            reach("run.leased")
            return reply.lease
        error = reply.error
        assert error is not None
        return None if error.retryable else Refusal(step.task_id, error, reply.policy, reply.cheaper_model)

    async def take(
        self, state: RunState, step: TakeTurn, lease: LeaseInfo, *, limit_seconds: float = math.inf
    ) -> TurnRecord:
        """Make a turn under its lease, and return how it ended. Raises only on cancellation.

        A turn that its task has no time for is broken off after `limit_seconds`, and charged at its lease; where no
        time is left at all, it is not made and costs nothing.
        """
        spec, messages, tools = self._prompt(state, step)
        started_at = self._parts.clock.now()
        began = self._parts.clock.monotonic()
        started = state.started
        assert started is not None
        call = InvokeTurn(
            run_id=state.run_id,
            task_id=step.task_id,
            turn=step.turn,
            lease_id=lease.lease_id,
            agent_id=spec.agent_id,
            spec_hash=spec.spec_hash,
            conversation=messages,
            tools=tools,
            max_tokens=spec.max_tokens,
            model=state.tasks[step.task_id].model,
            deadline_seconds=self._parts.settings.turn_timeout_seconds,
            stream=started.request.stream,
        )
        reach("turn.before_invoke")
        self._in_flight[spec.agent_id] += 1
        try:
            if limit_seconds > 0:
                async with asyncio.timeout(None if math.isinf(limit_seconds) else limit_seconds):
                    reply = await self._invoke(call)
            else:
                reply = TurnReply(error=_out_of_time(step.task_id), sent=False, loader="")
        except TimeoutError:
            reply = TurnReply(error=_out_of_time(step.task_id), sent=True, loader="")
        finally:
            self._in_flight[spec.agent_id] -= 1
        reach("turn.replied")
        record = self._record(step, spec, lease, reply, started_at, tools)
        measured: dict[str, object] = {"duration_seconds": round(self._parts.clock.monotonic() - began, 6)}
        if step.turn == 0 and len(state.tasks) > 1:
            told = len((messages[0].content or "").encode())
            measured |= {"prompt_bytes": told, "monolith_bytes": monolith_bytes(state)}
        return record.model_copy(update=measured)

    def settle(self, turns: Iterable[TurnRecord]) -> None:
        """Tell what turns cost, once their event is stored: told earlier, it would only delay that."""
        for record in turns:
            self._parts.spawn(self._settle(record))

    async def give_back(self, lease: LeaseInfo) -> None:
        """Let go of a lease under which nothing was sent."""
        await self._release(lease.lease_id)

    def loads(self, workflow: Workflow, ready: Iterable[str]) -> dict[str, float]:
        """Return how busy this process keeps the agents of a workflow's ready tasks; 1 is all they take."""
        most = self._parts.settings.agent_max_concurrent_tasks
        agents = {name: workflow.by_id[name].agent_id for name in ready}
        return {name: self._in_flight[agent] / most for name, agent in agents.items() if agent is not None}

    def offered(self, state: RunState, task_id: str) -> frozenset[str]:
        """Return the names of the tools that a task may call: those its agent was offered, or its own one."""
        task = state.tasks[task_id].task
        if task.kind is not TaskKind.AGENT:
            return frozenset((task.tool or "",))
        spec = self._spec(state, task_id)
        return frozenset(tool.name for tool in self._tools(state, task_id, spec))

    def _spec(self, state: RunState, task_id: str) -> AgentSpec:
        started = state.started
        assert started is not None
        return started.agents[state.tasks[task_id].task.agent_id or ""]

    def _tools(self, state: RunState, task_id: str, spec: AgentSpec) -> tuple[ToolSpec, ...]:
        assert state.started is not None
        offered = self._parts.tools.offered_to(spec, state.started.goal)
        required = state.tasks[task_id].task.required_tools
        return offered if required is None else tuple(tool for tool in offered if tool.name in required)

    def _prompt(
        self, state: RunState, step: TakeTurn
    ) -> tuple[AgentSpec, tuple[ChatMessage, ...], tuple[ToolSpec, ...]]:
        spec = self._spec(state, step.task_id)
        messages = conversation(state, state.tasks[step.task_id])
        return spec, messages, self._tools(state, step.task_id, spec)

    async def _invoke(self, call: InvokeTurn) -> TurnReply:
        try:
            data = call.encode()
        except EvolventError as error:
            return TurnReply(error=error.info(), sent=False, loader="")
        deadline = call.deadline_seconds + 5.0
        end = self._parts.clock.monotonic() + self._parts.settings.service_wait_seconds
        wait = 0.05
        while True:
            home = self._loader_of.get(call.agent_id)
            try:
                answer = await self._parts.bus.call(
                    subjects.endpoint("loader", "invoke", home),
                    data,
                    timeout_seconds=deadline,
                    silence_seconds=self._parts.settings.silence_seconds,
                )
                reply = TurnReply.decode(answer)
                self._remember(call.agent_id, reply.loader)
                return reply
            except NoResponders as error:
                if home is not None:
                    self._loader_of.pop(call.agent_id, None)
                    continue
                if self._parts.clock.monotonic() > end:
                    return TurnReply(error=error.info(), sent=False, loader="")
                await asyncio.sleep(wait)
                wait = min(1.0, wait * 2)
            except (CallTimeout, BusUnavailable) as error:
                self._loader_of.pop(call.agent_id, None)
                return TurnReply(error=error.info(), sent=True, loader=home or "")
            except RemoteError as error:
                return TurnReply(error=error.info(), sent=False, loader=home or "")
            except EvolventError as error:  # an answer that cannot be read was paid for all the same
                return TurnReply(error=error.info(), sent=True, loader=home or "")

    def _remember(self, agent_id: str, loader: str) -> None:
        self._loader_of[agent_id] = loader
        self._loader_of.move_to_end(agent_id)
        if len(self._loader_of) > _STICKY_AGENTS:
            self._loader_of.popitem(last=False)

    def _record(
        self,
        step: TakeTurn,
        spec: AgentSpec,
        lease: LeaseInfo,
        reply: TurnReply,
        started_at: datetime,
        tools: tuple[ToolSpec, ...],
    ) -> TurnRecord:
        named: ModelReply | None = name_calls(reply.reply, step.turn) if reply.reply is not None else None
        return TurnRecord(
            task_id=step.task_id,
            turn=step.turn,
            try_number=step.try_number,
            agent_id=spec.agent_id,
            spec_hash=spec.spec_hash,
            prompt_hash=reply.prompt_hash,
            tools_hash=content_hash([tool.schema_hash for tool in tools]),
            reply=named,
            error=reply.error,
            sent=reply.sent,
            lease=lease,
            cost_microusd=bill_of(reply, lease),
            started_at=started_at,
            loader=reply.loader,
        )

    async def _settle(self, record: TurnRecord) -> None:
        """Tell the resource manager at once; if this is lost, it reads the same in the journal."""
        assert record.lease is not None
        lease = record.lease.lease_id
        try:
            if record.sent:
                body = SettleLease(lease_id=lease, cost_microusd=record.cost_microusd).encode()
                await self._parts.bus.call(subjects.endpoint("resources", "settle"), body)
            else:
                await self._release(lease)
        except EvolventError:
            return

    async def _release(self, lease: str) -> None:
        try:
            body = ReleaseLease(lease_id=lease).encode()
            await self._parts.bus.call(subjects.endpoint("resources", "release"), body)
        except EvolventError:
            return

    async def _ask_for_lease(self, body: bytes) -> LeaseReply:
        """Ask until the resource manager answers: the same lease_id gives the same lease."""
        settings = self._parts.settings
        subject = subjects.endpoint("resources", "lease")

        async def once() -> bytes:
            limit = settings.lease_wait_seconds + 5.0
            return await self._parts.bus.call(
                subject, body, timeout_seconds=limit, silence_seconds=settings.silence_seconds
            )

        try:
            limit = settings.service_wait_seconds
            return LeaseReply.decode(await patiently(once, clock=self._parts.clock, limit_seconds=limit))
        except EvolventError as error:
            return LeaseReply(error=_final(error), policy="stop")


def _out_of_time(task_id: str) -> ErrorInfo:
    message = f"Task {task_id!r} took longer than its timeout_seconds; allow it more."
    return ErrorInfo(code="task.timeout", category=Category.TIMEOUT, message=message, retryable=True)


def _final(error: EvolventError) -> ErrorInfo:
    return error.info().model_copy(update={"retryable": False})
