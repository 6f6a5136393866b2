"""What a message is meant for: one of the known workflows, or none of these.

A lexical comparison with examples, no weights and no model: words and pairs of words, rare ones counting more, by
cosine. An intent's likeness s is the mean of its most alike examples, up to five, and its confidence

    sqrt(s³ ÷ (Σ s³ of all intents + 0.05))

where the 0.05 stand for everything that is no intent: a message that is a little like something, or as much like two
things, means none of them. On CLINC150 (150 intents, a fifth as many requests that mean none) 0.7 serves a third of the
requests in scope, one or two in a hundred of them wrongly; tests/unit/orchestrator/test_intent.py measures it.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CONFIDENCE_THRESHOLD = 0.7
_WORD = re.compile(r"[^\W_]+")
_ENDINGS = ("ing", "ed", "es", "s")
_FUNCTION_WORDS = frozenset(
    {
        "a", "an", "the", "is", "are", "was", "were", "be", "been", "do", "does", "did", "can", "could", "would",
        "should", "will", "i", "me", "my", "you", "your", "we", "our", "it", "its", "this", "that", "these",
        "those", "of", "to", "in", "on", "at", "for", "from", "with", "by", "and", "or", "not", "please", "tell",
        "what", "which", "how", "when", "where", "who", "why", "there", "have", "has", "had", "need", "want",
        "know",
    }
)  # fmt: skip
_FUNCTION_WEIGHT = 0.25
_PAIR_WEIGHT = 0.6
_ALIKE_EXAMPLES = 5
_EXAMPLES_FOR_EACH = 8
"""Few examples are of few kinds: of less than sixteen, the one most alike counts."""
_NONE_OF_THESE = 0.05
_MAX_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Intent:
    """What a message is meant for; `primary_intent` None: none of the known ones. `likeliest` is the best guess."""

    primary_intent: str | None
    confidence: float = 0.0
    likeliest: str | None = None
    runner_up: str | None = None
    runner_up_confidence: float = 0.0


class IntentDetectionEngine:
    """Compares messages with the examples of intents."""

    def __init__(
        self,
        confidence_threshold: float = CONFIDENCE_THRESHOLD,
        examples: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self.confidence_threshold = confidence_threshold
        self._labels: list[str] = []
        counted: list[Counter[str]] = []
        for label, texts in (examples or {}).items():
            for features in filter(None, map(_features, dict.fromkeys(texts))):
                self._labels.append(label)
                counted.append(features)
        counts = Counter(self._labels)
        self._depth = {label: max(1, min(_ALIKE_EXAMPLES, n // _EXAMPLES_FOR_EACH)) for label, n in counts.items()}
        self._seen_in = Counter(feature for features in counted for feature in features)
        self._postings: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, features in enumerate(counted):
            for feature, weight in self._weighted(features).items():
                self._postings[feature].append((number, weight))

    def analyze_intent(self, message: str) -> Intent:
        """Return which intent a message has, how sure that is, and what came second."""
        found = self._likeness(message)
        if not found:
            return Intent(None)
        total = sum(likeness**3 for likeness in found.values()) + _NONE_OF_THESE
        ranked = heapq.nsmallest(2, found.items(), key=lambda item: (-item[1], item[0]))
        best, sure = ranked[0][0], _confidence(ranked[0][1], total)
        second = ranked[1] if len(ranked) > 1 else None
        return Intent(
            primary_intent=best if sure >= self.confidence_threshold else None,
            confidence=sure,
            likeliest=best,
            runner_up=second[0] if second else None,
            runner_up_confidence=_confidence(second[1], total) if second else 0.0,
        )

    def _likeness(self, message: str) -> dict[str, float]:
        cosines: defaultdict[int, float] = defaultdict(float)
        for feature, weight in self._weighted(_features(message)).items():
            for number, other in self._postings.get(feature, ()):
                cosines[number] += weight * other
        by_label: defaultdict[str, list[float]] = defaultdict(list)
        for number, cosine in cosines.items():
            by_label[self._labels[number]].append(cosine)
        return {
            label: sum(heapq.nlargest(self._depth[label], alike)) / self._depth[label]
            for label, alike in by_label.items()
        }

    def _weighted(self, features: Mapping[str, int]) -> dict[str, float]:
        """Return a vector of length 1; what stands in few examples, or in none, weighs most."""
        vector: dict[str, float] = {}
        for feature, count in features.items():
            rarity = math.log(1 + len(self._labels) / (self._seen_in[feature] + 0.5))
            words = feature.split()
            weight = (1 + math.log(count)) * rarity * (_PAIR_WEIGHT if len(words) > 1 else 1.0)
            vector[feature] = weight * (_FUNCTION_WEIGHT if _FUNCTION_WORDS.issuperset(words) else 1.0)
        length = math.sqrt(sum(weight * weight for weight in vector.values()))
        return {feature: weight / length for feature, weight in vector.items()} if length else {}


def _confidence(likeness: float, total: float) -> float:
    return round(math.sqrt(likeness**3 / total), 4)


def _features(text: str) -> Counter[str]:
    words = [_stem(word) for word in _WORD.findall(text[:_MAX_CHARACTERS].lower().replace("'", ""))]
    pairs = (f"{left} {right}" for left, right in zip(["^", *words], [*words, "$"], strict=True))
    return Counter([*words, *pairs]) if words else Counter()


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
