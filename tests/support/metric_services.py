"""Services that answer the metrics' questions with what is known, in place of those that do the work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from evolvent.events.bus import Call
from evolvent.events.messages.calls import BudgetList, BudgetView, LoaderStats
from evolvent.events.service import Endpoint, Service
from evolvent.storage.budgets import MAX_MICROUSD

BUDGETS = BudgetList(
    budgets=(
        BudgetView(goal="*", day="2026-11-21", max_agents=0, max_concurrent=0, max_daily_microusd=50_000_000),
        BudgetView(goal="free", day="2026-11-21", max_agents=1, max_concurrent=1, max_daily_microusd=MAX_MICROUSD),
        BudgetView(
            goal="default",
            day="2026-11-21",
            max_agents=100,
            max_concurrent=10,
            max_daily_microusd=10_000_000,
            agents=3,
            concurrent=2,
            spent_microusd=9_500_000,
            leased_microusd=250_000,
        ),
    )
)


class Resources(Service):
    """Answers as the resource manager does, with budgets that are known."""

    name: ClassVar[str] = "resources"

    def endpoints(self) -> Mapping[str, Endpoint]:
        async def budgets(_: Call) -> bytes:
            return BUDGETS.encode()

        return {"budgets": budgets}


class Loader(Service):
    """Answers as a loader does, with stats that are known."""

    name: ClassVar[str] = "loader"

    def own_endpoints(self) -> Mapping[str, Endpoint]:
        async def stats(_: Call) -> bytes:
            return LoaderStats(
                loader=self.instance, resident=7, in_use=2, max_active_agents=50, activations=9, evictions=2, hits=5
            ).encode()

        return {"stats": stats}


class Orchestrator(Service):
    name: ClassVar[str] = "orchestrator"
