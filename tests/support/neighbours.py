"""The orchestrator's neighbours on the bus, played by a test: a loader that follows a script, a generous treasurer."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from evolvent.events.bus import Call
from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.conversation import ModelReply, ToolCall, Usage
from evolvent.events.messages.calls import (
    AgentReply,
    InvokeTurn,
    LeaseReply,
    LeaseRequest,
    ReleaseLease,
    SettleLease,
    SpawnAgent,
    TurnReply,
)
from evolvent.events.messages.runs import LeaseInfo, Price
from evolvent.events.service import Endpoint, Service

Say = str | list[tuple[str, dict[str, Any]]] | ErrorInfo


class PlayedLoader(Service):
    """Answers turn k of every run with the k-th line of its script; counts what it was asked."""

    name = "loader"

    def __init__(self, bus: Any, script: list[Say], *, gate: asyncio.Event | None = None) -> None:
        super().__init__(bus)
        self.script = script
        self.gate = gate
        self.asked: dict[str, list[InvokeTurn]] = defaultdict(list)
        self.called = asyncio.Event()

    def endpoints(self) -> Mapping[str, Endpoint]:
        return {"invoke": self._invoke, "spawn": self._spawn}

    async def _invoke(self, call: Call) -> bytes:
        turn = InvokeTurn.decode(call.data)
        self.asked[turn.run_id].append(turn)
        self.called.set()
        if self.gate is not None:
            await self.gate.wait()
        said = self.script[min(turn.turn, len(self.script) - 1)]
        if isinstance(said, ErrorInfo):
            return TurnReply(error=said, loader=self.instance).encode()
        usage = Usage(prompt_tokens=100, completion_tokens=10)
        if isinstance(said, str):
            return TurnReply(reply=ModelReply(text=said, usage=usage, model="m"), loader=self.instance).encode()
        calls = tuple(ToolCall(call_id=f"x{i}", name=n, arguments=a) for i, (n, a) in enumerate(said))
        return TurnReply(reply=ModelReply(tool_calls=calls, usage=usage, model="m"), loader=self.instance).encode()

    async def _spawn(self, call: Call) -> bytes:
        wanted = SpawnAgent.decode(call.data)
        spec = AgentSpec(
            agent_id=f"{wanted.specialty}_00000001",
            specialty=wanted.specialty,
            system_prompt="Help.",
            model="m",
            goal=wanted.goal,
        )
        return AgentReply(spec=spec).encode()


class PlayedResources(Service):
    """Grants every lease, unless told to refuse; keeps its own books."""

    name = "resources"

    def __init__(self, bus: Any, *, policy: str | None = None) -> None:
        super().__init__(bus)
        self.policy = policy
        self.is_full = False
        self.leases: list[LeaseRequest] = []
        self.settled: dict[str, int] = {}
        self.released: set[str] = set()
        self.refused = asyncio.Event()

    def endpoints(self) -> Mapping[str, Endpoint]:
        return {"lease": self._lease, "settle": self._settle, "release": self._release}

    async def _lease(self, call: Call) -> bytes:
        ask = LeaseRequest.decode(call.data)
        self.leases.append(ask)
        if self.is_full:
            await asyncio.sleep(ask.wait_seconds)
            busy = ErrorInfo(code="budget.concurrent", category=Category.RESOURCE, message="Full.", retryable=True)
            return LeaseReply(error=busy, policy="queue").encode()
        if self.policy is not None:
            self.refused.set()
            error = ErrorInfo(code="budget.exceeded", category=Category.RESOURCE, message="No budget left.")
            return LeaseReply(error=error, policy=self.policy).encode()
        lease = LeaseInfo(
            lease_id=ask.lease_id,
            goal=ask.goal,
            model=ask.model,
            held_microusd=5000,
            price=Price(input=2.0, output=10.0),
        )
        return LeaseReply(lease=lease).encode()

    async def _settle(self, call: Call) -> bytes:
        body = SettleLease.decode(call.data)
        self.settled[body.lease_id] = body.cost_microusd
        return b"{}"

    async def _release(self, call: Call) -> bytes:
        self.released.add(ReleaseLease.decode(call.data).lease_id)
        return b"{}"


def request_body(message: str = "hello", **more: Any) -> bytes:
    return json.dumps({"message": message, **more}).encode()
