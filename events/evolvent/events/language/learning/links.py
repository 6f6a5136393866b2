"""What ties the clauses of one request together: the order that one clause cancels is that of whom another one names.

In the guards of a link, steps of the other clause are written with `other:` before their name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from evolvent.events.language.learning.examples import Example, StepCall
from evolvent.events.language.learning.guards import Equal, Guard, check, programs_of
from evolvent.events.language.learning.invariants import MIN_RUNS, equalities
from evolvent.events.language.learning.nodes import Output, Program, Slot, parts_of
from evolvent.events.language.learning.samples import Sample

OTHER = "other:"
_MOST = 0.95


class Link(BaseModel):
    """What holds between a clause and another one of the same request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    other: str
    """The signature of the other clause."""
    guards: tuple[Guard, ...]


class Links(BaseModel):
    """All that ties a clause to others. One of `requires` has to be in a request: in past runs one always was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    links: tuple[Link, ...] = ()
    requires: tuple[str, ...] = ()
    is_unsettled: bool = False
    """Some other clause was always there, and too few runs say whether it matters."""


def learn_links(own: Sequence[Example], others: Mapping[str, Sequence[Example]]) -> Links:
    """Return what ties the clause of these examples to the clauses that stood beside it, by their signatures."""
    good = [example for example in own if not example.is_disputed]
    runs = {example.run_id for example in good}
    links: list[Link] = []
    known: dict[str, set[str]] = {}
    unknown: set[str] = set()
    for signature in sorted(others):
        beside = {each.run_id: each for each in others[signature] if each.run_id in runs and not each.is_disputed}
        if len(beside) < MIN_RUNS:
            unknown |= set(beside)
            continue
        guards = _crossing([_together(each, beside[each.run_id]) for each in good if each.run_id in beside])
        if guards:
            links.append(Link(other=signature, guards=guards))
            known[signature] = set(beside)
    if not any(call.is_write for example in good for call in example.calls):
        return Links(links=tuple(links))
    tied = set().union(*known.values())
    is_always = len(runs & (tied | unknown)) >= _MOST * len(runs)
    return Links(
        links=tuple(links),
        requires=_cover(known) if is_always else (),
        is_unsettled=is_always and bool(unknown) and not known,
    )


def _cover(known: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Return the fewest signatures of which every tied run has one: who the user is, not what else was asked for."""
    left = set().union(*known.values())
    chosen: list[str] = []
    while left:
        best = min(known, key=lambda signature: (-len(known[signature] & left), signature))
        chosen.append(best)
        left -= known[best]
    return tuple(sorted(chosen))


def _crossing(samples: Sequence[Sample]) -> tuple[Guard, ...]:
    found: dict[str, Guard] = {}
    for guard in equalities(samples):
        if not isinstance(guard, Equal) or _is_other(guard.left) == _is_other(guard.right):
            continue
        if not any(isinstance(part, Output) for program in programs_of(guard) for part in parts_of(program)):
            continue
        if sum(check(guard, sample.scope) is None for sample in samples) >= _MOST * len(samples):
            found.setdefault(guard.model_dump_json(exclude={"why"}), guard)
    return tuple(found.values())[:8]


def _is_other(program: Program) -> bool:
    name = program.name if isinstance(program, Slot) else getattr(program, "step", "")
    return name.startswith(OTHER)


def _together(own: Example, other: Example) -> Sample:
    """Return what both clauses read as one example; steps of groups and writes left out."""
    sample = Sample(Example(own.run_id, {}))
    for prefix, example in (("", own), (OTHER, other)):
        for call in _reads(example):
            sample.learn_output(f"{prefix}{call.step}", call.result)
    return sample


def _reads(example: Example) -> list[StepCall]:
    grouped = {call.step for call in example.calls if call.item is not None}
    first: dict[str, StepCall] = {}
    for call in example.calls:
        if not call.is_write and call.step not in grouped:
            first.setdefault(call.step, call)
    return list(first.values())
