"""Which program gives a value in most examples? Votes, not proof: agents slip; one odd run must not undo the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evolvent.events.language.learning.branches import ABSENT, branched, switched, value_of
from evolvent.events.language.learning.candidates import Target, candidates, cost
from evolvent.events.language.learning.nodes import (
    Const,
    Each,
    Items,
    Lookup,
    Map,
    Output,
    Program,
    Record,
    Slot,
)
from evolvent.events.language.learning.values import is_amount, is_identity, is_word, key_of, leaves, same

AGREEMENT = 0.7
MIN_RUNS = 3
CONSTANT_RUNS = 8
SWITCH = 0.9
"""The share of the runs that a choice between words explains: what it does not may be a case of its own."""
_MAX_ITEMS = 6
_MANY = 10
_FINALISTS = 12


@dataclass(frozen=True, slots=True)
class Vote:
    """The program that won, which targets it gives, and its rivals that gave the same: they must go on to agree."""

    program: Program
    hits: frozenset[int]
    rivals: tuple[Program, ...] = ()


@dataclass(frozen=True, slots=True)
class Argument:
    """What is to be learnt: an argument's name, and whether it is of a tool that changes something."""

    name: str
    is_write: bool = False
    words: str = ""
    """The fixed words of the request template: a constant that stands there came from the user."""


def learn_value(targets: Sequence[Target], argument: Argument) -> Vote | None:
    """Return the program that gives the values of most targets; None where none does or two tell different stories."""
    if len({target.sample.run_id for target in targets}) < MIN_RUNS:
        return None
    votes = _votes(candidates(targets), targets)
    composed = _composed(targets, argument)
    constant = _constant(targets, argument)
    votes += [_count(program, targets) for program in (composed, constant) if program is not None]
    votes.sort(key=lambda vote: (-len(vote.hits), cost(vote.program), vote.program.model_dump_json()))
    best = votes[0] if votes and _is_enough(votes[0].hits, targets) else None
    if best is None or len(best.hits) < len(targets):
        chosen = _enumerated(targets, argument)
        # A rare case is no slip where a word tells it from the others.
        if chosen is not None and len(chosen.hits) > (len(best.hits) if best else 0):
            return chosen
    if best is not None:
        return None if _is_contested(best, votes[1:], targets) else _with_rivals(best, votes[1:])
    branch = branched([(vote.program, vote.hits) for vote in votes], targets, AGREEMENT, MIN_RUNS)
    return None if branch is None else _count(branch, targets)


def _enumerated(targets: Sequence[Target], argument: Argument) -> Vote | None:
    """Return the words that an argument takes, each for other words of one field, on as much evidence as a constant."""
    if any(is_identity(argument.name, each.value) or not is_word(each.value) for each in targets):
        return None
    if len({each.sample.run_id for each in targets}) < CONSTANT_RUNS or any(
        _is_foreign(each, argument) for each in targets
    ):
        return None
    found = [_count(program, targets) for program in switched(targets, MIN_RUNS)]
    found = [vote for vote in found if len(vote.hits) >= SWITCH * len(targets)]
    found.sort(key=lambda vote: (-len(vote.hits), cost(vote.program), vote.program.model_dump_json()))
    equals = tuple(vote.program for vote in found[1:5] if found and vote.hits == found[0].hits)
    return Vote(found[0].program, found[0].hits, equals) if found else None


def _is_foreign(target: Target, argument: Argument) -> bool:
    value = target.value
    return isinstance(value, str) and value.casefold() not in argument.words.casefold() and _was_read(value, target)


