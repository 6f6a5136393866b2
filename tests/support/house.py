"""A house of the orchestrator: the real one on a real bus, and neighbours that a test plays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.neighbours import PlayedLoader, PlayedResources, Say, request_body

from evolvent.events import subjects
from evolvent.events.clock import SystemClock
from evolvent.events.journal import Journal
from evolvent.events.messages.runs import FINAL_TYPES, RunEvent
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import REQUESTS
from evolvent.orchestrator.agent_orchestrator import AgentOrchestrator
from evolvent.orchestrator.settings import OrchestratorSettings
from evolvent.orchestrator.tools import ToolRegistry
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.runs import RunStore

FAST = OrchestratorSettings(
    ack_wait_seconds=2.0, lease_wait_seconds=1.0, service_wait_seconds=3.0, turn_timeout_seconds=5.0
)


@dataclass
class House:
    """An orchestrator and its played neighbours."""

    bus: NatsBus
    stores: tuple[AgentStore, RunStore]
    loader: PlayedLoader
    resources: PlayedResources
    orchestrators: list[AgentOrchestrator] = field(default_factory=list)

    async def open_orchestrator(self, **settings: Any) -> AgentOrchestrator:
        registry = ToolRegistry()
        registry.load_modules(["support.effects"])
        orchestrator = AgentOrchestrator(self.bus, *self.stores, registry, settings=FAST.model_copy(update=settings))
        self.orchestrators.append(orchestrator)
        await orchestrator.start()
        return orchestrator

    async def publish(self, body: bytes | None = None, subject: str = "evolvent.requests.medium.default") -> str:
        data = body if body is not None else request_body()
        receipt = await self.bus.append(subject, data)
        try:
            given = json.loads(data).get("run_id")
        except ValueError:
            given = None
        created = (await self.bus.admin.stream_state(REQUESTS)).created_at
        return given or subjects.run_id_of(created, receipt.sequence)

    async def events(self, run_id: str, *, until: str = "workflow_") -> list[RunEvent]:
        """The run's events once the last one is final, suspended or of the type given."""
        journal = Journal(self.bus)
        for _ in range(400):
            entries = await journal.read(run_id)
            last = entries[-1].event.type if entries else ""
            if last in FINAL_TYPES or last == "workflow_suspended" or (until != "workflow_" and last == until):
                return [entry.event for entry in entries]
            await asyncio.sleep(0.02)
        raise AssertionError(f"{run_id} stands at {[e.event.type for e in entries]}")

    async def until_acked(self, *, left: int = 0) -> None:
        for _ in range(400):
            if (await self.bus.admin.stream_state(REQUESTS)).messages == left:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("a request is still in its stream")

    async def until(self, event_type: str, run_id: str) -> None:
        for _ in range(400):
            last = await Journal(self.bus).last(run_id)
            if last is not None and last.event.type == event_type:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{run_id} never came to {event_type}")

    async def until_commands_done(self) -> None:
        for _ in range(400):
            state = await self.bus.admin.consumer_state("COMMANDS", "orchestrator_commands")
            if not state.pending and not state.ack_pending:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("a command is still in hand")


MakeHouse = Callable[..., Any]


@pytest.fixture
async def house(bus: NatsBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeHouse]:
    monkeypatch.setenv("EFFECTS_FILE", str(tmp_path / "effects"))
    (tmp_path / "effects").touch()
    databases = await Databases.open(tmp_path / "db")
    stack = AsyncExitStack()

    async def make(
        *script: Say, policy: str | None = None, gate: asyncio.Event | None = None, **settings: Any
    ) -> House:
        loader, resources = PlayedLoader(bus, list(script), gate=gate), PlayedResources(bus, policy=policy)
        stores = AgentStore(databases.definitions, SystemClock()), RunStore(databases.records)
        made = House(bus, stores, loader, resources)
        for service in (loader, resources):
            await service.start()
            stack.push_async_callback(service.stop, drain_seconds=0)
        await made.open_orchestrator(**settings)
        stack.push_async_callback(_stop_all, made)
        return made

    yield make
    await stack.aclose()
    await databases.close()


async def _stop_all(house: House) -> None:
    for orchestrator in house.orchestrators:
        await orchestrator.stop(drain_seconds=0.2)


def effects(tmp_path: Path) -> list[str]:
    return (tmp_path / "effects").read_text().splitlines()


def types(events: list[RunEvent]) -> list[str]:
    return [event.type for event in events]
