"""What has always held when a request was done right, and so must hold before it is done again: guards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from evolvent.events.language.learning.contexts import CONTEXT, READ
from evolvent.events.language.learning.guards import (
    Between,
    Distinct,
    Equal,
    Exists,
    Guard,
    NotError,
    OneOf,
    check,
    programs_of,
)
from evolvent.events.language.learning.induced import InducedStep
from evolvent.events.language.learning.nodes import (
    KEY,
    Condition,
    Each,
    Lookup,
    Output,
    Program,
    Slot,
    parts_of,
)
from evolvent.events.language.learning.programs import evaluate
from evolvent.events.language.learning.samples import Sample
from evolvent.events.language.learning.values import is_word, key_of, leaves
from evolvent.events.language.workflow_problems import ReferenceUnresolved

MIN_RUNS = 3
MANY_RUNS = 8
MAX_GUARDS = 40


class Rival(NamedTuple):
    """Two programs that gave the same value in every run: where they differ, the request is not like those seen."""

    program: Program
    rival: Program
    repeats: str | None


def invariants(samples: Sequence[Sample], steps: Sequence[InducedStep], rivals: Sequence[Rival]) -> tuple[Guard, ...]:
    """Return the guards that hold in all the samples, the most telling first."""
    early = [step for step in steps if not step.is_late and not step.is_write]
    reachable = {step.step for step in early} | CONTEXT
    found: dict[str, Guard] = {}
    for guard in _candidates(samples, steps, early, rivals):
        if isinstance(guard, OneOf) and any(sample.is_web(guard.value) for sample in samples):
            continue
        needed = {part.step for program in programs_of(guard) for part in parts_of(program) if isinstance(part, Output)}
        if needed <= reachable and all(check(guard, sample.scope) is None for sample in samples):
            found.setdefault(guard.model_dump_json(exclude={"why"}), guard)
    return tuple(found.values())[:MAX_GUARDS]


def slot_guards(samples: Sequence[Sample], slots: frozenset[str]) -> tuple[Guard, ...]:
    """Return the equalities of these slots with what was read that hold in all the samples: a name beside a number."""
    found: dict[str, Guard] = {}
    for guard in equalities(samples):
        own = {part.name for program in programs_of(guard) for part in parts_of(program) if isinstance(part, Slot)}
        read = any(isinstance(part, Output) for program in programs_of(guard) for part in parts_of(program))
        if own and own <= slots and read and all(check(guard, sample.scope) is None for sample in samples):
            found.setdefault(guard.model_dump_json(exclude={"why"}), guard)
    return tuple(found.values())[:MAX_GUARDS]


def _candidates(
    samples: Sequence[Sample], steps: Sequence[InducedStep], early: Sequence[InducedStep], rivals: Sequence[Rival]
) -> Iterator[Guard]:
    for step in early:
        yield NotError(value=_grouped(Output(step=step.step), step.repeats), why="a read that failed tells nothing")
    yield from equalities(samples)
    for program, rival, repeats in rivals:
        yield Equal(left=_grouped(program, repeats), right=_grouped(rival, repeats), loose=True, why="always agreed")
    yield from _memberships(samples, steps)
    yield from _states(samples)
    for step in steps:
        for program in step.bindings.values():
            yield from _siblings(program, step.repeats, samples)
            if step.is_write:
                yield from _ranges(program, step.repeats, samples)


def _grouped(program: Program, repeats: str | None) -> Program:
    return program if repeats is None else Each(slot=repeats, body=program)


def equalities(samples: Sequence[Sample]) -> Iterator[Guard]:
    """Yield the equalities between results, and between a result and the request, that no accident explains."""
    for key, programs in sorted(samples[0].known(None).items(), key=repr):
        fit = [each for each in programs if isinstance(each, Output) or _is_bare(each)][:8]
        # A flag, an empty text or a small number is the same in many places by accident.
        if key[0] != "t" or len(key[1]) < 2:
            continue
        for at, left in enumerate(fit):
            for right in fit[at + 1 :]:
                if _source(left) != _source(right) and _is_varied(left, samples):
                    yield Equal(left=left, right=right, loose=True, why="was the same in every run")


def _is_bare(program: Program) -> bool:
    return isinstance(program, Slot) and not (set(program.normal) & {"lower", "upper", "title"})


def _source(program: Program) -> Any:
    if isinstance(program, Slot):
        return "slot", program.name, program.path
    step = getattr(program, "step", "")
    return READ if step in CONTEXT else step


def _is_varied(program: Program, samples: Sequence[Sample]) -> bool:
    values = {key_of(value) for sample in samples if (value := _try(program, sample)) is not None}
    return len(values) >= min(MIN_RUNS, len(samples))


def _memberships(samples: Sequence[Sample], steps: Sequence[InducedStep]) -> Iterator[Guard]:
    """Yield for each slot that no read answers for, the lists of results that it always stood in."""
    checked = {name for step in steps if not step.is_write for name in step.slots}
    for name, text in sorted(samples[0].example.slots.items()):
        if isinstance(text, tuple) or name in checked:
            continue
        for part in samples[0].parts(None):
            for place, take in _places(part.path):
                if key_of(part.path[len(place)], loose=True) == key_of(text, loose=True):
                    take = (KEY,)
                elif key_of(part.value, loose=True) != key_of(text, loose=True):
                    continue
                where = (Condition(path=take, equals=Slot(name=name)),)
                yield Exists(value=Lookup(rows=Output(step=part.step, path=place), where=where, take=take))


def _places(path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], tuple[str | int, ...]]]:
    for at in range(len(path)):
        if not any(isinstance(step, int) for step in (*path[:at], *path[at + 1 :])):
            yield path[:at], path[at + 1 :]


def _states(samples: Sequence[Sample]) -> Iterator[Guard]:
    """Yield the states in results that were the same in every run, or one of a few."""
    for part in sorted(samples[0].parts(None), key=lambda part: (part.step, str(part.path))):
        if any(isinstance(step, int) for step in part.path) or not part.path or len(part.path) > 3:
            continue
        program = Output(step=part.step, path=part.path)
        values = [_try(program, sample) for sample in samples]
        if all(is_word(value) for value in values) and _is_state(values, samples, depth=len(part.path)):
            yield OneOf(value=program, values=_sorted(values), why="has always been so")


def _is_state(values: Sequence[Any], samples: Sequence[Sample], *, depth: int) -> bool:
    counts = Counter(values)
    runs = len({sample.run_id for sample in samples})
    if len(counts) == 1:
        return runs >= (MIN_RUNS if depth == 1 else MANY_RUNS)
    return len(counts) <= 3 and runs >= MANY_RUNS and depth == 1 and min(counts.values()) >= 2


def _siblings(program: Program, repeats: str | None, samples: Sequence[Sample]) -> Iterator[Guard]:
    """Yield what always held of the rows that were looked up, such as that a variant is available."""
    for part, slot in _lookups_in(program, repeats):
        whole = part.model_copy(update={"take": ()})
        rows = [row for sample in samples for row in _all(whole, slot, sample)]
        if part.take == (KEY,) or not rows or not all(isinstance(row, dict) for row in rows):
            continue
        for path, value in leaves(rows[0], limit=60):
            if len(path) == 1 and is_word(value) and len(rows) >= (MIN_RUNS if isinstance(value, bool) else MANY_RUNS):
                values = [row.get(path[0]) for row in rows]
                if all(key_of(each) == key_of(value) for each in values):
                    row_field = part.model_copy(update={"take": path})
                    yield OneOf(value=_grouped(row_field, slot), values=_sorted(values), why="held of every row used")


def _lookups_in(program: Program, repeats: str | None) -> Iterator[tuple[Lookup, str | None]]:
    slot = next((part.slot for part in parts_of(program) if isinstance(part, Each)), repeats)
    for part in parts_of(program):
        if isinstance(part, Lookup):
            yield part, slot


def _ranges(program: Program, repeats: str | None, samples: Sequence[Sample]) -> Iterator[Guard]:
    """Yield the range of an amount as far as it was seen, and as much again; and that a list names nothing twice."""
    values = [value for sample in samples for value in _all(program, repeats, sample)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if numbers and len(numbers) == len(values):
        spread = max(numbers) - min(numbers)
        low = min(numbers) - spread if min(numbers) <= 0 else max(min(numbers) - spread, min(numbers) / 2)
        yield Between(
            value=_grouped(program, repeats), low=low, high=max(numbers) + spread, why="about what was seen so far"
        )
    if isinstance(program, Each) and sum(len(value) > 1 for value in values if isinstance(value, list)) >= MIN_RUNS:
        yield Distinct(value=program, why="nothing was ever named twice")


def _all(program: Program, slot: str | None, sample: Sample) -> list[Any]:
    found = _try(_grouped(program, slot), sample)
    if slot is None:
        return [] if found is None else [found]
    return found if isinstance(found, list) else []


def _try(program: Program, sample: Sample) -> Any:
    try:
        return evaluate(program, sample.scope)
    except ReferenceUnresolved:
        return None


def _sorted(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(sorted(set(values), key=repr))
