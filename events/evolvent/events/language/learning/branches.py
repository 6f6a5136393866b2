"""Two ways to do one thing, told apart by a word that the request or a read has: `standard` restarts at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from evolvent.events.language.learning.candidates import Target, cost
from evolvent.events.language.learning.nodes import Branch, Case, Const, Output, Program, Slot
from evolvent.events.language.learning.programs import evaluate
from evolvent.events.language.learning.values import is_word, key_of, same
from evolvent.events.language.workflow_problems import ReferenceUnresolved

ABSENT = object()
_MAX_WORDS = 6


def value_of(program: Program, target: Target) -> Any:
    """Return what a program gives for a target; a value that equals nothing where it gives none."""
    try:
        return evaluate(program, target.sample.scope, target.index)
    except ReferenceUnresolved:
        return ABSENT


def branched(
    votes: Sequence[tuple[Program, frozenset[int]]], targets: Sequence[Target], agreement: float, min_runs: int
) -> Branch | None:
    """Return two programs that together explain the targets, split by a word in the request or in what was read."""
    strong = [vote for vote in votes if len(vote[1]) >= min_runs][:12]
    for (first, first_hits), (second, second_hits) in combinations(strong, 2):
        only_first, only_second = first_hits - second_hits, second_hits - first_hits
        both = first_hits | second_hits
        if len(both) < agreement * len(targets) or min(len(only_first), len(only_second)) < min_runs:
            continue
        for on in _switches(targets[min(only_first)]):
            left, right = (_words(on, targets, hits) for hits in (only_first, only_second))
            if left and right and not left & right and len(left | right) <= _MAX_WORDS:
                branch = Branch(on=on, cases=(_case(left, first), _case(right, second)))
                hits = sum(same(value_of(branch, each), each.value) for each in targets)
                runs = {each.sample.run_id for each in targets}
                if hits >= agreement * len(targets) and hits > len(first_hits) and len(runs) >= min_runs:
                    return branch
    return None


def switched(targets: Sequence[Target], min_runs: int) -> Iterator[Branch]:
    """Yield the choices between words: each value of a field leads to one word, in the runs that show it."""
    values = Counter(key_of(target.value) for target in targets)
    if not 2 <= len(values) <= 4 or min(values.values()) < min_runs:
        return
    for on in _switches(targets[0]):
        words = [value_of(on, target) for target in targets]
        if not all(word is ABSENT or is_word(word) for word in words) or not 2 <= len(set(words)) <= _MAX_WORDS:
            continue
        led: dict[Any, Counter[Any]] = defaultdict(Counter)
        for word, target in zip(words, targets, strict=True):
            if word is not ABSENT:
                led[word][target.value] += 1
        chosen = {word: counts.most_common(1)[0] for word, counts in led.items()}
        ways: dict[Any, set[Any]] = defaultdict(set)
        for word, (value, count) in chosen.items():
            if count >= min_runs:
                ways[value].add(word)
        if len(ways) >= 2:
            yield Branch(on=on, cases=tuple(_case(ways[value], Const(value=value)) for value in sorted(ways, key=repr)))


def _case(words: set[Any], program: Program) -> Case:
    return Case(values=tuple(sorted(words, key=repr)), then=program)


def _switches(target: Target) -> list[Program]:
    known = target.sample.known(target.index)
    words = [(program, key) for key, programs in known.items() for program in programs]
    fit = [program for program, key in words if is_word(key[1]) and not (isinstance(program, Slot) and program.normal)]
    fit = [program for program in fit if isinstance(program, Slot | Output) and not target.sample.is_web(program)]
    return sorted(fit, key=lambda program: (cost(program), program.model_dump_json()))[:40]


def _words(on: Program, targets: Sequence[Target], hits: frozenset[int]) -> set[Any]:
    found = {number: value_of(on, targets[number]) for number in hits}
    return set(found.values()) if all(is_word(value) for value in found.values()) else set()
