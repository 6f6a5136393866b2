"""Phrasings of one kind of work, learnt together: their runs are pooled to find the programs, their words stay apart.

    runs with the same calls ─a kind for each program that explains them▶ kinds ─a phrasing joins the kind whose
    program does exactly what its own runs did▶ members ─all members' runs side by side▶ one program, tried on each

So the third way to say a thing is understood after two runs, and a rare branch is learnt from all phrasings at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evolvent.events.language.learning.contexts import of_steps
from evolvent.events.language.learning.examples import Clause, Example
from evolvent.events.language.learning.guards import programs_of
from evolvent.events.language.learning.induced import Induced, NotLearnt
from evolvent.events.language.learning.induction import induce
from evolvent.events.language.learning.invariants import slot_guards
from evolvent.events.language.learning.nodes import slots_of
from evolvent.events.language.learning.prediction import is_right, predict
from evolvent.events.language.learning.programs import evaluate
from evolvent.events.language.learning.retro import RetroReport, retrospect
from evolvent.events.language.learning.roles import Roles, aligned, roles_of
from evolvent.events.language.learning.samples import Sample
from evolvent.events.language.references import as_text
from evolvent.events.language.workflow_problems import ReferenceUnresolved

MAX_POOL = 24
"""So many runs are laid side by side, the newest of each phrasing in turn: more of them teach little and cost time."""


JOIN = 0.8
"""The share of a phrasing's runs that a kind's program has to explain: the agent slips in some."""


@dataclass(frozen=True, slots=True)
class Phrasing:
    """A signature of a kind: its clauses, and what its slots are called in the kind's programs."""

    signature: str
    clauses: tuple[Clause, ...]
    names: Mapping[str, str]

    @property
    def examples(self) -> list[Example]:
        """Its runs, with the slots under the kind's names."""
        return [renamed(clause.example, self.names) for clause in self.clauses]


@dataclass(slots=True)
class Kind:
    """What some phrasings have in common: one program, and how it did on runs that it was not made from."""

    roles: Roles
    induced: Induced
    members: dict[str, Phrasing] = field(default_factory=dict)
    retro: RetroReport = field(default_factory=lambda: RetroReport(0))

    @property
    def examples(self) -> list[Example]:
        """Runs of all members, the newest of each in turn."""
        queues = [each.examples[::-1] for each in self.members.values()]
        longest = max(map(len, queues), default=0)
        turns = [queue[at] for at in range(longest) for queue in queues if at < len(queue)]
        disputed = [each for each in turns if each.is_disputed]
        return [*disputed, *[each for each in turns if not each.is_disputed][:MAX_POOL]]

    def joins(self, signature: str, clauses: tuple[Clause, ...]) -> bool:
        """Take a phrasing in if the program does exactly what its runs did; say whether it did."""
        names = aligned(self.roles, roles_of([clause.example for clause in clauses]))
        phrasing = Phrasing(signature, clauses, names)
        own = [each for each in phrasing.examples if not each.is_disputed]
        right = sum(explains(self.induced, each) for each in own)
        if right < JOIN * len(own) or answers_of(self.induced, own) < 0.5:
            return False
        self.members[signature] = phrasing
        return True


def kinds_of(members: Mapping[str, tuple[Clause, ...]], min_runs: int) -> tuple[list[Kind], dict[str, NotLearnt]]:
    """Sort the phrasings of a family into kinds; and say why some are of none."""
    kinds: list[Kind] = []
    left: dict[str, NotLearnt] = {}
    ordered = sorted(members, key=lambda name: (-len(_runs(members[name])), name))
    for signature in ordered:
        clauses = members[signature]
        if any(kind.joins(signature, clauses) for kind in kinds if not kind.induced.open_steps):
            continue
        own = _founded(signature, clauses) if len(_runs(clauses)) >= min_runs else None
        if isinstance(own, Kind) and not own.induced.open_steps:
            kinds.append(own)
        elif any(kind.joins(signature, clauses) for kind in kinds if kind.induced.open_steps):
            continue
        elif isinstance(own, Kind):
            kinds.append(own)
        else:
            why = f"{len(_runs(clauses))} runs show it, and no program of others explains them."
            left[signature] = own or NotLearnt(why)
    kinds += _from_rests({name: members[name] for name in ordered if name in left}, left, min_runs)
    for kind in kinds:
        _consolidate(kind)
    return kinds, left


def explains(induced: Induced, example: Example) -> bool:
    """Say whether a program does exactly what a run did; what it leaves to a model does not count."""
    known = _closed(induced, example)
    return is_right(predict(induced.steps, (), known), known)


