"""The choice among agents: six scores from 0 to 1 each, kept with the decision, so that it can be explained.

- `specialty_match`: how much of its specialty and description the message mentions
- `context_relevance`: the same of the context that it was made with
- `past_performance`: its share of successes, with two doubtful tries put before the first
- `resource_availability`: its free places ÷ max_concurrent_tasks
- `cost_efficiency`: the cheapest and the fastest agent's mean ÷ its own; 0.5 where nothing is known
- `user_preference`: ratings, those of whoever asks counting four times
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evolvent.events.language.agents import AgentSpec

WEIGHTS: Mapping[str, float] = {
    "specialty_match": 0.35,
    "context_relevance": 0.15,
    "past_performance": 0.2,
    "resource_availability": 0.15,
    "cost_efficiency": 0.05,
    "user_preference": 0.1,
}
_WORD = re.compile(r"[a-z0-9]{3,}")
_EMPTY = frozenset(
    {"the", "and", "for", "with", "that", "this", "are", "you", "specialist", "goal", "default", "focus"}
)
_OWN_RATING_COUNTS = 4


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an agent beside its spec. `mean_…` are of one model turn; None where it made none."""

    tries: int = 0
    successes: int = 0
    mean_cost: float | None = None
    mean_seconds: float | None = None
    in_hand: int = 0
    ratings: tuple[int, ...] = ()
    own_ratings: tuple[int, ...] = ()


_UNKNOWN = Standing()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent that could do it."""

    spec: AgentSpec
    standing: Standing = _UNKNOWN
    specialty_words: frozenset[str] = frozenset()
    context_words: frozenset[str] = frozenset()

    @classmethod
    def of(cls, spec: AgentSpec, standing: Standing | None = None) -> Candidate:
        """Return the candidate that a spec makes."""
        specialty = words_of(f"{spec.specialty} {spec.description}")
        context = words_of(" ".join(str(value) for value in spec.parent_context.values()))
        return cls(spec, standing or _UNKNOWN, specialty, context)


@dataclass(frozen=True, slots=True)
class Scored:
    """An agent and its scores."""

    spec: AgentSpec
    scores: dict[str, float]

    @property
    def total(self) -> float:
        """The weighted sum of the scores."""
        return sum(WEIGHTS[name] * value for name, value in self.scores.items())


def rank(candidates: Sequence[Candidate], message: str) -> list[Scored]:
    """Return the agents, best first; equals stand in the order of their ids, so that every process agrees."""
    words = words_of(message)
    costs = _least(c.standing.mean_cost for c in candidates)
    seconds = _least(c.standing.mean_seconds for c in candidates)
    scored = [Scored(c.spec, _scores(c, words, costs, seconds)) for c in candidates]
    return sorted(scored, key=lambda s: (-s.total, s.spec.agent_id))


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text that say what it is about."""
    return frozenset(_WORD.findall(text.lower().replace("_", " "))) - _EMPTY


def _scores(
    candidate: Candidate, words: frozenset[str], costs: float | None, seconds: float | None
) -> dict[str, float]:
    spec, standing = candidate.spec, candidate.standing
    free = max(0, spec.max_concurrent_tasks - standing.in_hand) / spec.max_concurrent_tasks
    return {
        "specialty_match": _overlap(words, candidate.specialty_words),
        "context_relevance": _overlap(words, candidate.context_words),
        "past_performance": round((standing.successes + 1) / (standing.tries + 2), 4),
        "resource_availability": round(free, 4),
        "cost_efficiency": round((_ratio(costs, standing.mean_cost) + _ratio(seconds, standing.mean_seconds)) / 2, 4),
        "user_preference": _preference(standing),
    }


def _overlap(words: frozenset[str], about: frozenset[str]) -> float:
    return round(len(words & about) / len(about), 4) if about else 0.0


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _ratio(least: float | None, own: float | None) -> float:
    if least is None or own is None:
        return 0.5
    return least / own if own > 0 else 1.0


def _preference(standing: Standing) -> float:
    """Return the mean rating as 0 to 1, with two middling ratings put before the first."""
    others, own = standing.ratings, standing.own_ratings
    count = 2 + len(others) + _OWN_RATING_COUNTS * len(own)
    total = 6 + sum(others) + _OWN_RATING_COUNTS * sum(own)
    return round((total / count - 1) / 4, 4)
