"""The orchestrator of a shop whose orders are served by what was learnt; and the same as a process that may die."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support import orders
from support.house import FAST, House
from support.neighbours import request_body

from evolvent.events.clock import SystemClock
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.learning.automation import Automation
from evolvent.events.messages.runs import RoutingDecision, RunEvent, WorkflowStarted
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.agent_orchestrator import AgentOrchestrator
from evolvent.orchestrator.routing.automations import LearntAutomations
from evolvent.orchestrator.routing.router import Sources
from evolvent.storage.agents import AgentStore
from evolvent.storage.automations import AutomationStore
from evolvent.storage.database import Databases
from evolvent.storage.live_automations import LiveAutomations
from evolvent.storage.runs import RunStore

CLERK = AgentSpec(agent_id="clerk", specialty="orders", system_prompt="Help.", model="m")


@dataclass
class Shop(House):
    """A house whose orchestrators serve by what is live in the store."""

    databases: Databases | None = None
    url: str = ""
    learnt: list[LearntAutomations] = field(default_factory=list)
    tells: bool = False

    @property
    def store(self) -> AutomationStore:
        assert self.databases is not None
        return AutomationStore(self.databases.definitions, SystemClock())

    async def open_orchestrator(self, **settings: object) -> AgentOrchestrator:
        assert self.databases is not None
        orchestrator, learnt = open_shop(self.bus, self.databases, tells=self.tells)
        self.orchestrators.append(orchestrator)
        self.learnt.append(learnt)
        await learnt.refresh()
        await orchestrator.start()
        return orchestrator

    async def teach(self, *automations: Automation) -> None:
        """Make automations live, and have them read."""
        for automation in automations:
            await self.store.put(automation, status="live")
        for each in self.learnt:
            await each.refresh()

    async def ask(self, message: str, **more: object) -> list[RunEvent]:
        """Return the events of a request's run, once it is over."""
        return await self.events(await self.publish(request_body(message, **more)))


def open_shop(
    bus: NatsBus, databases: Databases, *, tells: bool = False
) -> tuple[AgentOrchestrator, LearntAutomations]:
    """Return an orchestrator of the shop, and what it serves by."""
    clock, tools = SystemClock(), orders.registry()
    live = LiveAutomations(databases.definitions, AutomationStore(databases.definitions, clock))
    learnt = LearntAutomations(live, tools.offered_to, tells=tells)
    sources = Sources(AgentStore(databases.definitions, clock), automations=learnt)
    return AgentOrchestrator(bus, sources, RunStore(databases.records), tools, settings=FAST), learnt


def routing_of(events: list[RunEvent]) -> RoutingDecision:
    """Return how a run was routed."""
    assert isinstance(events[0], WorkflowStarted)
    return events[0].routing


async def _serve(url: str, folder: Path) -> None:
    databases = await Databases.open(folder)
    bus = await NatsBus.connect(url, name="dying")
    orchestrator, learnt = open_shop(bus, databases)
    await learnt.refresh()
    await orchestrator.start()
    print(json.dumps({"ready": len(learnt.library.by_id)}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], Path(sys.argv[2])))
