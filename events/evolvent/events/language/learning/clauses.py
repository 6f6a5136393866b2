"""A request's clauses, and which calls each of them caused.

A write belongs to the clause that shares most of its values, rare values counting more; the reads that it consumed come
with it. Where two clauses have the same claim the run teaches nothing, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from evolvent.events.language.hashing import canonical_json
from evolvent.events.language.learning.provenance import ValueIndex, beside, is_telling, mask, value_index
from evolvent.events.language.learning.skeletons import Piece, pieces_of, split
from evolvent.events.language.learning.tokens import MAX_TEXT, phrase
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect

SCRATCH_TOOLS = frozenset({"think", "calculate", "scratchpad", "note_to_self"})
"""Tools that only help the agent to think: what they return is in the answer or nowhere."""


@dataclass(frozen=True, slots=True)
class Part:
    """A clause of a request: its words and values, the numbers of its calls, and those that only ride along."""

    pieces: tuple[Piece, ...]
    calls: tuple[int, ...] = ()
    extras: frozenset[int] = frozenset()
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Division:
    """A run divided into clauses; `unused` says why it teaches nothing, if so."""

    index: ValueIndex
    clauses: tuple[Part, ...] = ()
    unused: str | None = None


@dataclass
class _Work:
    """What is known while a run is divided. `said`: arguments' phrases in the request; `homes`: writes' clauses."""

    index: ValueIndex
    texts: list[str]
    said: list[frozenset[str]]
    writes: frozenset[int]
    homes: dict[int, int] = field(default_factory=dict)
    closures: dict[int, frozenset[int]] = field(default_factory=dict)


def is_write(call: TracedCall) -> bool:
    """Say whether a call changes anything."""
    return call.effect not in (Effect.PURE, Effect.READ)


def tidy(calls: Iterable[TracedCall]) -> tuple[TracedCall, ...]:
    """Leave out what failed, what was read before in the same words, and what only helped to think."""
    kept: list[TracedCall] = []
    seen: set[bytes] = set()
    for call in calls:
        if call.error is not None or call.name in SCRATCH_TOOLS:
            continue
        if not is_write(call):
            key = canonical_json([call.name, dict(call.arguments)])
            if key in seen:
                continue
            seen.add(key)
        kept.append(call)
    return tuple(kept)


def divide(trace: Trace) -> Division:
    """Divide a run into clauses with their calls."""
    index = value_index(trace, tidy(trace.calls))
    if len(trace.message) > MAX_TEXT:
        return Division(index, unused="the request is too long to come again")
    tokens, spans = mask(index)
    clauses = split(pieces_of(tokens, spans, _uses(index)))
    if not clauses:
        return Division(index, unused="the request is empty")
    writes = frozenset(number for number, call in enumerate(index.calls) if is_write(call))
    said = [frozenset(_said(index, call)) for call in range(len(index.calls))]
    while True:
        work = _Work(index, [_text(clause) for clause in clauses], said, writes)
        unused = _place_writes(work)
        if unused:
            return Division(index, unused=unused)
        bridge = _bridge(work)
        if bridge is None:
            break
        first, last = bridge
        clauses = [*clauses[:first], _joined(clauses[first : last + 1]), *clauses[last + 1 :]]
    return Division(index, _laid_out(work, clauses))


def _uses(index: ValueIndex) -> dict[str, frozenset[tuple[str, ...]]]:
    uses: dict[str, set[tuple[str, ...]]] = {}
    for call, arguments in zip(index.calls, index.arguments, strict=True):
        for path, text in arguments:
            place = (call.name, *("*" if isinstance(step, int) else step for step in path))
            uses.setdefault(text, set()).add(place)
    return {text: frozenset(places) for text, places in uses.items()}


def _text(clause: Sequence[Piece]) -> str:
    return phrase(" ".join(piece.value if piece.word is None else piece.word for piece in clause))


def _joined(clauses: Sequence[Sequence[Piece]]) -> list[Piece]:
    joined: list[Piece] = []
    for clause in clauses:
        if joined and joined[-1].word not in ("?", ";"):
            joined.append(Piece("."))
        joined += clause
    return joined


def _said(index: ValueIndex, call: int) -> set[str]:
    words = {phrase(text) for _, text in index.arguments[call]}
    return {each for each in words if is_telling(each) and each in index.request}


def _closure(work: _Work, number: int) -> frozenset[int]:
    """Return the calls whose results a call consumed, directly or through others."""
    known = work.closures.get(number)
    if known is None:
        reached: set[int] = set()
        waiting = [number]
        while waiting:
            fresh = _sources_of(work, waiting.pop(), number) - reached - {number}
            reached |= fresh
            waiting += fresh
        known = work.closures[number] = frozenset(reached)
    return known


def _sources_of(work: _Work, call: int, reader: int) -> set[int]:
    """Return whose results a call consumed: of several that had the value a read, about the reader's things."""
    found: set[int] = set()
    for _, text in work.index.arguments[call]:
        words = phrase(text)
        if not is_telling(words) or words in work.index.request:
            continue
        having = {at for at, _ in work.index.seen.get(words, ()) if at < reader and at != call}
        if having:
            found.add(min(having, key=lambda at: (at in work.writes, not work.said[at] & work.said[reader], at)))
        else:
            source = work.index.source(text, call)
            found |= set() if source.call is None else {source.call}
    return found


