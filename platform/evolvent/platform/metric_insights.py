"""What the improvement service found out, and what budgets will come to, as samples of the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from evolvent.events.messages.calls import BudgetView
from evolvent.events.messages.insight_calls import Analytics, Forecasts, Insights
from evolvent.platform import metric_names as names
from evolvent.platform.budget_outlook import outlooks, summed
from evolvent.platform.metric_names import Metric, Sample

RESULTS = ("served", "wrong", "deoptimized")
_BOUNDS = ("low", "expected", "high")
_COUNTS = (
    (names.TOKENS_SAVED, "tokens_saved"),
    (names.LEARNER_TOKENS, "learner_tokens"),
    (names.LEARNER_COST, "learner_usd"),
    (names.DISPUTED, "disputed_24h"),
)
INSIGHT_GAUGES: tuple[Metric, ...] = (
    *(names.MISSION, names.LEARNING, names.SPECIALTY_SUCCESS, names.RUNS_24H, names.TOKENS_PER_RUN),
    *(names.COST_PER_RUN, names.AUTOMATION_VERSIONS, names.AUTOMATION_RESULTS, names.FAILURE_PATTERNS),
    *(names.FAILURES_24H, names.FORECAST_COST, names.FORECAST_RUNS, names.BUDGET_USED_UP, names.INSIGHTS_AT),
    *(metric for metric, _ in _COUNTS),
)


def insight_samples(insights: Insights, budgets: Iterable[BudgetView], now: datetime) -> list[Sample]:
    """Return everything that was found out; a number without data has no sample."""
    found = insights.analytics
    if not found.computed_at:
        return []
    return [
        Sample(names.INSIGHTS_AT, (), datetime.fromisoformat(found.computed_at).timestamp()),
        *_numbers(found),
        *_served(found),
        *_failures(found),
        *_loads(insights.forecasts, now),
        *_spending(insights.forecasts, list(budgets), now),
    ]


def _numbers(found: Analytics) -> Iterator[Sample]:
    most = names.LABEL_LIMITS["specialty"]
    groups = ((names.MISSION, found.mission), (names.LEARNING, found.learning))
    for metric, measures in (*groups, (names.SPECIALTY_SUCCESS, found.specialties[:most])):
        for measure in measures:
            if measure.value is not None:
                yield Sample(metric, (measure.name,), measure.value)
    for metric, name in _COUNTS:
        yield Sample(metric, (), found.counts.get(name, 0))


def _served(found: Analytics) -> Iterator[Sample]:
    for serving in found.serving:
        yield Sample(names.RUNS_24H, (serving.served_by,), serving.runs)
        yield Sample(names.TOKENS_PER_RUN, (serving.served_by,), serving.tokens_per_run)
        yield Sample(names.COST_PER_RUN, (serving.served_by,), serving.cost_usd_per_run)
    for status, count in found.automations.items():
        yield Sample(names.AUTOMATION_VERSIONS, (status,), count)
    for result in RESULTS:
        yield Sample(names.AUTOMATION_RESULTS, (result,), found.counts.get(result, 0))


def _failures(found: Analytics) -> Iterator[Sample]:
    failures: Counter[str] = Counter()
    for share in found.failures:
        failures[share.category] += share.failures_24h
        yield Sample(names.FAILURE_PATTERNS, (share.category, share.trend), share.patterns)
    for category, count in failures.items():
        yield Sample(names.FAILURES_24H, (category,), count)


def _loads(forecasts: Forecasts, now: datetime) -> Iterator[Sample]:
    """Say how many runs of each goal are expected in the hour that is under way."""
    for each in forecasts.goals:
        if each.what != "runs" or not each.expected:
            continue
        for bound in _BOUNDS:
            if sums := summed([each], bound, now):
                yield Sample(names.FORECAST_RUNS, (each.goal, bound), sums[0])


def _spending(forecasts: Forecasts, budgets: list[BudgetView], now: datetime) -> Iterator[Sample]:
    shown = list(outlooks(budgets, forecasts, now).items())[: names.LABEL_LIMITS["goal"]]
    for goal, outlook in shown:
        values = (outlook.low_usd, outlook.expected_usd, outlook.high_usd)
        for bound, value in zip(_BOUNDS, values, strict=True):
            if value is not None:
                yield Sample(names.FORECAST_COST, (goal, bound), value)
        if outlook.used_up_at is not None:
            yield Sample(names.BUDGET_USED_UP, (goal,), outlook.used_up_at.timestamp())
