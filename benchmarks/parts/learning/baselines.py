"""What others do, in the same replay: a semantic cache, and a cache of plan templates that a small model adapts.

Both start cold, keep every run that the agent made, and are judged as automations are: by the records that changed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.parts.learning.rows import Values
from support.learning_bed.bed import Bed
from support.learning_bed.offline import Offline, OfflineRun
from support.learning_bed.requests import BedRequest
from support.learning_bed.world import Ask

from evolvent.events.language.learning.run_shapes import effect_slice

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95)
SMALL_PRICE = 0.06
"""What a token of the small model costs in tokens of the large one: 0.15 to 2.50 USD, as gpt-4o-mini to gpt-4o."""
_KEYWORD_PROMPT = 400
_TEMPLATE_PROMPT = 600
_WORD = re.compile(r"[a-z]+")
_RARE = 0.1


@dataclass
class _Index:
    """TF-IDF over the requests so far: the weight of a word follows from all of them."""

    documents: list[Counter[str]] = field(default_factory=list)
    frequency: Counter[str] = field(default_factory=Counter)

    def add(self, text: str) -> None:
        words = Counter(re.findall(r"\w+", text.casefold()))
        self.documents.append(words)
        self.frequency.update(words.keys())

    def nearest(self, text: str) -> tuple[float, int]:
        """The cosine and place of the nearest document; -1 where there is none."""
        asked = self._weighted(Counter(re.findall(r"\w+", text.casefold())))
        best, place = 0.0, -1
        for number, document in enumerate(self.documents):
            near = self._weighted(document)
            norm = math.sqrt(_dot(asked, asked) * _dot(near, near))
            cosine = _dot(asked, near) / norm if norm else 0.0
            if cosine > best:
                best, place = cosine, number
        return best, place

    def _weighted(self, words: Counter[str]) -> dict[str, float]:
        total = len(self.documents) + 1
        return {word: count * (math.log(total / (1 + self.frequency[word])) + 1) for word, count in words.items()}


def semantic_cache(bed: Bed, threshold: float) -> Values:
    """Replay the calls of the nearest past request, word for word, where it is near enough."""
    offline = Offline(bed.world, bed.agent, agent_id=f"bed_{bed.world.name}")
    index, runs = _Index(), list[OfflineRun]()
    served = wrong = agent_wrong = 0
    tokens_all = tokens_spent = 0
    for request in bed.requests:
        run = offline.run(request)
        tokens_all += run.trace.tokens
        cosine, place = index.nearest(request.text)
        if place >= 0 and cosine >= threshold:
            served += 1
            wrong += not _replays_right(bed, offline, request, runs[place])
            continue
        tokens_spent += run.trace.tokens
        agent_wrong += not run.is_right
        index.add(request.text)
        runs.append(run)
    return _values(bed, served, wrong, agent_wrong, tokens_all, tokens_spent) | {"threshold": threshold}


def _replays_right(bed: Bed, offline: Offline, request: BedRequest, past: OfflineRun) -> bool:
    calls = past.trace.calls
    for number, call in enumerate(calls):
        bed.world.call(offline.desk, "cached", Ask(call.name, call.arguments), step=number)
    changes = offline.desk.changes(bed.world.name, "cached")
    offline.desk.forget(bed.world.name, "cached")
    return bed.judge(request, changes, past.closing.text).is_right


def plan_cache(bed: Bed, *, knows_intents: bool) -> Values:
    """Find a plan by a keyword, and let a small model adapt it.

    The small model fills in every argument without a fault, always, which is in the baseline's favour: what goes
    wrong is only that the plan found writes other things than this request wants. A keyword is what the request asks
    for, clause by clause, as the bed knows it (`knows_intents`: the best keyword there can be, so a bound), or the
    common words of the text. A hit costs small-model tokens: one call for the keyword, then each of the run's turns
    with the plan in place of the agent's instructions. A miss costs the keyword and the agent's run.
    """
    offline = Offline(bed.world, bed.agent, agent_id=f"bed_{bed.world.name}")
    common = Counter[str]()
    plans: dict[tuple[str, ...], OfflineRun] = {}
    served = wrong = agent_wrong = 0
    tokens_all = large = small = 0
    for seen, request in enumerate(bed.requests):
        run = offline.run(request)
        tokens_all += run.trace.tokens
        small += (_KEYWORD_PROMPT + len(request.text)) // 4
        key = tuple(sorted(request.intents)) if knows_intents else _keyword(request.text, common, seen)
        common.update(set(_WORD.findall(request.text)))
        plan = plans.get(key)
        if plan is not None:
            served += 1
            wrong += effect_slice(plan.trace) != effect_slice(run.trace)
            small += _adapted(bed, request, run, plan)
            continue
        large += run.trace.tokens
        agent_wrong += not run.is_right
        plans[key] = run
    spent = large + small
    values = _values(bed, served, wrong, agent_wrong, tokens_all, spent)
    cost = large + small * SMALL_PRICE
    return values | {"cost_saved": round(1 - cost / tokens_all, 4), "knows_intents": knows_intents}


def _keyword(text: str, common: Counter[str], seen: int) -> tuple[str, ...]:
    return tuple(sorted({word for word in _WORD.findall(text) if seen and common[word] >= _RARE * seen}))


def _adapted(bed: Bed, request: BedRequest, run: OfflineRun, plan: OfflineRun) -> int:
    """Tokens of the small model that goes through a run with the plan before it."""
    steps = sum(len(call.name) + 40 * len(call.arguments) for call in plan.trace.calls)
    instructions = len(bed.world.system_prompt) // 4
    saved_by_turn = instructions - (_TEMPLATE_PROMPT + steps) // 4
    return max(0, run.trace.tokens - run.trace.model_calls * saved_by_turn)


def _values(bed: Bed, served: int, wrong: int, agent_wrong: int, tokens_all: int, tokens_spent: int) -> Values:
    requests = len(bed.requests)
    return {
        "requests": requests,
        "served": served,
        "wrong": wrong,
        "abstained": requests - served,
        "agent_wrong": agent_wrong,
        "tokens_saved": round(1 - tokens_spent / tokens_all, 4),
        "served_share": round(served / requests, 4),
    }


def _dot(one: dict[str, float], other: dict[str, float]) -> float:
    return sum(weight * other[word] for word, weight in one.items() if word in other)
