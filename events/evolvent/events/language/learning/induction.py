"""From examples to programs: for each argument of each step the program that gives it in most runs; or why not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.candidates import Target
from evolvent.events.language.learning.contexts import settled
from evolvent.events.language.learning.counterexamples import excluded
from evolvent.events.language.learning.examples import Example, StepCall
from evolvent.events.language.learning.guards import Guard, programs_of
from evolvent.events.language.learning.induced import Induced, InducedStep, NotLearnt
from evolvent.events.language.learning.invariants import Rival, invariants
from evolvent.events.language.learning.nodes import Program, slots_of
from evolvent.events.language.learning.prediction import arguments_of, is_right, predict
from evolvent.events.language.learning.programs import Repeated
from evolvent.events.language.learning.responses import learn_response
from evolvent.events.language.learning.samples import Sample
from evolvent.events.language.learning.values import same
from evolvent.events.language.learning.voting import AGREEMENT, MIN_RUNS, Argument, learn_value
from evolvent.events.language.workflow_problems import ReferenceUnresolved

MAX_EXAMPLES = 64
ALWAYS = 0.9
"""A read that fewer runs show, and that no program explains, is left out; one that more show is left to a model."""


@dataclass(slots=True)
class _Study:
    """What is known so far of one signature."""

    samples: list[Sample]
    words: str
    steps: list[InducedStep] = field(default_factory=list)
    rivals: list[Rival] = field(default_factory=list)
    open_steps: dict[str, str] = field(default_factory=dict)
    context: tuple[str, ...] = ()


def induce(examples: Sequence[Example], *, skeleton: str = "", is_worded: bool = True) -> Induced | NotLearnt:
    """Return what is to be learnt from the examples of one signature. The order of the examples does not matter.

    Args:
        examples: Runs side by side; disputed ones are counter-examples and never support.
        skeleton: The fixed words of the request template, which came from the user.
        is_worded: Whether the wording of the answer is wanted too.
    """
    examples, context = settled(examples)
    ordered = sorted(examples, key=lambda each: (each.run_id, content_hash(_plain(each))))
    good = [each for each in ordered if not each.is_disputed and each.calls][-MAX_EXAMPLES:]
    if len({each.run_id for each in good}) < MIN_RUNS:
        return NotLearnt(f"Fewer than {MIN_RUNS} undisputed runs show it.")
    study = _Study([Sample(each) for each in good], skeleton, context=context)
    order = _steps_in_order(good)
    for step in order:
        _study_step(step, study)
    if not study.steps:
        return NotLearnt("; ".join(f"{step}: {why}" for step, why in study.open_steps.items()) or "No step is shared.")
    study.steps = _with_late(study.steps)
    return _conclude(study, [each for each in ordered if each.is_disputed], is_worded=is_worded)


def _conclude(study: _Study, disputed: Sequence[Example], *, is_worded: bool) -> Induced | NotLearnt:
    has_open_write = any(call.is_write and call.step in study.open_steps for call in study.samples[0].example.calls)
    right = [sample for sample in study.samples if has_open_write or _reproduces(study.steps, sample.example)]
    runs = {sample.run_id for sample in right}
    agreement = len(right) / len(study.samples)
    if len(runs) < MIN_RUNS or agreement < AGREEMENT:
        return NotLearnt(f"The programs reproduce only {len(right)} of {len(study.samples)} runs.")
    guards = invariants(right, study.steps, study.rivals)
    against = excluded(disputed, right, study.steps, guards)
    if against is None:
        return NotLearnt("A disputed run would be repeated, and nothing tells it from the others.")
    guards = (*guards, *against)
    misses = sorted({sample.run_id for sample in study.samples if sample not in right})
    return Induced(
        steps=tuple(study.steps),
        guards=guards,
        response=learn_response(right) if is_worded and not has_open_write else None,
        ignored_slots=_ignored(right, study.steps, guards),
        support=len(runs),
        agreement=agreement,
        misses=tuple(misses),
        open_steps=dict(study.open_steps),
        runs=tuple(sorted(runs)),
        context=study.context,
    )


def _reproduces(steps: Sequence[InducedStep], example: Example) -> bool:
    return is_right(predict(steps, (), example), example)


def _steps_in_order(examples: Sequence[Example]) -> list[str]:
    """Return the steps that most runs show, in the order in which most do them."""
    places: dict[str, list[float]] = defaultdict(list)
    for example in examples:
        for place, step in enumerate(dict.fromkeys(call.step for call in example.calls)):
            places[step].append(place)
    shared = {step: seen for step, seen in places.items() if len(seen) >= AGREEMENT * len(examples)}
    return sorted(shared, key=lambda step: (sorted(shared[step])[len(shared[step]) // 2], step))


def _study_step(step: str, study: _Study) -> None:
    calls = {number: found for number, sample in enumerate(study.samples) if (found := sample.calls(step))}
    every = [call for found in calls.values() for call in found]
    head, _ = min(Counter((call.tool, call.effect) for call in every).items(), key=lambda item: (-item[1], item[0]))
    is_repeated = any(call.item is not None for call in every)
    # The newest run's schema is the one in force: a change of schema makes another signature.
    schema_hash = max(calls.items())[1][-1].schema_hash
    repeats = _group_slot(study.samples[next(iter(calls))]) if is_repeated else None
    if is_repeated and repeats is None:
        study.open_steps[step] = "It is repeated, but not over something that stands in the request."
        return
    bindings, rivals, gap = _bindings(calls, study, is_repeated=is_repeated)
    is_write = any(call.is_write for call in every)
    if gap is not None and not is_write and len(calls) < ALWAYS * len(study.samples):
        return
    if gap is not None:
        study.open_steps[step] = f"No program gives its argument {gap!r} in enough runs."
        return
    learnt = InducedStep(step, head[0], head[1], schema_hash, bindings, repeats)
    study.steps.append(learnt)
    study.rivals += [Rival(program, rival, repeats) for program, rival in rivals]
    for sample in study.samples:
        _take_output(learnt, sample)


def _bindings(
    calls: Mapping[int, list[StepCall]], study: _Study, *, is_repeated: bool
) -> tuple[dict[str, Program], list[tuple[Program, Program]], str | None]:
    targets: dict[str, list[Target]] = defaultdict(list)
    count = 0
    for number, found in calls.items():
        sample = study.samples[number]
        if is_repeated and len(found) != sample.size:
            continue
        for index, call in enumerate(found if is_repeated else found[:1]):
            count += 1
            for name, value in call.arguments.items():
                targets[name].append(Target(sample, index if is_repeated else None, value))
    bindings: dict[str, Program] = {}
    rivals: list[tuple[Program, Program]] = []
    for name in sorted(targets):
        if len(targets[name]) < (1 - AGREEMENT) * count:
            continue
        is_write = any(call.is_write for found in calls.values() for call in found)
        vote = learn_value(targets[name], Argument(name, is_write, study.words))
        if vote is None:
            return bindings, rivals, name
        bindings[name] = vote.program
        rivals += [(vote.program, rival) for rival in vote.rivals]
    return bindings, rivals, None if count else "of the group"


def _take_output(step: InducedStep, sample: Sample) -> None:
    """Give a sample what the step returned; a repeated step's results are laid out by the arguments that fit."""
    calls = sample.calls(step.step)
    if not calls:
        return
    if step.repeats is None:
        sample.learn_output(step.step, calls[0].result)
        return
    try:
        wanted = arguments_of(step, sample)
    except ReferenceUnresolved:
        wanted = [dict(call.arguments) for call in calls]
    fitting = [[call for call in calls if same(dict(call.arguments), arguments)] for arguments in wanted]
    if all(fitting):
        sample.learn_output(step.step, Repeated(found[0].result for found in fitting))
    elif len(calls) == sample.size:
        sample.learn_output(step.step, Repeated(call.result for call in calls))


def _group_slot(sample: Sample) -> str | None:
    if sample.size is None:
        return None
    return min(name for name, text in sample.example.slots.items() if isinstance(text, tuple))


def _with_late(steps: Sequence[InducedStep]) -> list[InducedStep]:
    """Mark the reads after a write that no write needs."""
    found: list[InducedStep] = []
    for place, step in enumerate(steps):
        is_after = any(each.is_write for each in steps[:place])
        is_needed = any(step.step in later.needs for later in steps[place + 1 :])
        found.append(replace(step, is_late=is_after and not step.is_write and not is_needed))
    return found


def _ignored(samples: Sequence[Sample], steps: Sequence[InducedStep], guards: Sequence[Guard]) -> tuple[str, ...]:
    used = {name for step in steps for name in step.slots}
    used |= {name for guard in guards for program in programs_of(guard) for name in slots_of(program)}
    return tuple(sorted({name for sample in samples for name in sample.example.slots} - used))


def _plain(example: Example) -> list[object]:
    calls = [[call.step, call.item, call.tool, dict(call.arguments), call.result] for call in example.calls]
    context = [[call.step, dict(call.arguments), call.result] for call in example.context]
    return [dict(example.slots), calls, example.answer, example.is_disputed, context]
