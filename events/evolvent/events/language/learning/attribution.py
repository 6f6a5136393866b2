"""What is known while a run is divided into clauses: who said which value, what a call consumed, who introduced it.

A read introduces what it was asked with: `whois(handle)` in the sentence that says who asks. Whatever another
sentence's calls need of it they take from that read, so that sentences are learnt apart although they share a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from evolvent.events.language.learning.provenance import ValueIndex, beside, is_telling
from evolvent.events.language.learning.tokens import phrase


@dataclass
class Attribution:
    """The state of one division.

    `said`: arguments' phrases in the request, by call; `homes`: the clause of each write; `introductions`: the clause
    of each read that no result led to, and that says something for the first time.
    """

    index: ValueIndex
    texts: list[str]
    said: list[frozenset[str]]
    writes: frozenset[int]
    homes: dict[int, int] = field(default_factory=dict)
    introductions: dict[int, int] = field(default_factory=dict)
    _closures: dict[int, frozenset[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known: set[str] = set()
        for number, said in enumerate(self.said):
            if number in self.writes or not said - known or self._sources_of(number, number):
                continue
            having = [place for place, text in enumerate(self.texts) if all(words in text for words in said)]
            if len(having) == 1:
                self.introductions[number] = having[0]
                known |= said

    def closure(self, number: int) -> frozenset[int]:
        """Return the calls whose results a call consumed, directly or through others."""
        known = self._closures.get(number)
        if known is None:
            reached: set[int] = set()
            waiting = [number]
            while waiting:
                fresh = self._sources_of(waiting.pop(), number) - reached - {number}
                reached |= fresh
                waiting += fresh
            known = self._closures[number] = frozenset(reached)
        return known

    def _sources_of(self, call: int, reader: int) -> set[int]:
        """Return whose results a call consumed: of several that had the value a read, about the reader's things."""
        found: set[int] = set()
        for _, text in self.index.arguments[call]:
            words = phrase(text)
            if not is_telling(words) or words in self.index.request:
                continue
            having = {at for at, _ in self.index.seen.get(words, ()) if at < reader and at != call}
            if having:
                found.add(min(having, key=lambda at: (at in self.writes, not self.said[at] & self.said[reader], at)))
            else:
                source = self.index.source(text, call)
                found |= set() if source.call is None else {source.call}
        return found

    def best(self, phrases: Iterable[str]) -> list[int]:
        """Return the clauses with the best claim: values weigh 1/df², df = how many clauses have them."""
        scores: dict[int, float] = {}
        for words in sorted(phrases):
            having = [place for place, text in enumerate(self.texts) if words in text]
            for place in having:
                scores[place] = scores.get(place, 0.0) + 1 / len(having) ** 2
        top = max(scores.values(), default=0.0)
        return [place for place, score in sorted(scores.items()) if score >= top - 1e-9]

    def near(self, number: int) -> set[str]:
        """Phrases of the request that stand in the list elements which the call's values were taken from."""
        near: set[str] = set()
        for _, text in self.index.arguments[number]:
            near |= beside(self.index, text, number)
        return {words for words in near if is_telling(words) and words in self.index.request}

    def lent(self, number: int) -> dict[int, int]:
        """Return the introductions, with their clauses, others may take from: those clauses write nothing."""
        taken = set(self.homes.values())
        return {read: place for read, place in self.introductions.items() if place not in taken and read <= number}

    def told(self, number: int) -> set[str]:
        """Return the phrases that calls before this one learnt of a sentence which only introduces."""
        found: set[str] = set()
        for read in self.lent(number):
            found |= self.said[read]
            found |= set(self.results_said(read))
        return found

    def results_said(self, call: int) -> set[str]:
        """Return the phrases of the request that a call's result has."""
        return {
            words
            for words, places in self.index.seen.items()
            if is_telling(words) and words in self.index.request and any(at == call for at, _ in places)
        }
