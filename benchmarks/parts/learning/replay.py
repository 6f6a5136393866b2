"""Requests served in order without a platform, learning on the way: the engine's own law over a bed's tools."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace

from benchmarks.parts.learning.profiles import Profile
from benchmarks.parts.learning.rows import Values
from support.learning_bed.bed import Bed
from support.learning_bed.requests import BedRequest
from support.learning_bed.served import ServingBed, Tally

from evolvent.events.language.learning.automation import needs_confirmation
from evolvent.events.language.learning.library import Library, Served


@dataclass
class Replay:
    """A bed under a profile.

    Attributes:
        learner_cpu: What taking runs in and learning from them took, in seconds.
        unlooked: Requests served that write although nothing looks at some word of them.
        held_back: Verified automations that wait for a person.
    """

    bed: Bed
    profile: Profile
    learn_every: int = 10
    learner_cpu: float = 0.0
    runs: int = 0
    unlooked: int = 0
    held_back: int = 0
    serving: ServingBed = field(init=False)

    def __post_init__(self) -> None:
        trusts = self.profile.serves_unlooked
        self.serving = ServingBed(self.bed, self.profile.rules, self.learn_every, may_ignore=trusts)

    def teach(self, requests: tuple[BedRequest, ...]) -> None:
        """Have the agent do all of them, and learn once from that."""
        traces = [self.serving.offline.run(request).trace for request in requests]
        began = time.process_time()
        for trace in traces:
            self.serving.store.add(trace)
        self.runs += len(traces)
        self.learner_cpu += time.process_time() - began
        self.learn()

    def learn(self) -> None:
        """Learn, and let go live what the profile lets."""
        began = time.process_time()
        self.serving.learn()
        self.learner_cpu += time.process_time() - began
        proposed = [each.automation for each in self.serving.proposals.values()]
        live = [automation for automation in proposed if self.profile.lets(automation)]
        self.held_back = len(proposed) - len(live)
        small_talk = [
            template
            for scope in self.serving.library.index.scopes.values()
            for templates in (*scope.by_word.values(), scope.wordless)
            for template in templates
            if template.is_filler
        ]
        self.serving.library = Library.of(live, small_talk)

    def cold(self) -> tuple[Tally, Tally]:
        """Serve all requests from nothing, learning every few; the tallies of both halves."""
        halves = Tally(), Tally()
        total = len(self.bed.requests)
        for number, request in enumerate(self.bed.requests):
            known = len(self.serving.library.by_id)
            self._serve(request, halves[2 * number >= total], is_learning=True, is_known=bool(known))
            if (number + 1) % self.learn_every == 0:
                self.learn()
        self.runs = total
        return halves

    def frozen(self, requests: tuple[BedRequest, ...]) -> Tally:
        """Serve requests with what was learnt before, and learn nothing."""
        tally = Tally()
        for request in requests:
            self._serve(request, tally, is_learning=False, is_known=True)
        return tally

    def _serve(self, request: BedRequest, tally: Tally, *, is_learning: bool, is_known: bool) -> None:
        if is_known:
            found = self.serving.library.serve(request.text, self.serving.scope, may_ignore=self.serving.may_ignore)
            self.unlooked += isinstance(found, Served) and needs_confirmation(found.automations)
        self.serving.serve(request, tally, is_learning=is_learning)


def together(tallies: tuple[Tally, ...]) -> Tally:
    """The sum of tallies."""
    whole = Tally()
    for tally in tallies:
        for name in ("served", "wrong", "agent", "agent_wrong", "deoptimized", "tokens_all", "tokens_spent"):
            setattr(whole, name, getattr(whole, name) + getattr(tally, name))
        whole.wrong_ones += tally.wrong_ones
        whole.reasons += tally.reasons
    return whole


def figures(tally: Tally, second: Tally | None = None) -> Values:
    """What a report says of a tally; `second` is that of the second half."""
    requests = tally.served + tally.agent
    found: Values = {
        "requests": requests,
        "served": tally.served,
        "wrong": tally.wrong,
        "abstained": tally.agent - tally.deoptimized,
        "deoptimized": tally.deoptimized,
        "agent_wrong": tally.agent_wrong,
        "tokens_baseline": tally.tokens_all,
        "tokens_spent": tally.tokens_spent,
        "tokens_saved": round(tally.saved, 4),
        "served_share": round(tally.served / requests, 4) if requests else 0.0,
    }
    if second is not None:
        asked = second.served + second.agent
        found["tokens_saved_second_half"] = round(second.saved, 4)
        found["served_share_second_half"] = round(second.served / asked, 4) if asked else 0.0
    return found


def split(bed: Bed, seed: int) -> tuple[tuple[BedRequest, ...], tuple[BedRequest, ...]]:
    """Half of the requests to learn from and half to serve, by seed."""
    requests = list(bed.requests)
    random.Random(f"split:{seed}").shuffle(requests)
    middle = len(requests) // 2
    return tuple(requests[:middle]), tuple(requests[middle:])


def of_learnt_kinds(
    learnt: tuple[BedRequest, ...], requests: tuple[BedRequest, ...], times: int = 3
) -> tuple[BedRequest, ...]:
    """The requests of which every intent was seen often enough among those that were learnt from."""
    counts: dict[str, int] = {}
    for request in learnt:
        for intent in set(request.intents):
            counts[intent] = counts.get(intent, 0) + 1
    return tuple(each for each in requests if all(counts.get(intent, 0) >= times for intent in each.intents))


def of_first(bed: Bed, count: int | None) -> Bed:
    """The bed with its first requests only."""
    return bed if count is None else replace(bed, requests=bed.requests[:count])
