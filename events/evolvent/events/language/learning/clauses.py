"""A request's clauses, and which calls each of them caused.

A write belongs to the clause that shares most of its values, rare values counting more; the reads that it consumed come
with it. Where two clauses have the same claim the run teaches nothing, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evolvent.events.language.hashing import canonical_json
from evolvent.events.language.learning.answer_parts import answers
from evolvent.events.language.learning.attribution import Attribution
from evolvent.events.language.learning.provenance import ValueIndex, is_telling, mask, value_index
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
    context: tuple[int, ...] = ()
    """Reads of other clauses that only introduce something, such as who asks."""


@dataclass(frozen=True, slots=True)
class Division:
    """A run divided into clauses; `unused` says why it teaches nothing, if so."""

    index: ValueIndex
    clauses: tuple[Part, ...] = ()
    unused: str | None = None


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
        work = Attribution(index, [_text(clause) for clause in clauses], said, writes)
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
        if joined and joined[-1].word not in ("?", ";", ":"):
            joined.append(Piece("."))
        joined += clause
    return joined


def _said(index: ValueIndex, call: int) -> set[str]:
    words = {phrase(text) for _, text in index.arguments[call]}
    return {each for each in words if is_telling(each) and each in index.request}


def _place_writes(work: Attribution) -> str | None:
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


def _claims(work: Attribution, number: int) -> list[int]:
    """Return the clauses that a write may belong to: by its values, those beside them, those of what it consumed.

    What only introduces somebody claims a write only where nothing else does.
    """
    if len(work.texts) == 1:
        return [0]
    closure = work.closure(number)
    elsewhere = [read for read in work.introductions if read not in closure]
    introduced = set().union(*(work.said[read] | work.results_said(read) for read in elsewhere))
    consumed = set().union(*(work.said[read] for read in closure))
    best = work.best(work.said[number] - introduced)
    for more in (work.near(number) - introduced, consumed - introduced, work.said[number], work.near(number), consumed):
        if len(best) == 1:
            break
        again = work.best(work.said[number] - introduced | more)
        best = again if not best or set(again) <= set(best) else best
    return best


def _bridge(work: Attribution) -> tuple[int, int] | None:
    """Return the clauses to be read as one: a write's values stand in several, or it consumed another one's write."""
    for number, home in sorted(work.homes.items()):
        needed = {home}
        for call in {number, *work.closure(number)}:
            if call != number and call in work.homes:
                needed.add(work.homes[call])
            missing = [words for words in work.said[call] if words not in work.texts[home]]
            for words in set(missing) - (work.told(call) if missing else set()):
                having = [place for place, text in enumerate(work.texts) if words in text]
                needed.update(having[:1])
        if len(needed) > 1:
            return min(needed), max(needed)
    return None


def _laid_out(work: Attribution, clauses: Sequence[Sequence[Piece]]) -> tuple[Part, ...]:
    calls: list[set[int]] = [set() for _ in clauses]
    extras: list[set[int]] = [set() for _ in clauses]
    lent = work.lent(len(work.index.calls))
    for read, place in lent.items():
        calls[place].add(read)
    for number, home in work.homes.items():
        calls[home] |= {number, *work.closure(number)} - lent.keys()
        calls[home] |= {
            read
            for read in range(number)
            if read not in work.homes
            and read not in lent
            and work.said[read]
            and work.said[read] <= work.said[number] | work.told(number)
            and work.said[read] & work.said[number]
        }
    for number in range(len(work.index.calls)):
        if not any(number in each for each in calls):
            _place_read(work, number, calls, extras)
    for place in range(len(clauses)):
        known = {source for call in calls[place] for source in work.closure(call)}
        calls[place] |= {source for source in known if source not in work.homes and source not in lent}
    values = [frozenset(phrase(piece.value) for piece in clause if piece.word is None) for clause in clauses]
    told = answers(work, [place for place, each in enumerate(calls) if each], values)
    return tuple(
        Part(
            tuple(clause),
            tuple(sorted(calls[at] | extras[at])),
            frozenset(extras[at] - calls[at]),
            told.get(at),
            tuple(sorted(read for read, place in lent.items() if place != at)),
        )
        for at, clause in enumerate(clauses)
    )


def _place_read(work: Attribution, number: int, calls: list[set[int]], extras: list[set[int]]) -> None:
    """A read that no write asked for: by what it was asked with, else by what it told, else beside what it follows."""
    new = work.said[number] - work.told(number - 1)
    best = work.best(new)
    if len(best) == 1:
        calls[best[0]].add(number)
        return
    about = [] if new else _asking(work, number, calls)
    if len(about) == 1:
        calls[about[0]].add(number)
    elif not new and (work.closure(number) or work.said[number]):
        needed = work.closure(number) | {read for read in work.lent(number - 1) if work.said[read] & work.said[number]}
        follows = [place for place, each in enumerate(calls) if needed <= each | extras[place]]
        near = set(work.best(work.near(number)))
        follows.sort(key=lambda place: place not in near)
        is_told = _is_told(work.index, number)
        for place in follows[:1]:
            (calls if is_told and not any(call in work.homes for call in calls[place]) else extras)[place].add(number)
    elif not best and sum(bool(each) for each in calls) == 1:
        next(each for each in calls if each).add(number)
    elif not best and len(calls) == 1:
        calls[0].add(number)


def _asking(work: Attribution, number: int, calls: Sequence[set[int]]) -> list[int]:
    """Return the clauses without a write that a read was made for: they have some of what it told, and nobody else."""
    known = set().union(*(work.said[read] | work.results_said(read) for read in work.lent(number - 1)))
    found = work.best(work.results_said(number) - known)
    return [place for place in found if not any(call in work.homes for call in calls[place])]


def _is_told(index: ValueIndex, call: int) -> bool:
    """Say whether the answer has something that only this read knows."""
    answer = phrase(index.answer)
    return any(
        is_telling(words) and words in answer and words not in index.request and places[0][0] == call
        for words, places in index.seen.items()
        if any(place[0] == call for place in places)
    )
