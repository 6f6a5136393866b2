"""Settings of what is found out from ended runs. Built by the platform, never read from files here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Remedy = Literal[
    "retry", "other_model", "raise_timeout", "raise_budget", "fix_schema", "circuit_break", "ask_person", "none"
]


class InsightSettings(BaseModel):
    """How often is looked for what ended runs say, and what is done about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count_every_seconds: int = Field(default=60, ge=1)
    """How often ended runs are counted and failures are sorted into patterns."""
    analytics_every_seconds: int = Field(default=60, ge=1)
    """How often the numbers of `evolvent status` are worked out."""
    forecast_every_seconds: int = Field(default=900, ge=1)
    """How often cost and load of the coming day are forecast."""
    batch: int = Field(default=200, ge=1, le=5000)
    """Ended runs that one transaction counts."""
    kept_days: int = Field(default=90, ge=15)
    """Hours are kept for so many days, and patterns of failures for so many after they were last seen."""
    failure_pattern_min: int = Field(default=3, ge=1)
    """Failures of one pattern after which it is told of on the bus."""
    remedies: dict[str, Remedy] = {}
    """What to propose against a failure, by error code or category: `{"tool.timeout": "ask_person"}`; a code wins."""
    prewarm: bool = False
    """True has loaders hold the agents that the coming hour will need, by the pattern of past weeks and days."""
    prewarm_most: int = Field(default=10, ge=1, le=1000)
    """Agents that are warmed for one hour."""
    prewarm_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the same hours of past weeks or days in which an agent must have been used."""