def is_foreseen(induced: Induced, example: Example) -> bool:
    """Say whether a program with its guards would have done exactly what a run did."""
    known = _closed(induced, example)
    return is_right(predict(induced.steps, induced.guards, known), known)


def answers_of(induced: Induced, examples: Sequence[Example]) -> float:
    """Return the share of the answers that the program gives word for word; 1 where there is nothing to compare."""
    told = [each for each in examples if each.answer is not None and not each.is_disputed]
    if induced.response is None or not told:
        return 1.0
    return sum(_answer(induced, each) == each.answer for each in told) / len(told)


def _closed(induced: Induced, example: Example) -> Example:
    calls = tuple(call for call in example.calls if call.step not in induced.open_steps)
    return of_steps(replace(example, calls=calls), induced.context)


def _answer(induced: Induced, example: Example) -> str | None:
    known = _closed(induced, example)
    sample = Sample(known)
    for call in known.calls:
        if call.item is None:
            sample.learn_output(call.step, call.result)
    try:
        return as_text(evaluate(induced.response, sample.scope))
    except ReferenceUnresolved:
        return None


def with_own_guards(induced: Induced, phrasing: Phrasing) -> Induced:
    """Return the program with what this phrasing says beside: values that others do not have, equal to what is read."""
    own = [each for each in phrasing.examples if not each.is_disputed and explains(induced, each)]
    guards = [*induced.guards]
    used = {name for step in induced.steps for name in step.slots}
    used |= {name for guard in guards for program in programs_of(guard) for name in slots_of(program)}
    names = {name for each in own for name, text in each.slots.items() if isinstance(text, str)}
    more = slot_guards([_read(induced, each) for each in own], frozenset(names - used)) if own else ()
    used |= {name for guard in more for program in programs_of(guard) for name in slots_of(program)}
    every = {name for each in phrasing.examples for name in each.slots}
    return replace(induced, guards=(*guards, *more), ignored_slots=tuple(sorted(every - used)))


def _read(induced: Induced, example: Example) -> Sample:
    """Return an example with what its early reads returned."""
    early = {step.step for step in induced.steps if not step.is_late and not step.is_write}
    sample = Sample(of_steps(example, induced.context))
    for call in example.calls:
        if call.item is None and call.step in early:
            sample.learn_output(call.step, call.result)
    return sample


def renamed(example: Example, names: Mapping[str, str]) -> Example:
    """Return an example with its slots under other names."""
    return replace(example, slots={names.get(name, name): text for name, text in example.slots.items()})


def _founded(signature: str, clauses: tuple[Clause, ...]) -> Kind | NotLearnt:
    examples = [clause.example for clause in clauses]
    induced = induce(examples, skeleton=clauses[0].skeleton)
    if isinstance(induced, NotLearnt):
        return induced
    same = {name: name for each in examples for name in each.slots}
    return Kind(roles_of(examples), induced, {signature: Phrasing(signature, clauses, same)})


def _from_rests(members: Mapping[str, tuple[Clause, ...]], left: dict[str, NotLearnt], min_runs: int) -> list[Kind]:
    """Try phrasings together that are each too rare alone."""
    rare = [name for name in members if len(_runs(members[name])) < min_runs]
    if len(rare) < 2 or sum(len(_runs(members[name])) for name in rare) < min_runs:
        return []
    first = rare[0]
    roles = roles_of([clause.example for clause in members[first]])
    phrasings = [
        Phrasing(name, members[name], aligned(roles, roles_of([each.example for each in members[name]])))
        for name in rare
    ]
    induced = induce([each for phrasing in phrasings for each in phrasing.examples], skeleton=_words(phrasings))
    if isinstance(induced, NotLearnt):
        return []
    kind = Kind(roles, induced)
    for phrasing in phrasings:
        if kind.joins(phrasing.signature, phrasing.clauses):
            left.pop(phrasing.signature, None)
    return [kind] if kind.members else []


def _consolidate(kind: Kind) -> None:
    """Learn from all members at once, if that explains no less than the first did; and try it on what it never saw."""
    words = _words(kind.members.values())
    if len(kind.members) > 1:
        pooled = induce(kind.examples, skeleton=words)
        if isinstance(pooled, Induced) and _is_no_worse(pooled, kind.induced):
            kind.induced = pooled
    kind.retro = retrospect(kind.examples, skeleton=words)


def _is_no_worse(new: Induced, old: Induced) -> bool:
    return len(new.open_steps) <= len(old.open_steps) and (new.response is not None or old.response is None)


def _words(phrasings: Iterable[Phrasing]) -> str:
    return " | ".join(sorted(each.clauses[0].skeleton for each in phrasings))


def _runs(clauses: Sequence[Clause]) -> set[str]:
    return {clause.example.run_id for clause in clauses if not clause.example.is_disputed}
