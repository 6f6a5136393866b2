"""Where could a value come from? Candidates for one argument, from each example, to be run on all of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evolvent.events.language.json_paths import NoSuchPart, Path, follow
from evolvent.events.language.learning.nodes import (
    KEY,
    Condition,
    Find,
    Keys,
    Lookup,
    Output,
    Override,
    Program,
    Record,
    Slot,
    parts_of,
)
from evolvent.events.language.learning.samples import Sample
from evolvent.events.language.learning.values import key_of, leaves

MAX_SOURCES = 10
"""So many examples are searched for candidates; all of them vote."""
MAX_CANDIDATES = 60
_MAX_SAME = 12


@dataclass(frozen=True, slots=True)
class Target:
    """A value that a program should give: in this example, at this repetition."""

    sample: Sample
    index: int | None
    value: Any


def candidates(targets: Sequence[Target]) -> list[Program]:
    """Return programs that give the value of at least some of the targets, the most frequent first."""
    sources = targets[:: max(1, len(targets) // MAX_SOURCES)][:MAX_SOURCES]
    plain: Counter[Program] = Counter()
    rows: dict[tuple[Program, Keys], Counter[Condition]] = defaultdict(Counter)
    seen: Counter[tuple[Program, Keys]] = Counter()
    for target in sources:
        plain.update(set(_plain(target)))
        for place, conditions in _lookups(target).items():
            seen[place] += 1
            rows[place].update(set(conditions))
    for place, count in seen.items():
        for lookup in _conjunctions(place, rows[place], count):
            plain[lookup] = count
    ranked = sorted(plain.items(), key=lambda item: (-item[1], cost(item[0]), item[0].model_dump_json()))
    return [program for program, _ in ranked[:MAX_CANDIDATES]]


def cost(program: Program) -> float:
    """Return how far-fetched a program is; of programs that explain the same, the least far-fetched is kept."""
    match program:
        case Slot():
            return 1 + 0.3 * len(program.normal) + 0.2 * len(program.path) + 0.4 * bool(program.strip or program.put)
        case Output():
            return 2 + 0.1 * len(program.path)
        case Lookup():
            # A condition more only makes it abstain more often, never wrong more often.
            far = 0.01 * sum(cost(condition.equals) for condition in program.where)
            return 3 + 0.1 * len(program.take) - 0.05 * len(program.where) + (far if program.where else 2)
        case Find():
            return 6
        case _:
            return 4 + 0.1 * sum(1 for _ in parts_of(program))


def _plain(target: Target) -> Iterator[Program]:
    sample, index, value = target.sample, target.index, target.value
    yield from sample.known(index).get(key_of(value, loose=True), ())[:_MAX_SAME]
    if isinstance(value, dict | list | tuple):
        yield from _whole(target)
        return
    for part in sample.parts(index):
        last = part.path[-1] if part.path else 0
        if isinstance(last, str) and key_of(part.value, loose=True) == key_of(value, loose=True):
            yield Find(step=part.step, name=last)


def _whole(target: Target) -> Iterator[Program]:
    wanted = key_of(target.value)
    for step in target.sample.steps(target.index):
        for path, value in _containers(target.sample.output(step, target.index)):
            if key_of(value) == wanted and value:
                yield Output(step=step, path=path)
            elif isinstance(value, dict) and isinstance(target.value, dict) and value.keys() == target.value.keys():
                yield from _changed(target, Output(step=step, path=path), value)


def _changed(target: Target, base: Output, old: dict[str, Any]) -> Iterator[Program]:
    changes = {name: new for name, new in target.value.items() if key_of(new) != key_of(old[name])}
    known = target.sample.known(target.index)
    sources = {name: known.get(key_of(new, loose=True), ()) for name, new in changes.items()}
    if changes and all(sources.values()):
        yield Override(old=base, new=Record(fields={name: found[0] for name, found in sources.items()}))


def _containers(value: Any) -> Iterator[tuple[Path, Any]]:
    stack: list[tuple[Path, Any]] = [((), value)]
    for _ in range(500):
        if not stack:
            return
        path, part = stack.pop()
        if isinstance(part, dict):
            stack.extend(((*path, name), child) for name, child in part.items())
        if isinstance(part, dict | list):
            yield path, part


def _lookups(target: Target) -> dict[tuple[Program, Keys], list[Condition]]:
    """Return the rows that the value stands in, with all that tells its row from the others."""
    found: dict[tuple[Program, Keys], list[Condition]] = {}
    wanted = key_of(target.value, loose=True)
    for part in target.sample.parts(target.index):
        whole = target.sample.output(part.step, target.index)
        for at, name in enumerate(part.path):
            above, rest = part.path[:at], part.path[at + 1 :]
            if any(isinstance(step, int) for step in above):
                break
            rows = _at(whole, above)
            if not _is_rows(rows):
                continue
            place: Program = Output(step=part.step, path=above)
            if not any(isinstance(step, int) for step in rest) and key_of(part.value, loose=True) == wanted:
                # The value may stand in several rows: each of them may be the one that was meant.
                found.setdefault((place, rest), []).extend(
                    _conditions(target, part.step, above, name, rows[name], rest)
                )
            if isinstance(name, str) and key_of(name, loose=True) == wanted:
                found.setdefault((place, (KEY,)), []).extend(
                    _conditions(target, part.step, above, name, rows[name], (KEY,))
                )
    return found


def _conditions(target: Target, step: str, above: Path, name: str | int, row: Any, take: Keys) -> list[Condition]:
    known = target.sample.known(target.index)
    conditions: list[Condition] = []
    fields = [(path, value) for path, value in leaves(row, limit=60) if not any(isinstance(each, int) for each in path)]
    fields += [(path, value) for path, value in _containers(row) if isinstance(value, dict) and path]
    if isinstance(name, str):
        fields.append(((KEY,), name))
    for path, value in fields:
        if path == take or value in (None, "", True, False):
            continue
        for program in known.get(key_of(value, loose=True), ())[:_MAX_SAME]:
            if not _stands_in(program, step, above) and not _only_changes_case(program):
                conditions.append(Condition(path=path, equals=program))
    return conditions


def _stands_in(program: Program, step: str, above: Path) -> bool:
    return isinstance(program, Output) and program.step == step and program.path[: len(above)] == above and above != ()


def _only_changes_case(program: Program) -> bool:
    """Say whether a program reads a slot in a way that makes no difference to a comparison."""
    return isinstance(program, Slot) and bool(set(program.normal) & {"lower", "upper", "title"})


def _conjunctions(place: tuple[Program, Keys], conditions: Counter[Condition], seen: int) -> Iterator[Program]:
    rows, take = place
    ranked = sorted(conditions.items(), key=lambda item: (-item[1], cost(item[0].equals), item[0].model_dump_json()))
    for count in sorted({count for _, count in ranked if count >= 0.6 * seen}, reverse=True):
        where = _one_each(condition for condition, times in ranked if times >= count)
        yield Lookup(rows=rows, where=where, take=take)
    for condition, count in ranked[:6]:
        if count >= 0.6 * seen:
            yield Lookup(rows=rows, where=(condition,), take=take)
    yield Lookup(rows=rows, take=take)


def _one_each(conditions: Iterator[Condition]) -> tuple[Condition, ...]:
    """Return the first condition on each field; the fields in one order."""
    first: dict[Keys, Condition] = {}
    for condition in conditions:
        first.setdefault(condition.path, condition)
    return tuple(first[path] for path in sorted(first, key=str))


def _is_rows(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(isinstance(row, dict) for row in value.values())
    return isinstance(value, list) and bool(value)


def _at(value: Any, path: Path) -> Any:
    try:
        return follow(value, path)
    except NoSuchPart:
        return None
