"""An automation's programs as they stand in a workflow: groups unrolled, slots and steps under that run's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.contexts import CONTEXT, READ
from evolvent.events.language.learning.guards import Equal, Guard
from evolvent.events.language.learning.links import OTHER
from evolvent.events.language.learning.nodes import Each, Find, Items, Output, Program, Slot, renamed
from evolvent.events.language.workflow_problems import ReferenceUnresolved

MAX_REPEATS = 50


@dataclass(frozen=True, slots=True)
class NotServed:
    """No automation serves this request, and why; the agent does."""

    reason: str


@dataclass(slots=True)
class Place:
    """One clause of a request: its number, its automation, the values of its slots, the tasks of its steps."""

    number: int
    automation: Automation
    slots: Mapping[str, str | Sequence[str]]
    tasks: dict[tuple[str, int | None], str] = field(default_factory=dict)
    context: tuple[Place, str] | None = None
    """The clause that introduces somebody, and its step that does."""

    def indexes(self, repeats: str | None) -> list[int | None]:
        """Return the repetitions of a step: one without a number, or one for each text of its group.

        Raises:
            ReferenceUnresolved: the group is empty, too large, or none.
        """
        if repeats is None:
            return [None]
        size = len(self._group(repeats))
        if not 0 < size <= MAX_REPEATS:
            raise ReferenceUnresolved(f"A group of {size} is none that was learnt.")
        return list(range(size))

    def task_id(self, step: str, index: int | None) -> str:
        """Return what the task of a step is called."""
        return f"c{self.number}_{step}" if index is None else f"c{self.number}_{step}_{index}"

    def slot(self, name: str) -> str:
        """Return what a slot is called among the parameters of the run."""
        return f"c{self.number}_{name}"

    def task_of(self, step: str, index: int | None) -> str:
        """Return the task that does a step.

        Raises:
            ReferenceUnresolved: none does.
        """
        found = self.tasks.get((step, None)) or self.tasks.get((step, index))
        if found is None:
            raise ReferenceUnresolved(f"No task does step {step!r}.")
        return found

    def _group(self, slot: str) -> Sequence[str]:
        texts = self.slots.get(slot)
        if texts is None or isinstance(texts, str):
            raise ReferenceUnresolved(f"Slot {slot!r} holds no group.")
        return texts

    def is_group(self, slot: str) -> bool:
        """Say whether a slot holds a text for each repetition."""
        return not isinstance(self.slots.get(slot, ""), str)


def placed(program: Program, place: Place, index: int | None, other: Place | None = None) -> Program:
    """Return a program as it stands in the workflow.

    Raises:
        ReferenceUnresolved: it reads a step or a group that is not there.
    """

    def change(part: Program) -> Program | None:
        if isinstance(part, Each):
            bodies = (placed(part.body, place, at, other) for at in place.indexes(part.slot))
            return Items(items=tuple(bodies))
        if isinstance(part, Slot):
            return _slot(part, place, index, other)
        if isinstance(part, Output) and part.step in CONTEXT:
            return _introduced(part, place)
        if isinstance(part, Output | Find):
            where, step = _side(part.step, place, other)
            return part.model_copy(update={"step": where.task_of(step, index)})
        return None

    return renamed(program, change)


def _introduced(part: Output, place: Place) -> Program:
    """Return what another clause's read returned, or what it was asked with."""
    if place.context is None:
        raise ReferenceUnresolved("Nobody is introduced.")
    where, step = place.context
    if part.step == READ:
        return part.model_copy(update={"step": where.task_of(step, None)})
    made = next(each for each in where.automation.steps if each.step == step)
    if len(part.path) != 1 or part.path[0] not in made.bindings:
        raise ReferenceUnresolved(f"{step!r} is not asked with {part.path!r}.")
    return placed(made.bindings[str(part.path[0])], where, None)


def introduce(places: Sequence[Place]) -> None:
    """Tell each clause that needs it which other clause introduces somebody.

    Raises:
        ReferenceUnresolved: none does, or two do.
    """
    for place in places:
        wanted = place.automation.context
        found = [
            (other, step.step)
            for other in places
            for step in other.automation.steps
            if other is not place and not other.automation.context and step.step in wanted and step.repeats is None
        ]
        if wanted and len(found) != 1:
            raise ReferenceUnresolved(f"{place.automation.name} was never asked for without exactly one of {wanted}.")
        place.context = found[0] if found else None


def placed_guard(guard: Guard, place: Place, other: Place | None) -> Guard:
    """Return a guard as it stands in the workflow.

    Raises:
        ReferenceUnresolved: it reads a step or a group that is not there.
    """
    if isinstance(guard, Equal):
        sides = {name: placed(getattr(guard, name), place, None, other) for name in ("left", "right")}
        return guard.model_copy(update=sides)
    return guard.model_copy(update={"value": placed(guard.value, place, None, other)})


def _slot(part: Slot, place: Place, index: int | None, other: Place | None) -> Slot:
    where, name = _side(part.name, place, other)
    at = part.index if part.index is not None else (index if where.is_group(name) else None)
    return part.model_copy(update={"name": where.slot(name), "index": at})


def _side(name: str, place: Place, other: Place | None) -> tuple[Place, str]:
    if not name.startswith(OTHER):
        return place, name
    if other is None:
        raise ReferenceUnresolved(f"{name!r} belongs to a clause that is not there.")
    return other, name.removeprefix(OTHER)
