from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evolvent.events.messages.calls import BudgetView
from evolvent.events.messages.insight_calls import (
    Analytics,
    FailureShare,
    Forecasts,
    GoalForecast,
    Insights,
    Measure,
    Serving,
)
from evolvent.platform.budget_outlook import of_goal, outlooks
from evolvent.platform.metric_insights import INSIGHT_GAUGES, insight_samples
from evolvent.storage.budgets import MAX_MICROUSD

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def budget(goal: str = "default", cap: int = 10_000_000, spent: int = 0, *, is_default: bool = False) -> BudgetView:
    return BudgetView(
        goal=goal,
        day="2026-03-04",
        max_agents=1,
        max_concurrent=1,
        max_daily_microusd=cap,
        spent_microusd=spent,
        is_default=is_default,
    )


def costs(goal: str, an_hour: float, *, has_bounds: bool = True, start: datetime = NOON) -> GoalForecast:
    sums = [an_hour * (hour + 1) for hour in range(24)]
    none = (None,) * 24
    return GoalForecast(
        goal=goal,
        what="cost_microusd",
        from_hour=start.isoformat(),
        basis="mean",
        expected=tuple(sums),
        low=tuple(value / 2 for value in sums) if has_bounds else none,
        high=tuple(value * 2 for value in sums) if has_bounds else none,
    )


def test_a_budget_that_will_not_last_says_when_it_ends() -> None:
    found = outlooks([budget(spent=6_000_000)], Forecasts(goals=(costs("default", 1_000_000),)), NOON)
    outlook = found["default"]
    assert outlook.used_up_at == NOON + timedelta(hours=4)
    assert outlook.sentence() == (
        "At this pace the daily budget of default is used up at 16:00 UTC, at worst at 14:00."
    )


def test_a_budget_that_lasts_says_what_will_be_spent() -> None:
    found = outlooks([budget(spent=1_000_000)], Forecasts(goals=(costs("default", 100_000),)), NOON)
    assert found["default"].sentence() == (
        "At this pace default spends 1.20 USD (0.60 to 2.40) more today, 22% of its daily budget in all."
    )


def test_without_a_known_error_there_is_no_interval_and_without_a_limit_no_share() -> None:
    forecasts = Forecasts(goals=(costs("default", 100_000, has_bounds=False),))
    (outlook,) = outlooks([budget(cap=MAX_MICROUSD)], forecasts, NOON).values()
    assert outlook.sentence() == "At this pace default spends 1.20 USD more today."


def test_goals_without_a_budget_of_their_own_draw_on_the_default_and_all_on_the_platform() -> None:
    goals = (costs("default", 1e5), costs("invented", 2e5), costs("rich", 4e5))
    views = [budget("*"), budget(), budget("rich")]
    found = outlooks(views, Forecasts(goals=goals), NOON)
    spent = {goal: round(outlook.expected_usd, 6) for goal, outlook in found.items()}
    assert spent == {"*": 8.4, "default": 3.6, "rich": 4.8}
    assert of_goal("invented", found) is found["default"]
    assert of_goal("rich", found) is found["rich"]


def test_a_forecast_that_is_an_hour_old_is_read_from_this_hour_on() -> None:
    old = Forecasts(goals=(costs("default", 1e6, start=NOON - timedelta(hours=1)),))
    found = outlooks([budget(spent=6_000_000)], old, NOON)
    assert found["default"].used_up_at == NOON + timedelta(hours=4)


def test_a_goal_of_which_nothing_can_be_said_is_missing() -> None:
    silent = GoalForecast(goal="default", what="cost_microusd", from_hour=NOON.isoformat(), basis="none")
    assert outlooks([budget()], Forecasts(goals=(silent,)), NOON) == {}


def test_every_gauge_of_the_findings_has_a_sample_and_numbers_without_data_none() -> None:
    analytics = Analytics(
        computed_at=NOON.isoformat(),
        mission=(Measure(name="active_agents", value=3), Measure(name="user_satisfaction")),
        learning=(Measure(name="automation_success", value=0.5),),
        specialties=(Measure(name="assistant", value=1.0),),
        serving=(Serving(served_by="agent", runs=2, completed=2, tokens_per_run=30, cost_usd_per_run=0.01),),
        automations={"live": 2},
        counts={"served": 4, "wrong": 1},
        failures=(FailureShare(category="tool", trend="new", patterns=1, failures_24h=5),),
    )
    load = costs("default", 6.0).model_copy(update={"what": "runs"})
    forecasts = Forecasts(goals=(costs("default", 1e6), load))
    samples = insight_samples(Insights(analytics=analytics, forecasts=forecasts), [budget()], NOON)
    assert {sample.metric.name for sample in samples} == {metric.name for metric in INSIGHT_GAUGES}
    told = {(sample.metric.name, *sample.labels): sample.value for sample in samples}
    assert ("evolvent_mission", "user_satisfaction") not in told
    assert told["evolvent_mission", "active_agents"] == 3
    assert told["evolvent_forecast_runs", "default", "expected"] == 6
    assert told["evolvent_forecast_cost_usd", "default", "expected"] == pytest.approx(12)
    assert told["evolvent_budget_used_up_timestamp_seconds", "default"] == (NOON + timedelta(hours=10)).timestamp()
    assert insight_samples(Insights(), [budget()], NOON) == []
