"""Which slots a read has to confirm: what the request says there must be found, as it stands, in what is read.

Such a slot may hold words that no run showed yet: a misreading finds no record, and the agent takes over.
"""

from __future__ import annotations

from collections.abc import Iterator

from evolvent.events.language.learning.guards import Equal, programs_of
from evolvent.events.language.learning.induced import Induced
from evolvent.events.language.learning.nodes import Lookup, Output, Program, Slot, parts_of


def proven_slots(induced: Induced) -> frozenset[str]:
    """Return the slots whose value a guard or the only fitting row of a list confirms."""
    found: set[str] = set()
    for guard in induced.guards:
        if isinstance(guard, Equal):
            sides = (guard.left, guard.right)
            if any(isinstance(side, Output) for side in sides):
                found |= {side.name for side in sides if isinstance(side, Slot)}
        found |= {name for program in programs_of(guard) for name in _looked_up(program)}
    for step in induced.steps:
        if not step.is_late:
            found |= {name for program in step.bindings.values() for name in _looked_up(program)}
    return frozenset(found)


def _looked_up(program: Program) -> Iterator[str]:
    for part in parts_of(program):
        if isinstance(part, Lookup):
            yield from (each.equals.name for each in part.where if isinstance(each.equals, Slot))
