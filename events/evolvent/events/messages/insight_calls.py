"""Service calls about what ended runs say: patterns of failures, the platform's numbers, and forecasts."""

from __future__ import annotations

from pydantic import Field

from evolvent.events.envelope import Message


class FailuresQuery(Message):
    """improvement.failures: patterns with at least so many failures that were seen in the last days, latest first."""

    min_failures: int = Field(default=1, ge=1)
    days: int = Field(default=7, ge=1, le=3650)
    limit: int = Field(default=50, gt=0, le=500)


class FailureQuery(Message):
    """improvement.failure: which; the beginning of its id is enough where only one begins so."""

    pattern_id: str = Field(min_length=1, max_length=64, pattern="^[0-9a-f]+$")


class FailureRow(Message):
    """Failures that are the same but for values.

    `kind` and `subject` say what failed, `failed_runs` how many runs ended by it; `trend` compares the last 24 hours to
    those before: new, rising, steady, falling or quiet. `remedy` is proposed; nothing is done by itself.
    """

    pattern_id: str
    category: str
    code: str
    kind: str
    subject: str
    message: str
    failures: int
    failures_24h: int
    failed_runs: int
    trend: str
    remedy: str
    first_seen: str
    last_seen: str
    goals: dict[str, int] = {}


class FailureList(Message):
    """What improvement.failures gives."""

    patterns: tuple[FailureRow, ...] = ()


class FailureView(Message):
    """What improvement.failure gives: also what may help, and its latest runs."""

    pattern: FailureRow
    advice: str
    runs: tuple[str, ...] = ()


class Measure(Message):
    """A number and what it means in one sentence. `value` is None where there is nothing yet to make it of."""

    name: str
    value: float | None = None
    unit: str = ""
    means: str = ""


class Serving(Message):
    """What live runs of the last 24 hours came to, by what served them."""

    served_by: str
    runs: int
    completed: int
    tokens_per_run: float
    cost_usd_per_run: float


class FailureShare(Message):
    """How many patterns of a category there are with a trend, and their failures in the last 24 hours."""

    category: str
    trend: str
    patterns: int
    failures_24h: int


class GoalForecast(Message):
    """What is expected of a goal from an hour on: sums up to the end of each hour; empty where nothing can be said.

    `what` is `cost_microusd` or `runs`. In 80 of 100 cases the sum lies between `low` and `high`; None: not known yet.
    """

    goal: str
    what: str
    from_hour: str
    basis: str
    expected: tuple[float, ...] = ()
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


class Analytics(Message):
    """What the job `analytics` found."""

    computed_at: str = ""
    mission: tuple[Measure, ...] = ()
    learning: tuple[Measure, ...] = ()
    specialties: tuple[Measure, ...] = ()
    serving: tuple[Serving, ...] = ()
    automations: dict[str, int] = {}
    """Versions of automations by status."""
    counts: dict[str, float] = {}
    """What automations did so far, what learning cost, and how many runs were disputed in the last 24 hours."""
    failures: tuple[FailureShare, ...] = ()


class Forecasts(Message):
    """What the job `forecasts` found."""

    computed_at: str = ""
    goals: tuple[GoalForecast, ...] = ()


class Insights(Message):
    """What improvement.insights gives; a part is empty until its job ran."""

    analytics: Analytics = Analytics()
    forecasts: Forecasts = Forecasts()
