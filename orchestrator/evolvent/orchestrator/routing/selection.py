"""The choice among a goal's agents: how well each fits the message, as numbers that are kept with the decision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evolvent.events.language.agents import AgentSpec

_WORD = re.compile(r"[a-z0-9]{3,}")
_WEIGHTS = {"specialty_match": 0.6, "context_relevance": 0.4}


@dataclass(frozen=True, slots=True)
class Scored:
    """An agent and its scores, each from 0 to 1."""

    spec: AgentSpec
    scores: dict[str, float]

    @property
    def total(self) -> float:
        """The weighted sum of the scores."""
        return sum(_WEIGHTS[name] * value for name, value in self.scores.items())


def rank(agents: Sequence[AgentSpec], message: str) -> list[Scored]:
    """Return the agents, best first; equals stand in the order of their ids, so that every process agrees."""
    words = _words(message)
    scored = [Scored(spec, _scores(spec, words)) for spec in agents]
    return sorted(scored, key=lambda s: (-s.total, s.spec.agent_id))


def _scores(spec: AgentSpec, words: frozenset[str]) -> dict[str, float]:
    return {
        "specialty_match": _overlap(words, _words(f"{spec.specialty} {spec.description}")),
        "context_relevance": _overlap(words, _words(" ".join(str(v) for v in spec.parent_context.values()))),
    }


def _overlap(words: frozenset[str], about: frozenset[str]) -> float:
    return round(len(words & about) / len(about), 4) if about else 0.0


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower().replace("_", " ")))
