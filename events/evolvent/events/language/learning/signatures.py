"""Signatures: which pieces of work are the same. A run becomes clauses, each with its signature and its example.

A signature is the hash of whose it is, what the tools look like, the words without the values, and what was done:
the writes in order and the reads they stand on. The order of reads, lists' lengths and redundant reads do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.clauses import Division, Part, divide, is_write
from evolvent.events.language.learning.examples import Clause, Example, StepCall
from evolvent.events.language.learning.provenance import ValueIndex, beside
from evolvent.events.language.learning.skeletons import Skeleton, render
from evolvent.events.language.learning.tokens import phrase
from evolvent.events.language.learning.traces import Trace


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a run teaches: its clauses in order, or why it teaches nothing."""

    clauses: tuple[Clause, ...] = ()
    unused: str | None = None


def extract(trace: Trace) -> Extraction:
    """Take a run apart into clauses. Whether the run may be learnt from at all is the store's question."""
    division = divide(trace)
    if division.unused:
        return Extraction(unused=division.unused)
    clauses = _with_context([_clause(trace, division, part) for part in division.clauses], division)
    if any(call.error is not None and is_write(call) for call in trace.calls):
        clauses = [each for each in clauses if not each.is_filler or not each.example.slots or "(" in each.skeleton]
    small_talk = tuple(sorted({each.skeleton for each in clauses if each.is_filler}))
    working = [each.signature for each in clauses if not each.is_filler]
    lending = {clause.signature for clause in clauses if clause.introduces}
    finished = []
    for clause in clauses:
        others = list(working)
        if not clause.is_filler:
            others.remove(clause.signature)
        companions = tuple(sorted(set(others)))
        introductions = tuple(each for each in companions if each in lending and each != clause.signature)
        finished.append(replace(clause, beside=small_talk, companions=companions, introductions=introductions))
    return Extraction(tuple(finished))


def _with_context(clauses: Sequence[Clause], division: Division) -> list[Clause]:
    """Give each clause what the reads of others introduced, by step; two of one name are ambiguous, and left out."""
    lent = [_introductions(clause, division, place) for place, clause in enumerate(clauses)]
    found: list[Clause] = []
    for place, clause in enumerate(clauses):
        others = [each for at, calls in enumerate(lent) for each in calls if at != place]
        names = [each.step for each in others]
        context = tuple(each for each in others if names.count(each.step) == 1)
        example = replace(clause.example, context=context)
        found.append(replace(clause, example=example, introduces=tuple(each.step for each in lent[place])))
    return found


def _introductions(clause: Clause, division: Division, place: int) -> list[StepCall]:
    arguments = [division.index.calls[call].arguments for call in _lent(division, place)]
    calls = [call for call in clause.example.calls if call.item is None]
    return [call for call in calls if any(call.arguments is one for one in arguments)]


def _lent(division: Division, place: int) -> frozenset[int]:
    """Return the calls of a clause that other clauses have as context."""
    own = frozenset(division.clauses[place].calls)
    return own & {call for at, part in enumerate(division.clauses) if at != place for call in part.context}


def _clause(trace: Trace, division: Division, part: Part) -> Clause:
    index = division.index
    is_filler = not part.calls
    has_values = any(piece.word is None for piece in part.pieces)
    single = any(_has_single_list(index.calls[call].arguments) for call in part.calls)
    skeleton = render(part.pieces, lists=is_filler and not has_values, single=single)
    steps = _steps(index, part, skeleton)
    riding = {number for step, number in steps if number in part.extras and step.item is None}
    kept = [step for step, number in steps if number not in riding]
    extras = sorted({step.step for step, number in steps if number in riding})
    shape = _shape(kept)
    schemas = sorted(
        {(index.calls[call].name, index.calls[call].schema_hash) for call in part.calls if call not in riding}
    )
    example = Example(
        run_id=trace.run_id,
        slots=skeleton.slots,
        calls=tuple(step for step, _ in steps),
        answer=part.answer,
        principal=trace.principal,
        session_id=trace.session_id,
        is_disputed=trace.outcome is False,
    )
    return Clause(
        signature=content_hash([list(trace.scope), schemas, skeleton.text, shape]),
        skeleton=skeleton.text,
        example=example,
        tools=tuple(dict.fromkeys(step.tool for step in kept)),
        scope=trace.scope,
        spec_hash=trace.spec_hash,
        is_filler=is_filler,
        labels=dict(skeleton.labels),
        shape=shape,
        extras=tuple(extras),
    )


def _has_single_list(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_single_list(each) for each in value.values())
    return isinstance(value, list | tuple) and len(value) == 1


def _shape(steps: Sequence[StepCall]) -> str:
    def mark(step: StepCall) -> str:
        return step.step + ("!" if step.is_write else "") + ("*" if step.item is not None else "")

    reads = sorted({mark(step) for step in steps if not step.is_write})
    writes = dict.fromkeys(mark(step) for step in steps if step.is_write)
    return " ".join([*reads, *writes])


def writes_of(shape: str) -> tuple[str, ...]:
    """Return the writes in a signature's shape."""
    return tuple(step for step in shape.split() if "!" in step)


def _steps(index: ValueIndex, part: Part, skeleton: Skeleton) -> list[tuple[StepCall, int]]:
    """Name a clause's calls: by tool, told apart by where their values stand in the text; per thing of a group."""
    items = {call: _items(index, call, skeleton) for call in part.calls}
    names = _step_names(index, part, skeleton, items)
    steps: list[tuple[StepCall, int]] = []
    for number in part.calls:
        call = index.calls[number]
        for item in items[number] or [None]:
            made = StepCall(
                step=names[number],
                tool=call.name,
                arguments=call.arguments,
                result=index.results[number],
                effect=call.effect,
                item=item,
                schema_hash=call.schema_hash,
                origin=call.origin,
            )
            steps.append((made, number))
    return steps


def _step_names(
    index: ValueIndex, part: Part, skeleton: Skeleton, items: dict[int, list[int | None]]
) -> dict[int, str]:
    places = [phrase(each if isinstance(each, str) else " ".join(each)) for each in skeleton.slots.values()]
    names: dict[int, str] = {}
    singles: dict[str, list[int]] = {}
    for number in part.calls:
        name = index.calls[number].name
        if items[number]:
            names[number] = f"{name}_each"
        else:
            singles.setdefault(name, []).append(number)

    def order(number: int) -> tuple[bool, int, int]:
        texts = [phrase(text) for _, text in index.arguments[number]]
        at = min((place for place, slot in enumerate(places) if slot in texts), default=len(places))
        return number in part.extras, at, number

    for name, numbers in singles.items():
        for place, number in enumerate(sorted(numbers, key=order)):
            names[number] = name if place == 0 else f"{name}_{place + 1}"
    return names


def _items(index: ValueIndex, number: int, skeleton: Skeleton) -> list[int | None]:
    """Return for which things of the group a call was made; none if it was made once for all."""
    if not skeleton.repetitions:
        return []
    wanted: list[set[str]] = [set() for _ in range(skeleton.repetitions)]
    for name in skeleton.grouped:
        values = skeleton.slots[name]
        for place, value in enumerate(values if isinstance(values, tuple) else ()):
            wanted[place].add(phrase(value))
    found: set[int] = set()
    for path, text in index.arguments[number]:
        if any(isinstance(step, int) for step in path):
            continue
        words = phrase(text)
        near = {words} | beside(index, text, number)
        found |= {place for place, values in enumerate(wanted) if values & near}
    items: list[int | None] = [*sorted(found)]
    return items
