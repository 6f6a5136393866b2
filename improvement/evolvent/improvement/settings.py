"""Settings of the improvement floor. Built by the platform, never read from files here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from evolvent.improvement.insight_settings import InsightSettings

AutoPromote = Literal["none", "reads", "writes"]


class PrincipalsWanted(BaseModel):
    """How many distinct identities must stand behind what is learnt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads: int = Field(default=1, ge=1)
    """Behind what only reads."""
    writes: int = Field(default=2, ge=1)
    """Behind what changes anything."""


class ImprovementSettings(BaseModel):
    """How the improver learns and what it does on schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """False switches learning off: nothing is read or learnt. Feedback is still stored and other jobs still run."""
    auto_promote: AutoPromote = "reads"
    """What goes live without a person: `none`; `reads`, what changes nothing; `writes`, also what may be repeated."""
    may_ignore_words: bool | None = None
    """Whether requests may be served that write although nothing looks at some word of them, such as a name beside an
    e-mail address; without a word it is so where `auto_promote` is `writes`."""
    min_support: int = Field(default=3, ge=1)
    """Successful runs that must have done the same before it is worth a look."""
    window_hours: float = Field(default=24.0, gt=0)
    """How far back those runs may lie."""
    min_principals: PrincipalsWanted = PrincipalsWanted()
    """Distinct identities behind what is learnt: `{"reads": 1, "writes": 2}`, or one number for both."""
    min_agreement: float = Field(default=0.9, ge=0, le=1)
    """Share of the runs with the same words that must have done the same."""
    min_precision: float = Field(default=0.9, ge=0, le=1)
    """Share of past runs that must be predicted exactly by what was learnt without them."""
    prefetch: bool = True
    """Make the reads that a request's ids prove before its agent is asked, where no automation serves it."""
    hints: bool = False
    """Tell agents in a line what runs with the same words usually did, where no program could be learnt of them."""
    learn_every_seconds: int = Field(default=60, ge=1)
    """How often finished runs are learnt from."""
    learn_batch: int = Field(default=200, ge=1, le=5000)
    """Finished runs that one transaction learns from."""
    cache_examples: int = Field(default=20_000, ge=0)
    """Examples that the learner holds in memory, so as not to read them again at each run."""
    improve_every_seconds: int = Field(default=15, ge=1)
    """How often feedback that is not done with is looked at: whether an improver has answered."""
    proposals_per_day: int = Field(default=20, ge=0)
    """Better prompts of agents that are asked for in 24 hours; each is a request on goal `improvement`."""
    wake_every_seconds: int = Field(default=15, ge=1)
    """How often suspended runs whose time has come are looked for."""
    wake_again_seconds: float = Field(default=300.0, gt=0)
    """How long a run that was woken is left alone if it still sleeps: its request may wait in a queue."""
    retire_idle_days: int | None = Field(default=None, ge=1)
    """Spawned agents that nobody used for so many days are retired; None means never."""
    retention_days: int | None = Field(default=90, ge=1)
    """Recorded events of ended runs are deleted after so many days; None keeps them for ever."""
    retention_batch: int = Field(default=500, ge=1)
    """Runs whose events one transaction deletes."""
    unknown_run_tries: int = Field(default=10, ge=1)
    """Deliveries (one each second) after which feedback on a run that nobody recorded is stored without it."""
    schedule_poll_seconds: float = Field(default=5.0, gt=0)
    """How soon the keeper of users' schedules hears of one that was added at another process."""
    schedule_grace_seconds: float = Field(default=60.0, ge=0)
    """A planned time that is later than this was missed, and the schedule's own rule for missed times decides."""
    schedule_most_at_once: int = Field(default=100, ge=1, le=10_000)
    """Planned times of one schedule that are caught up with at once; older ones are dropped."""
    schedules_per_principal: int = Field(default=100, ge=0)
    """Schedules that one principal may have."""
    insights: InsightSettings = InsightSettings()
    """What is found out from ended runs: patterns of failures, numbers, forecasts."""
    lock_ttl_seconds: float = Field(default=15.0, gt=0)
    """How long the lease of a silent scheduler lasts; must be the age limit of the lock bucket."""

    @property
    def ignores_words(self) -> bool:
        """Whether words that nothing looks at keep no request from being served."""
        return self.auto_promote == "writes" if self.may_ignore_words is None else self.may_ignore_words

    @field_validator("min_principals", mode="before")
    @classmethod
    def _one_number_for_both(cls, value: Any) -> Any:
        return {"reads": value, "writes": value} if isinstance(value, int) else value
