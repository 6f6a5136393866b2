"""Pure: what budgets and forecasts say together: what a goal will still spend today, and when its budget is used up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from evolvent.events.messages.calls import BudgetView
from evolvent.events.messages.insight_calls import Forecasts, GoalForecast
from evolvent.improvement.forecasting import later, sum_until, used_up_at
from evolvent.storage.budgets import ALL_GOALS, DEFAULT_GOAL, MAX_MICROUSD

_USD = 1_000_000
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a budget will come to today. `used_up_early` is the moment if more is spent than in 90 of 100 days."""

    goal: str
    expected_usd: float
    low_usd: float | None
    high_usd: float | None
    share: float | None
    """Of the daily budget, with what is spent and held already; None where there is no limit."""
    used_up_at: datetime | None
    used_up_early: datetime | None

    def sentence(self) -> str:
        """Say it to a person."""
        if self.used_up_at is not None:
            early = self.used_up_early
            is_earlier = early is not None and f"{early:%H:%M}" != f"{self.used_up_at:%H:%M}"
            at_worst = f", at worst at {early:%H:%M}" if is_earlier else ""
            return f"At this pace the daily budget of {self.goal} is used up at {self.used_up_at:%H:%M} UTC{at_worst}."
        bounds = "" if self.low_usd is None else f" ({self.low_usd:.2f} to {self.high_usd:.2f})"
        share = "" if self.share is None else f", {self.share:.0%} of its daily budget in all"
        worst = "" if self.used_up_early is None else f"; at worst it is used up at {self.used_up_early:%H:%M} UTC"
        return f"At this pace {self.goal} spends {self.expected_usd:.2f} USD{bounds} more today{share}{worst}."


def outlooks(budgets: Sequence[BudgetView], forecasts: Forecasts, now: datetime) -> dict[str, Outlook]:
    """Return what can be said of these budgets; one without any forecast is missing.

    Args:
        budgets: all of them: a goal that is not among them draws on `default`.
        forecasts: of every goal that ran.
        now: the present.
    """
    named = {view.goal for view in budgets if view.goal != ALL_GOALS and not view.is_default}
    costs = [each for each in forecasts.goals if each.what == "cost_microusd" and each.expected]
    found = {}
    for view in budgets:
        own = [each for each in costs if _draws_on(each.goal, named) == view.goal or view.goal == ALL_GOALS]
        if own:
            found[view.goal] = _outlook(view, own, now)
    return found


def of_goal(goal: str, found: dict[str, Outlook]) -> Outlook | None:
    """Return what can be said of the budget that a goal draws on."""
    return found.get(goal) or found.get(DEFAULT_GOAL)


def summed(forecasts: Iterable[GoalForecast], bound: str, now: datetime) -> list[float] | None:
    """Return the sums of several forecasts from this hour on, or None where one of them has no such bound."""
    total: list[float] = []
    for each in forecasts:
        sums = [value for value in getattr(each, bound) if value is not None]
        if len(sums) < len(each.expected):
            return None
        hours = int((now - datetime.fromisoformat(each.from_hour)) / _HOUR)
        rest = later(sums, hours)
        total = rest if not total else [one + other for one, other in zip(total, rest, strict=False)]
    return total


def _draws_on(goal: str, named: set[str]) -> str:
    return goal if goal in named else DEFAULT_GOAL


def _outlook(view: BudgetView, forecasts: Sequence[GoalForecast], now: datetime) -> Outlook:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    sums = {bound: summed(forecasts, bound, now) for bound in ("low", "expected", "high")}
    rest = {bound: None if said is None else sum_until(said, now, midnight) / _USD for bound, said in sums.items()}
    used = view.spent_microusd + view.leased_microusd
    is_capped = view.max_daily_microusd < MAX_MICROUSD
    ends = {
        bound: used_up_at(said, view.max_daily_microusd - used, now) if said and is_capped else None
        for bound, said in sums.items()
    }
    expected = rest["expected"] or 0.0
    return Outlook(
        goal=view.goal,
        expected_usd=expected,
        low_usd=rest["low"],
        high_usd=rest["high"],
        share=(used / _USD + expected) / (view.max_daily_microusd / _USD)
        if view.max_daily_microusd and is_capped
        else None,
        used_up_at=ends["expected"],
        used_up_early=ends["high"],
    )
