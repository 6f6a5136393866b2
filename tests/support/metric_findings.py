"""An improvement service that answers the metrics with findings that are known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from evolvent.events.bus import Call
from evolvent.events.messages.insight_calls import (
    Analytics,
    FailureShare,
    Forecasts,
    GoalForecast,
    Insights,
    Measure,
    Serving,
)
from evolvent.events.service import Endpoint, Service

MISSION = {
    "agents_spawned_today": 47.0,
    "active_agents": 12.0,
    "patterns_discovered": 8.0,
    "automations_created": 3.0,
    "user_feedback_items": 15.0,
    "cost_optimization": 0.08,
    "avg_response_time": 1.1,
    "user_satisfaction": 0.96,
}
LEARNING = {"pattern_recognition_rate": 0.5, "automation_success": 0.9, "cost_efficiency": 20.0}


def measures(values: Mapping[str, float]) -> tuple[Measure, ...]:
    return tuple(Measure(name=name, value=value) for name, value in values.items())


def findings(now: datetime) -> Insights:
    """What was found out: dear enough that the budget of `default` will not last."""
    sums = tuple(1e9 * (hour + 1) for hour in range(24))
    start = now.replace(minute=0, second=0, microsecond=0).isoformat()
    goals = tuple(
        GoalForecast(goal="default", what=what, from_hour=start, basis="mean", expected=sums, low=sums, high=sums)
        for what in ("cost_microusd", "runs")
    )
    return Insights(
        analytics=Analytics(
            computed_at=now.isoformat(),
            mission=measures(MISSION),
            learning=measures(LEARNING),
            specialties=measures({"assistant": 0.75}),
            serving=tuple(
                Serving(served_by=by, runs=runs, completed=runs, tokens_per_run=tokens, cost_usd_per_run=tokens / 1e6)
                for by, runs, tokens in (("agent", 3, 900.0), ("automation", 9, 30.0))
            ),
            automations={"live": 2, "rolled_back": 1},
            counts={"served": 9, "wrong": 1, "deoptimized": 2, "tokens_saved": 7830, "learner_tokens": 40},
            failures=(FailureShare(category="tool", trend="rising", patterns=2, failures_24h=7),),
        ),
        forecasts=Forecasts(computed_at=now.isoformat(), goals=goals),
    )


class Improvement(Service):
    """Answers as the improvement service does."""

    name: ClassVar[str] = "improvement"

    def endpoints(self) -> Mapping[str, Endpoint]:
        async def insights(_: Call) -> bytes:
            return findings(datetime.now(UTC)).encode()

        return {"insights": insights}