def _best(work: _Work, phrases: Iterable[str]) -> list[int]:
    """Return the clauses with the best claim: values weigh 1/df², df = how many clauses have them."""
    scores: dict[int, float] = {}
    for words in sorted(phrases):
        having = [place for place, text in enumerate(work.texts) if words in text]
        for place in having:
            scores[place] = scores.get(place, 0.0) + 1 / len(having) ** 2
    top = max(scores.values(), default=0.0)
    return [place for place, score in sorted(scores.items()) if score >= top - 1e-9]


def _place_writes(work: _Work) -> str | None:
    """Give each write its clause; one that fits two goes to the one of them that nothing else claims."""
    torn: dict[int, list[int]] = {}
    for number, call in enumerate(work.index.calls):
        if not is_write(call):
            continue
        best = _claims(work, number)
        if not best:
            return f"{call.name} shares no value with any clause"
        if len(best) == 1:
            work.homes[number] = best[0]
        else:
            torn[number] = best
    for number, best in torn.items():
        free = [place for place in best if place not in work.homes.values()]
        if len(free) != 1:
            return f"{work.index.calls[number].name} could belong to {len(best)} clauses"
        work.homes[number] = free[0]
    return None


def _claims(work: _Work, number: int) -> list[int]:
    if len(work.texts) == 1:
        return [0]
    best = _best(work, work.said[number])
    for more in (_near(work, number), set().union(*(work.said[read] for read in _closure(work, number)))):
        if len(best) == 1:
            break
        again = _best(work, work.said[number] | more)
        best = again if not best or set(again) <= set(best) else best
    return best


def _near(work: _Work, number: int) -> set[str]:
    """Phrases of the request that stand in the list elements which the call's values were taken from."""
    near: set[str] = set()
    for _, text in work.index.arguments[number]:
        near |= beside(work.index, text, number)
    return {words for words in near if is_telling(words) and words in work.index.request}


def _bridge(work: _Work) -> tuple[int, int] | None:
    """Return the clauses to be read as one: a write's values stand in several, or it consumed another one's write."""
    for number, home in sorted(work.homes.items()):
        needed = {home}
        for call in {number, *_closure(work, number)}:
            if call != number and call in work.homes:
                needed.add(work.homes[call])
            for words in work.said[call]:
                if words not in work.texts[home]:
                    having = [place for place, text in enumerate(work.texts) if words in text]
                    needed.update(having[:1])
        if len(needed) > 1:
            return min(needed), max(needed)
    return None


def _laid_out(work: _Work, clauses: Sequence[Sequence[Piece]]) -> tuple[Part, ...]:
    calls: list[set[int]] = [set() for _ in clauses]
    extras: list[set[int]] = [set() for _ in clauses]
    for number, home in work.homes.items():
        calls[home] |= {number, *_closure(work, number)}
        calls[home] |= {
            read
            for read in range(number)
            if read not in work.homes and work.said[read] and work.said[read] <= work.said[number]
        }
    for number in range(len(work.index.calls)):
        if not any(number in each for each in calls):
            _place_read(work, number, calls, extras)
    for place in range(len(clauses)):
        known = {source for call in calls[place] for source in _closure(work, call)}
        calls[place] |= {source for source in known if source not in work.homes}
    answers = _answers(work, [place for place, each in enumerate(calls) if each])
    return tuple(
        Part(tuple(clause), tuple(sorted(calls[at] | extras[at])), frozenset(extras[at] - calls[at]), answers.get(at))
        for at, clause in enumerate(clauses)
    )


def _place_read(work: _Work, number: int, calls: list[set[int]], extras: list[set[int]]) -> None:
    """A read that no write asked for: by what it was asked with, else beside the read it follows."""
    best = _best(work, work.said[number])
    if len(best) == 1:
        calls[best[0]].add(number)
    elif not best and _closure(work, number):
        follows = [place for place, each in enumerate(calls) if _closure(work, number) <= each | extras[place]]
        near = set(_best(work, _near(work, number)))
        follows.sort(key=lambda place: place not in near)
        is_told = _is_told(work.index, number)
        for place in follows[:1]:
            (calls if is_told and not any(call in work.homes for call in calls[place]) else extras)[place].add(number)
    elif not best and len(calls) == 1:
        calls[0].add(number)


def _is_told(index: ValueIndex, call: int) -> bool:
    """Say whether the answer has something that only this read knows."""
    answer = phrase(index.answer)
    return any(
        is_telling(words) and words in answer and words not in index.request and places[0][0] == call
        for words, places in index.seen.items()
        if any(place[0] == call for place in places)
    )


def _answers(work: _Work, active: list[int]) -> dict[int, str]:
    """Give each clause its part of the answer: to the only one all of it, else sentence by sentence, by values."""
    answer = work.index.answer.strip()
    if not answer or len(active) < 2:
        return {place: answer for place in active if answer}
    parts: dict[int, list[str]] = {}
    current: int | None = None
    for sentence in _sentences(answer):
        words = phrase(sentence)
        shared = {each for said in work.said for each in said if each in words}
        best = [place for place in _best(work, shared) if place in active]
        current = best[0] if len(best) == 1 else current
        if current is None:
            return {}
        parts.setdefault(current, []).append(sentence)
    return {place: " ".join(sentences) for place, sentences in parts.items()}


def _sentences(text: str) -> list[str]:
    sentences: list[str] = []
    start = 0
    for place, letter in enumerate(text):
        ends = letter == "\n" or (letter in ".!?" and text[place + 1 : place + 2] in ("", " ", "\n"))
        if ends and text[start : place + 1].strip():
            sentences.append(text[start : place + 1].strip())
            start = place + 1
    return [*sentences, text[start:].strip()] if text[start:].strip() else sentences
