"""Pure: what may go live without a person, and what is taken out of service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.automation import Automation, strongest
from evolvent.events.language.learning.learner import LearningRules
from evolvent.events.language.learning.signature_records import Support
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.improvement.settings import ImprovementSettings
from evolvent.storage.signatures import KnownSignature

GROWTH = 1.5
"""An automation is looked for again when its support has grown by so much since the last time."""
FEW = 6
"""Up to so many runs each one more may be the one that was missing."""
EVER = timedelta(days=36_500)
IN_USE = frozenset({"verified", "shadow", "canary", "live"})
FEEDBACK = "feedback"
"""Who takes an automation out of service because of what a user said."""
_READS = frozenset({Effect.PURE, Effect.READ})
_REPEATABLE = _READS | {Effect.IDEMPOTENT, Effect.KEYED}


def rules_of(settings: ImprovementSettings) -> LearningRules:
    """Return the learner's rules that these settings ask for."""
    return LearningRules(
        min_support=settings.min_support,
        window=timedelta(hours=settings.window_hours),
        min_principals_reads=settings.min_principals.reads,
        min_principals_writes=settings.min_principals.writes,
        min_agreement=settings.min_agreement,
        min_precision=settings.min_precision,
        min_phrasing=min(LearningRules().min_phrasing, settings.min_support),
    )


def why_not_alone(automation: Automation, settings: ImprovementSettings) -> str | None:
    """Return why a person has to approve a verified automation, or None where it goes live by itself."""
    effect = strongest((automation.effect, *(step.effect for step in automation.steps)))
    allowed = {"none": frozenset[Effect](), "reads": _READS, "writes": _REPEATABLE}[settings.auto_promote]
    if effect not in allowed:
        if effect is Effect.IRREVERSIBLE:
            return "What it does cannot be undone, so a person has to approve it."
        return f"It is {effect.value}, and learning.auto_promote is `{settings.auto_promote}`."
    if automation.needs_confirmation and not settings.ignores_words:
        ignored = ", ".join(automation.ignored_slots)
        return f"It writes although nothing looks at {ignored} of the request, so a person has to approve it."
    return None


def is_worth_trying(known: KnownSignature, tried_with: str) -> bool:
    """Say whether looking for an automation may come to something else than the last time."""
    if known.tried_support == 0 or known.tried_with != tried_with or known.disputed > known.tried_disputed:
        return True
    if known.tried_support < FEW:
        return known.support > known.tried_support
    return known.support >= GROWTH * known.tried_support


def standing(settings: ImprovementSettings, tools: Mapping[str, ToolSpec] | None) -> str:
    """Return a text that changes when the rules do, or any tool."""
    rules = settings.model_dump(mode="json", include=_RULES)
    return content_hash([rules, None if tools is None else sorted(_mark(spec) for spec in tools.values())])


def standing_of(known: KnownSignature, settings: ImprovementSettings, tools: Mapping[str, ToolSpec] | None) -> str:
    """Return a text that changes when the rules do, or a tool that this signature's name for its work mentions."""
    words = {step.strip("!*") for step in known.shape.split()}
    own = None if tools is None else {n: s for n, s in tools.items() if any(_is_of(word, n) for word in words)}
    return standing(settings, own)


def agreement_in_service(agreement: float, support: Support, served: int) -> float:
    """Return the share of runs with these words that did the same, with what the automation itself served.

    Its own runs support nothing, but were they left out here, the few that went another way would weigh more each day.
    """
    total = support.runs / agreement if agreement else 0.0
    return (support.runs + served) / (total + served) if total + served else 0.0


_RULES = {
    "auto_promote",
    "min_support",
    "window_hours",
    "min_principals",
    "min_agreement",
    "min_precision",
    "hints",
}


def _mark(spec: ToolSpec) -> tuple[str, str, str]:
    return spec.name, spec.schema_hash, spec.effect.value


def _is_of(step: str, tool: str) -> bool:
    rest = step.removeprefix(tool)
    return step.startswith(tool) and (rest == "" or rest == "_each" or rest[1:].isdigit())
