"""What would an induced program have done in a recorded run? Answered from the recorded results; no tool is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolvent.events.language.learning.examples import Example, StepCall
from evolvent.events.language.learning.guards import Guard, check
from evolvent.events.language.learning.induced import InducedStep
from evolvent.events.language.learning.programs import Repeated, evaluate
from evolvent.events.language.learning.samples import Sample
from evolvent.events.language.learning.values import same
from evolvent.events.language.workflow_problems import ReferenceUnresolved


@dataclass(frozen=True, slots=True)
class Prediction:
    """The writes in order, as (tool, arguments); or why the program would have left the request to the agent."""

    writes: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    abstained: str | None = None


def predict(steps: Sequence[InducedStep], guards: Iterable[Guard], example: Example) -> Prediction:
    """Return what the steps would have written, given what this run asked and read."""
    sample = Sample(example)
    writes: list[tuple[str, Mapping[str, Any]]] = []
    try:
        for step in (step for step in steps if not step.is_late):
            calls = arguments_of(step, sample)
            if step.is_write:
                writes += [(step.tool, arguments) for arguments in calls]
            found = [_recorded(step, arguments, example) for arguments in calls]
            if all(call is not None for call in found):
                results = [call.result for call in found if call is not None]
                sample.learn_output(step.step, Repeated(results) if step.repeats else results[0])
            elif not step.is_write:
                return Prediction(abstained=f"The run has no result for what {step.step} would have read.")
    except ReferenceUnresolved as gap:
        return Prediction(abstained=str(gap))
    why = next((why for guard in guards if (why := check(guard, sample.scope)) is not None), None)
    return Prediction(abstained=why) if why is not None else Prediction(tuple(writes))


def is_right(prediction: Prediction, example: Example) -> bool:
    """Say whether a prediction is exactly what the run wrote."""
    actual = [(call.tool, call.arguments) for call in example.calls if call.is_write]
    return prediction.abstained is None and same(
        [[tool, dict(arguments)] for tool, arguments in prediction.writes],
        [[tool, dict(arguments)] for tool, arguments in actual],
    )


def arguments_of(step: InducedStep, sample: Sample) -> list[dict[str, Any]]:
    """Return the arguments of each call of a step.

    Raises:
        ReferenceUnresolved: one cannot be worked out.
    """
    if step.repeats is None:
        return [{name: evaluate(program, sample.scope) for name, program in step.bindings.items()}]
    texts = sample.example.slots.get(step.repeats)
    if not isinstance(texts, tuple) or not texts:
        raise ReferenceUnresolved(f"Slot {step.repeats!r} holds no group.")
    return [
        {name: evaluate(program, sample.scope, at) for name, program in step.bindings.items()}
        for at in range(len(texts))
    ]


def _recorded(step: InducedStep, arguments: Mapping[str, Any], example: Example) -> StepCall | None:
    calls = sorted(example.calls, key=lambda call: call.step != step.step)
    return next(
        (call for call in calls if call.tool == step.tool and same(dict(call.arguments), dict(arguments))), None
    )
