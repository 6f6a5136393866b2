"""Who may let an automation serve: the two profiles that everything is reported in."""

from __future__ import annotations

import json
from dataclasses import dataclass

from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.learner import LearningRules
from evolvent.improvement.promotion import rules_of, why_not_alone
from evolvent.improvement.settings import AutoPromote, ImprovementSettings, PrincipalsWanted

# The beds' clock runs through some hours and a benchmark through minutes: the window is no question here.
_WINDOW_HOURS = 24.0 * 365


@dataclass(frozen=True, slots=True)
class Profile:
    """What goes live without a person: `pilot` also what writes, `default` what only reads."""

    name: str
    auto_promote: AutoPromote
    principals_writes: int

    @property
    def serves_unlooked(self) -> bool:
        """Whether a request may be served that writes although nothing looks at some word of it, such as a name.

        The platform's own rule: who lets writes go live without a person lets these through as well.
        """
        return self.auto_promote == "writes"

    @property
    def settings(self) -> ImprovementSettings:
        """Three examples, and leave-one-out over the past."""
        wanted = PrincipalsWanted(reads=1, writes=self.principals_writes)
        return ImprovementSettings(
            auto_promote=self.auto_promote, min_principals=wanted, min_support=3, window_hours=_WINDOW_HOURS
        )

    @property
    def rules(self) -> LearningRules:
        """The same as the learner's rules."""
        return rules_of(self.settings)

    def lets(self, automation: Automation) -> bool:
        """Say whether a verified automation goes live by itself."""
        return why_not_alone(automation, self.settings) is None

    def environment(self) -> dict[str, str]:
        """The same as settings of a platform. It learns when it is told to, so that a benchmark is the same twice."""
        return {
            "EVOLVENT_LEARNING__AUTO_PROMOTE": self.auto_promote,
            "EVOLVENT_LEARNING__MIN_PRINCIPALS": json.dumps({"reads": 1, "writes": self.principals_writes}),
            "EVOLVENT_LEARNING__MIN_SUPPORT": "3",
            "EVOLVENT_LEARNING__WINDOW_HOURS": str(_WINDOW_HOURS),
            "EVOLVENT_LEARNING__LEARN_EVERY_SECONDS": "86400",
        }


PROFILES = {each.name: each for each in (Profile("pilot", "writes", 1), Profile("default", "reads", 2))}
