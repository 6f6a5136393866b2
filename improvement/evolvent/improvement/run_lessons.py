"""Pure: what a finished run says to the learner: its trace, whether it may teach, and which automations served it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evolvent.events.language.learning.traces import Trace
from evolvent.events.language.learning.tracing import trace_of
from evolvent.events.language.reducer import fold
from evolvent.events.messages.runs import AnyRunEvent
from evolvent.storage.signatures import Serving


@dataclass(frozen=True, slots=True)
class RunLesson:
    """A finished run as the learner takes it.

    `teaches` is False where its trace must not support anything: an automation did the work, and nobody complained.
    `prefetched` reads were made before its agent was asked.
    """

    trace: Trace
    automations: tuple[tuple[str, int], ...] = ()
    is_deoptimized: bool = False
    teaches: bool = True
    prefetched: int = 0


def lesson_of(run_id: str, events: Sequence[tuple[int, AnyRunEvent]], *, is_disputed: bool) -> RunLesson | None:
    """Return what a run says, or None where its beginning is not known, or its end.

    What an automation did is no support for it, or it would prove itself by being used; that it was wrong counts.
    Where the agent took over in mid-run, the work is the agent's.
    """
    state = fold(run_id, events)
    answer = getattr(events[-1][1], "answer", None) if events else None
    trace = trace_of(state, outcome=False if is_disputed else None, answer=answer)
    if trace is None or state.started is None or not state.status.is_final:
        return None
    handed_over = any(event.type == "deoptimized" for _, event in events)
    automations = tuple(parse_versions(state.started.routing.automations))
    teaches = not automations or handed_over or is_disputed
    return RunLesson(trace, automations, handed_over, teaches, state.started.routing.prefetched)


def servings_of(lesson: RunLesson, usual_tokens: Mapping[tuple[str, int], int]) -> list[Serving]:
    """Return how each automation of a run did; several share the run and what it cost.

    `usual_tokens` is the mean of the runs that each was learnt from. A run that failed was not served.
    """
    trace = lesson.trace
    if not trace.is_live or not (trace.succeeded or lesson.is_deoptimized):
        return []
    share = len(lesson.automations)
    return [
        Serving(
            trace.run_id,
            automation_id,
            version,
            is_wrong=trace.outcome is False and not lesson.is_deoptimized,
            is_deoptimized=lesson.is_deoptimized,
            tokens_saved=(usual_tokens.get((automation_id, version), trace.tokens) - trace.tokens) // share,
        )
        for automation_id, version in lesson.automations
    ]


def parse_versions(names: Sequence[str]) -> list[tuple[str, int]]:
    """Return (automation_id, version) of each `ID@VERSION` that is one."""
    parts = [name.rpartition("@") for name in names]
    return [(automation_id, int(version)) for automation_id, _, version in parts if automation_id and version.isdigit()]
