"""What one sentence of a request takes from another: `This is anna17. Restart search.` restarts for whom `@` found.

`@` is what the other sentence's read returned, `@?` what it was asked with. Which reads count is settled by all runs of
a kind together: the fewest of which nearly every run had one, so that a chance neighbour never speaks for who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from evolvent.events.language.learning.examples import Example, StepCall

READ, ASKED = "@", "@?"
CONTEXT = frozenset({READ, ASKED})
MIN_RUNS = 3
MOST = 0.7


def settled(examples: Sequence[Example]) -> tuple[list[Example], tuple[str, ...]]:
    """Return the examples with one context at most, and the steps that it may come from; none where runs had none.

    Where most runs had one, those without teach nothing: who asked is not known of them.
    """
    good = [each for each in examples if not each.is_disputed]
    chosen = _cover(good)
    found = [replace(each, context=_chosen(each, chosen)) for each in examples]
    return [each for each in found if each.context or each.is_disputed or not chosen], chosen


def of_steps(example: Example, steps: Iterable[str]) -> Example:
    """Return an example with only such a context as may come from these steps."""
    return replace(example, context=_chosen(example, tuple(steps)))


def _cover(examples: Sequence[Example]) -> tuple[str, ...]:
    runs = {each.run_id for each in examples}
    having: dict[str, set[str]] = {}
    for example in examples:
        for call in example.context:
            having.setdefault(call.step, set()).add(example.run_id)
    having = {step: found for step, found in having.items() if len(found) >= min(MIN_RUNS, len(runs))}
    left = set().union(*having.values())
    if len(left) < MOST * len(runs):
        return ()
    chosen: list[str] = []
    while left:
        step = min(having, key=lambda each: (-len(having[each] & left), each))
        chosen.append(step)
        left -= having[step]
    return tuple(sorted(chosen))


def _chosen(example: Example, steps: tuple[str, ...]) -> tuple[StepCall, ...]:
    return tuple(call for call in example.context if call.step in steps)[:1]
