"""Runs that somebody disputed must not be repeated: a guard tells them from the good ones, or nothing is learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evolvent.events.language.learning.candidates import cost
from evolvent.events.language.learning.examples import Example
from evolvent.events.language.learning.guards import Between, Guard, OneOf
from evolvent.events.language.learning.induced import InducedStep
from evolvent.events.language.learning.nodes import Output, Program, Slot
from evolvent.events.language.learning.prediction import is_right, predict
from evolvent.events.language.learning.programs import evaluate
from evolvent.events.language.learning.samples import Sample
from evolvent.events.language.learning.values import is_word
from evolvent.events.language.workflow_problems import ReferenceUnresolved

_MAX_WORDS = 6


def excluded(
    disputed: Sequence[Example], good: Sequence[Sample], steps: Sequence[InducedStep], guards: Sequence[Guard]
) -> tuple[Guard, ...] | None:
    """Return the guards that keep the disputed runs from being repeated; None where nothing tells one of them apart."""
    found: list[Guard] = []
    for example in disputed:
        if not is_right(predict(steps, (*guards, *found), example), example):
            continue
        guard = next(
            (
                guard
                for guard in _separating(good)
                if predict(steps, (*guards, *found, guard), example).abstained is not None
            ),
            None,
        )
        if guard is None:
            return None
        found.append(guard)
    return tuple(found)


def _separating(good: Sequence[Sample]) -> Iterator[Guard]:
    """Yield guards that hold for all good runs: words that they had in common, ranges of their numbers."""
    programs = {program for programs in good[0].known(None).values() for program in programs}
    simple = [each for each in programs if isinstance(each, Output) or (isinstance(each, Slot) and not each.put)]
    for program in sorted(
        (each for each in simple if not any(sample.is_web(each) for sample in good)),
        key=lambda each: (cost(each), each.model_dump_json()),
    ):
        values = [_try(program, sample) for sample in good]
        if all(is_word(value) for value in values) and len(set(values)) <= _MAX_WORDS:
            words = tuple(sorted(set(values), key=repr))
            yield OneOf(value=program, values=words, why="a run with another value was disputed")
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            yield Between(value=program, low=min(values), high=max(values), why="a run outside was disputed")


def _try(program: Program, sample: Sample) -> Any:
    try:
        return evaluate(program, sample.scope)
    except ReferenceUnresolved:
        return None
