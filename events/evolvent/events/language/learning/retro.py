"""Would the program have done what the agent did? Asked of past runs, each answered by a program that never saw it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.contexts import of_steps
from evolvent.events.language.learning.examples import Example
from evolvent.events.language.learning.induced import Induced
from evolvent.events.language.learning.induction import induce
from evolvent.events.language.learning.prediction import is_right, predict

MAX_FOLDS = 5


@dataclass(frozen=True, slots=True)
class RetroReport:
    """How the program did on past runs that it was not induced from. Runs are counted, not calls.

    `agreed` wrote exactly what the agent wrote, `misses` something else; in `abstained` the program would have left
    the request to the agent, and why. Abstaining is never wrong.
    """

    runs: int
    agreed: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()
    abstained: Mapping[str, str] = field(default_factory=dict)

    @property
    def precision(self) -> float:
        """The share of its predictions that were exactly right; 0 where it made none."""
        predicted = len(self.agreed) + len(self.misses)
        return len(self.agreed) / predicted if predicted else 0.0

    @property
    def coverage(self) -> float:
        """The share of the runs in which it made a prediction."""
        return (len(self.agreed) + len(self.misses)) / self.runs if self.runs else 0.0


def retrospect(examples: Sequence[Example], *, skeleton: str = "") -> RetroReport:
    """Return how programs induced without a run predict its writes, for each undisputed run.

    Up to five runs are left out one by one; of more, equal parts are left out together, which is harder.
    """
    runs = sorted({example.run_id for example in examples if not example.is_disputed and example.calls})
    agreed: list[str] = []
    misses: list[str] = []
    abstained: dict[str, str] = {}
    for left_out in _folds(runs):
        induced = induce([each for each in examples if each.run_id not in left_out], skeleton=skeleton, is_worded=False)
        for run_id in sorted(left_out):
            own = [each for each in examples if each.run_id == run_id and not each.is_disputed and each.calls]
            verdict = _verdict(induced, own)
            if verdict is None:
                agreed.append(run_id)
            elif verdict:
                abstained[run_id] = verdict
            else:
                misses.append(run_id)
    return RetroReport(len(runs), tuple(sorted(agreed)), tuple(sorted(misses)), dict(sorted(abstained.items())))


def _verdict(induced: object, examples: Sequence[Example]) -> str | None:
    """Return None for right, "" for wrong, else why the program abstained."""
    if not isinstance(induced, Induced):
        return f"Nothing is learnt without this run: {getattr(induced, 'reason', '')}"
    if any(step in induced.open_steps for each in examples for step in (call.step for call in each.calls)):
        return "Some step is open and left to a model."
    worst: str | None = None
    for example in examples:
        prediction = predict(induced.steps, induced.guards, of_steps(example, induced.context))
        if prediction.abstained is not None:
            worst = worst if worst == "" else prediction.abstained
        elif not is_right(prediction, example):
            worst = ""
    return worst


def _folds(runs: Sequence[str]) -> Iterator[frozenset[str]]:
    """Deal the runs into parts by their hashes, so that neither time nor name decides who is left out with whom."""
    dealt = sorted(runs, key=lambda run: content_hash(run))
    count = min(len(dealt), MAX_FOLDS)
    for at in range(count):
        yield frozenset(dealt[at::count])
