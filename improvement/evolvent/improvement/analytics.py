"""Pure: the platform's numbers, each with its meaning in one sentence, from facts. Without facts a number is None."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from evolvent.events.messages.insight_calls import Analytics, FailureShare, Measure, Serving
from evolvent.improvement.failure_mining import failures_since, trend_of
from evolvent.storage.insight_rows import FailurePattern
from evolvent.storage.learning_facts import LearningFacts, Period, Served

_DAY, _MONTH = timedelta(days=1), timedelta(days=30)
_USD = 1_000_000


def period_of(now: datetime) -> Period:
    """Return since when things are counted."""
    return Period(now.replace(hour=0, minute=0, second=0, microsecond=0), now - _DAY, now - _MONTH)


def analytics_of(facts: LearningFacts, patterns: Iterable[FailurePattern], now: datetime) -> Analytics:
    """Return everything that the facts say."""
    return Analytics(
        computed_at=now.isoformat(),
        mission=mission_of(facts),
        learning=learning_of(facts),
        specialties=tuple(
            Measure(name=name, value=_share(good, runs), unit="share", means=f"{good} of {runs} runs completed.")
            for name, (runs, good) in sorted(facts.specialties.items())
        ),
        serving=tuple(_serving(served) for served in facts.served_24h if served.runs),
        automations=facts.statuses,
        counts={
            "served": facts.served,
            "wrong": facts.wrong,
            "deoptimized": facts.deoptimized,
            "tokens_saved": facts.tokens_saved,
            "disputed_24h": facts.disputed_24h,
            "learner_tokens": facts.learner_tokens,
            "learner_usd": facts.learner_microusd / _USD,
        },
        failures=failure_shares(patterns, now),
    )


def mission_of(facts: LearningFacts) -> tuple[Measure, ...]:
    """Return the eight numbers of the mission."""
    runs = sum(served.runs for served in facts.served_24h)
    seconds = sum(served.duration_seconds for served in facts.served_24h)
    return (
        _count("agents_spawned_today", facts.spawned_today, "Agents that the platform spawned since midnight UTC."),
        _count("active_agents", facts.active_agents_24h, "Agents that took a model turn in the last 24 hours."),
        _count("patterns_discovered", facts.signatures[0], "Signatures that enough successful runs stand behind."),
        _count("automations_created", facts.automations, "Automations that were made, in any status."),
        _count("user_feedback_items", facts.said_24h, "What users said of runs in the last 24 hours."),
        Measure(
            name="cost_optimization",
            value=_share(facts.tokens_saved, facts.tokens_used + facts.tokens_saved),
            unit="share",
            means="Tokens that automations saved, as a share of those that all runs would have taken without them.",
        ),
        Measure(
            name="avg_response_time",
            value=_share(seconds, runs),
            unit="s",
            means="Mean time from the first to the last event of the live runs of the last 24 hours.",
        ),
        _satisfaction(facts),
    )


def learning_of(facts: LearningFacts) -> tuple[Measure, ...]:
    """Return how learning does."""
    _, recognised, seen = facts.signatures
    completed = sum(served.completed for served in facts.served_24h)
    usd = sum(served.cost_microusd for served in facts.served_24h) / _USD
    return (
        Measure(
            name="pattern_recognition_rate",
            value=_share(recognised, seen),
            unit="share",
            means="Share of the runs learnt from that did what enough others did too.",
        ),
        Measure(
            name="automation_success",
            value=_share(facts.served - facts.wrong, facts.served + facts.deoptimized),
            unit="share",
            means="Share of the runs that an automation began which it served to the end and nobody called wrong.",
        ),
        Measure(
            name="cost_efficiency",
            value=_share(completed, usd),
            unit="runs/USD",
            means="Live runs completed for each dollar in the last 24 hours.",
        ),
        _satisfaction(facts),
    )


def failure_shares(patterns: Iterable[FailurePattern], now: datetime) -> tuple[FailureShare, ...]:
    """Return how many patterns there are of each category and trend."""
    many: Counter[tuple[str, str]] = Counter()
    failures: Counter[tuple[str, str]] = Counter()
    for pattern in patterns:
        key = pattern.category, trend_of(pattern, now)
        many[key] += 1
        failures[key] += failures_since(pattern, now - _DAY)
    return tuple(
        FailureShare(category=category, trend=trend, patterns=count, failures_24h=failures[category, trend])
        for (category, trend), count in sorted(many.items())
    )


def _satisfaction(facts: LearningFacts) -> Measure:
    said, good = facts.opinions_30d
    return Measure(
        name="user_satisfaction",
        value=_share(good, said),
        unit="share",
        means="Share of the ratings and outcomes of the last 30 days that were good: a rating of 3 or more, or ok.",
    )


def _serving(served: Served) -> Serving:
    return Serving(
        served_by=served.served_by,
        runs=served.runs,
        completed=served.completed,
        tokens_per_run=served.tokens / served.runs,
        cost_usd_per_run=served.cost_microusd / served.runs / _USD,
    )


def _count(name: str, value: int, means: str) -> Measure:
    return Measure(name=name, value=value, means=means)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