def _votes(programs: Sequence[Program], targets: Sequence[Target]) -> list[Vote]:
    """Count what each program gives; of many targets, a part first shows which programs are worth a full count."""
    if len(targets) > _MANY and len(programs) > _FINALISTS:
        part = targets[:: len(targets) // _MANY + 1]
        heats = [(-len(_count(program, part).hits), place) for place, program in enumerate(programs)]
        programs = [programs[place] for _, place in sorted(heats)[:_FINALISTS]]
    return [_count(program, targets) for program in programs]


def _count(program: Program, targets: Sequence[Target]) -> Vote:
    found = ((number, value_of(program, target)) for number, target in enumerate(targets))
    return Vote(program, frozenset(number for number, value in found if same(value, targets[number].value)))


def _is_enough(hits: frozenset[int], targets: Sequence[Target]) -> bool:
    runs = {targets[number].sample.run_id for number in hits}
    return len(hits) >= AGREEMENT * len(targets) and len(runs) >= MIN_RUNS


def _is_contested(best: Vote, others: Sequence[Vote], targets: Sequence[Target]) -> bool:
    """Say whether a program that explains nearly as much gives something else in some example."""
    if len(best.hits) == len(targets):
        return False
    for other in others:
        if len(other.hits) < len(best.hits) - 1 or len(other.hits) < MIN_RUNS:
            return False
        for number in best.hits - other.hits:
            # Silence is no other story: a stricter look-up only abstains.
            if value_of(other.program, targets[number]) is not ABSENT and not other.hits <= best.hits:
                return True
    return False


def _with_rivals(best: Vote, others: Sequence[Vote]) -> Vote:
    """Keep the plain programs that gave the same each time: a request where they differ is not like those seen."""
    equals = [vote.program for vote in others if vote.hits == best.hits and _is_plain(vote.program)]
    kept: dict[Any, Program] = {}
    for program in equals:
        kept.setdefault(_origin(program), program)
    kept.pop(_origin(best.program), None)
    return Vote(best.program, best.hits, tuple(kept.values())[:4])


def _is_plain(program: Program) -> bool:
    return isinstance(program, Slot | Output | Lookup)


def _origin(program: Program) -> Any:
    match program:
        case Slot():
            return ("slot", program.name, program.path)
        case Output():
            return ("output", program.step, program.path)
        case Lookup():
            return ("rows", program.rows.model_dump_json())
        case _:
            return program.model_dump_json()


def _composed(targets: Sequence[Target], argument: Argument) -> Program | None:
    kinds = Counter(type(target.value) for target in targets)
    kind, _ = kinds.most_common(1)[0]
    if kind is dict:
        return _record(targets, argument)
    if kind in (list, tuple):
        return _list(targets, argument)
    return None


def _record(targets: Sequence[Target], argument: Argument) -> Program | None:
    shapes = Counter(frozenset(target.value) for target in targets if isinstance(target.value, dict))
    names, times = min(shapes.items(), key=lambda item: (-item[1], sorted(map(str, item[0]))))
    if times < AGREEMENT * len(targets) or not names:
        return None
    fields: dict[str, Program] = {}
    for name in sorted(map(str, names)):
        inner = [
            Target(each.sample, each.index, each.value[name])
            for each in targets
            if isinstance(each.value, dict) and name in each.value
        ]
        vote = learn_value(inner, Argument(name, argument.is_write, argument.words))
        if vote is None:
            return None
        fields[name] = vote.program
    return Record(fields=fields)


def _list(targets: Sequence[Target], argument: Argument) -> Program | None:
    lists = [target for target in targets if isinstance(target.value, list | tuple)]
    grouped = [each for each in lists if each.index is None and each.sample.size == len(each.value)]
    if len(grouped) >= AGREEMENT * len(targets):
        slot = min(name for name, text in grouped[0].sample.example.slots.items() if isinstance(text, tuple))
        return _wrapped(_items(grouped), argument, lambda body: Each(slot=slot, body=body))
    mapped = _mapped(lists)
    if mapped is not None:
        return mapped
    lengths = Counter(len(each.value) for each in lists)
    length, times = min(lengths.items(), key=lambda item: (-item[1], item[0]))
    if times < AGREEMENT * len(targets) or not 0 < length <= _MAX_ITEMS:
        return None
    alike = [each for each in lists if len(each.value) == length]
    parts = [
        learn_value([Target(each.sample, each.index, each.value[at]) for each in alike], argument)
        for at in range(length)
    ]
    found = [part.program for part in parts if part is not None]
    return Items(items=tuple(found)) if len(found) == length else None


def _items(targets: Sequence[Target]) -> list[Target]:
    return [Target(each.sample, at, value) for each in targets for at, value in enumerate(each.value)]


def _wrapped(targets: list[Target], argument: Argument, wrap: Callable[[Program], Program]) -> Program | None:
    vote = learn_value(targets, argument)
    return wrap(vote.program) if vote is not None else None


def _mapped(targets: Sequence[Target]) -> Program | None:
    """Return the field of all rows of some list that the targets are, in order."""
    counts: Counter[Program] = Counter()
    for target in targets:
        places: dict[Program, None] = {}
        for part in target.sample.parts(target.index):
            numbers = [at for at, step in enumerate(part.path) if isinstance(step, int)]
            if len(numbers) == 1 and len(target.value) > 1:
                at = numbers[0]
                places[Map(rows=Output(step=part.step, path=part.path[:at]), take=part.path[at + 1 :])] = None
        counts.update(place for place in places if same(value_of(place, target), target.value))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0].model_dump_json()))
    return ranked[0][0] if ranked and ranked[0][1] >= MIN_RUNS else None


def _constant(targets: Sequence[Target], argument: Argument) -> Program | None:
    counts = Counter(key_of(target.value) for target in targets)
    key, times = min(counts.items(), key=lambda item: (-item[1], repr(item[0])))
    alike = [target for target in targets if key_of(target.value) == key]
    value = alike[0].value
    if times < AGREEMENT * len(targets) or len({each.sample.run_id for each in alike}) < CONSTANT_RUNS:
        return None
    if any(_is_unfit(name, part, argument) for name, part in _named_leaves(argument.name, value)):
        return None
    foreign = [part for part in _texts(value) if part.casefold() not in argument.words.casefold()]
    return None if any(_was_read(part, each) for each in alike for part in foreign) else Const(value=value)


def _named_leaves(name: str, value: Any) -> list[tuple[str, Any]]:
    return [
        (next((str(step) for step in reversed(path) if isinstance(step, str)), name), part)
        for path, part in leaves(value)
    ]


def _is_unfit(name: str, value: Any, argument: Argument) -> bool:
    """Say whether a value must not become a constant: it names somebody or something, or is an amount."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_identity(name, value) or is_amount(name, value) or (is_number and argument.is_write)


def _texts(value: Any) -> list[str]:
    return [part for _, part in leaves(value) if isinstance(part, str) and part]


def _was_read(text: str, target: Target) -> bool:
    """Say whether a text came from what a tool returned: such a text is data, and never becomes part of a program."""
    plain = text.casefold()
    return any(
        isinstance(part.value, str) and plain in part.value.casefold() for part in target.sample.parts(target.index)
    )
