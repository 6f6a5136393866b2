"""Pure: what may help against a kind of failure. What settings say comes first, and a code before a category."""

from __future__ import annotations

from collections.abc import Mapping

from evolvent.events.errors import Category
from evolvent.improvement.insight_settings import Remedy

REMEDIES: Mapping[str, Remedy] = {
    "budget.exceeded": "raise_budget",
    "budget.agents": "raise_budget",
    "model.quota_exhausted": "raise_budget",
    "model.rate_limited": "other_model",
    "model.timeout": "other_model",
    "model.unavailable": "other_model",
    "model.refused": "fix_schema",
    "model.failed": "other_model",
    "model.bad_response": "other_model",
    "price.unknown": "ask_person",
    "tool.timeout": "raise_timeout",
    "tool.failed": "circuit_break",
    "tool.outcome_unknown": "ask_person",
    "loader.busy": "retry",
    "loader.no_room": "retry",
    Category.AGENT: "other_model",
    Category.TOOL: "circuit_break",
    Category.NETWORK: "retry",
    Category.PERMISSION: "ask_person",
    Category.VALIDATION: "fix_schema",
    Category.TIMEOUT: "raise_timeout",
    Category.RESOURCE: "retry",
    Category.SYSTEM: "ask_person",
}
ADVICE: Mapping[Remedy, str] = {
    "retry": "It passes by itself: let it be tried again later, with a longer pause between tries.",
    "other_model": "Have another model or endpoint answer, as the agent's fallback.",
    "raise_timeout": "Give it more time, or less work at once.",
    "raise_budget": "Raise the limit: `evolvent budget set GOAL --daily USD` or `--agents N`.",
    "fix_schema": "Correct what is asked: the schema, the arguments or the prompt that leads to them.",
    "circuit_break": "Leave it alone until it works again: keep its circuit breaker on, and repair it.",
    "ask_person": "A person must look at it: rights, settings or an outcome that nobody knows.",
    "none": "Nothing is proposed.",
}


def remedy_for(category: str, code: str, overrides: Mapping[str, Remedy]) -> Remedy:
    """Return what to propose: the first of both tables that knows the code, else the category, else a person."""
    for name in (code, category):
        for table in (overrides, REMEDIES):
            if name in table:
                return table[name]
    return "ask_person"
