"""Who may let an automation serve: the two profiles that everything is reported in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.learner import LearningRules
from evolvent.events.language.tools import Effect

# The beds' clock runs through some hours and a benchmark through minutes: the window is no question here.
_WINDOW = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Profile:
    """What goes live without a person: `pilot` also what writes, `default` what only reads."""

    name: str
    auto_promote: Literal["reads", "writes"]
    min_principals_writes: int

    @property
    def rules(self) -> LearningRules:
        """Three examples and leave-one-out over the past."""
        return LearningRules(window=_WINDOW, min_principals_writes=self.min_principals_writes)

    def lets(self, automation: Automation) -> bool:
        """Say whether a verified automation goes live by itself."""
        return self.auto_promote == "writes" or automation.effect in (Effect.PURE, Effect.READ)

    def environment(self) -> dict[str, str]:
        """The same as settings of a platform."""
        principals = {"reads": 1, "writes": self.min_principals_writes}
        return {
            "EVOLVENT_LEARNING__AUTO_PROMOTE": self.auto_promote,
            "EVOLVENT_LEARNING__MIN_PRINCIPALS": str(principals).replace("'", '"'),
            "EVOLVENT_LEARNING__MIN_SUPPORT": "3",
        }


PROFILES = {each.name: each for each in (Profile("pilot", "writes", 1), Profile("default", "reads", 2))}
