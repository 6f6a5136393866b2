"""What an automation would have done in a recorded run: carried out by the engine's own law, on recorded results alone.

No effects, no cost. A read that the run did not make is not decidable, never guessed; a write that it did not make is a
difference. Shown in use by tests/unit/events/learning/test_rehearsal.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evolvent.events.language.decisions import decide
from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.library import Library, Served
from evolvent.events.language.learning.matching import Abstained
from evolvent.events.language.learning.tracing import trace_of
from evolvent.events.language.reducer import fold, reduce
from evolvent.events.language.replay import recorded_tools
from evolvent.events.language.state import RunState, RunStatus
from evolvent.events.language.steps import CallTool
from evolvent.events.language.ticks import Stamp, Tick, compose
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.messages.runs import (
    AnyRunEvent,
    Final,
    Mode,
    RoutingDecision,
    ServedBy,
    ToolOutcome,
    ToolRecord,
    WorkflowStarted,
)

Verdict = Literal["same", "different", "undecided"]
_HARMLESS = (Effect.PURE, Effect.READ)
_MOST_EVENTS = 2_000


@dataclass(frozen=True, slots=True)
class Effected:
    """A call that changed something, or would have."""

    tool: str
    arguments: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Equal for equal calls."""
        return _key(self.tool, self.arguments)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How a rehearsal ended. `missing` are writes that only the run made, `added` those that only the automation would.

    `answer` is None where a model would word it; answers decide only where neither side wrote anything.
    """

    verdict: Verdict
    reason: str
    automations: tuple[str, ...] = ()
    recorded: tuple[Effected, ...] = ()
    rehearsed: tuple[Effected, ...] = ()
    missing: tuple[Effected, ...] = ()
    added: tuple[Effected, ...] = ()
    recorded_answer: str | None = None
    answer: str | None = None
    tokens_recorded: int = 0


@dataclass(frozen=True, slots=True)
class _Stop:
    """Why a rehearsal goes no further; a write that was not recorded is one."""

    reason: str
    write: Effected | None = None


def rehearse(run_id: str, entries: Sequence[tuple[int, AnyRunEvent]], automations: Sequence[Automation]) -> Rehearsal:
    """Carry out what automations make of a recorded run's request, and compare it with what the run did.

    Args:
        run_id: the run.
        entries: its journal as (sequence, event) pairs, in order.
        automations: the candidates, which together should take the whole request.
    """
    past = fold(run_id, entries)
    trace = trace_of(past, answer=_answer_of(entries))
    if past.started is None or trace is None:
        return Rehearsal("undecided", "The beginning of the run is not known.")
    if not past.status.is_final:
        return Rehearsal("undecided", f"The run has not ended: it is {past.status.value}.")
    done = tuple(
        Effected(call.name, call.arguments) for call in trace.calls if call.effect not in _HARMLESS and not call.error
    )
    common: dict[str, Any] = {
        "automations": tuple(f"{each.automation_id}@{each.version}" for each in automations),
        "recorded": done,
        "recorded_answer": trace.answer,
        "tokens_recorded": trace.tokens,
    }
    scope = automations[0].scope if automations else ("", "")
    served = Library.of(automations).serve(past.started.request.message, scope)
    if isinstance(served, Abstained):
        return Rehearsal("undecided", f"It would leave the request to the agent: {served.reason}.", **common)
    state, stop = _played(past.started, served, _Recorded(past), recorded_tools(event for _, event in entries))
    return _compared(state, stop, common)


def _compared(state: RunState, stop: _Stop | None, common: dict[str, Any]) -> Rehearsal:
    records = [call.record for task in state.tasks.values() for call in task.calls if call.record is not None]
    made = tuple(Effected(r.name, r.arguments) for r in records if r.effect not in _HARMLESS and r.error is None)
    if stop is not None and stop.write is not None:
        made = (*made, stop.write)
    missing, added = _without(common["recorded"], made), _without(made, common["recorded"])
    answer = state.tasks["answer"].output if "answer" in state.tasks else None
    common |= {"rehearsed": made, "added": added, "answer": answer if isinstance(answer, str) else None}
    if added:
        return Rehearsal("different", "It would write what the run did not.", missing=missing, **common)
    if stop is not None:
        return Rehearsal("undecided", stop.reason, **common)
    if missing:
        return Rehearsal("different", "It would not write all that the run did.", missing=missing, **common)
    said, says = (common["recorded_answer"] or "").split(), common["answer"]
    if not made and says is not None and says.split() != said:
        return Rehearsal("different", "It would answer otherwise.", **common)
    return Rehearsal("same", "It would do the same." if made else "It would answer the same.", **common)


def _without(calls: Sequence[Effected], others: Sequence[Effected]) -> tuple[Effected, ...]:
    left = [other.key for other in others]
    found: list[Effected] = []
    for call in calls:
        if call.key in left:
            left.remove(call.key)
        else:
            found.append(call)
    return tuple(found)


class _Recorded:
    """The results of a run by tool and arguments; the same call made again gives what it gave again."""

    def __init__(self, past: RunState) -> None:
        self._records: dict[str, list[ToolRecord]] = {}
        for task in past.tasks.values():
            for call in task.calls:
                if call.record is not None and call.record.outcome is not ToolOutcome.UNKNOWN:
                    record = call.record
                    self._records.setdefault(_key(record.name, record.arguments), []).append(record)

    def take(self, tool: str, arguments: Mapping[str, Any], *, is_write: bool) -> ToolRecord | None:
        """Return the next record of a call; a read may be answered again by the last one."""
        held = self._records.get(_key(tool, arguments), [])
        if not held:
            return None
        return held.pop(0) if is_write or len(held) > 1 else held[0]


def _played(
    started: WorkflowStarted, served: Served, recorded: _Recorded, tools: Mapping[str, ToolSpec]
) -> tuple[RunState, _Stop | None]:
    effects = {step.tool: step.effect for each in served.automations for step in each.steps}
    known = {**{name: ToolSpec(name=name, effect=effect) for name, effect in effects.items()}, **tools}
    state = reduce(RunState(started.run_id), _beginning(started, served), 1)
    for sequence in range(2, _MOST_EVENTS):
        if state.deoptimized is not None:
            return state, _Stop(f"It would hand over to the agent: {state.deoptimized}")
        if state.status is not RunStatus.RUNNING:
            return state, None if state.status is RunStatus.COMPLETED else _Stop(f"It would be {state.status.value}.")
        decision = decide(state, known)
        tick = Tick()
        if not decision.claims and decision.finish is None:
            step = next((each for each in decision.activities if isinstance(each, CallTool)), None)
            if step is None:
                return state, _at_a_turn(served)
            record = _answered(state, step, recorded)
            if isinstance(record, _Stop):
                return state, record
            tick = Tick(tools=[record])
        event = compose(state, tick, known, Stamp(f"rehearsed-{sequence}", "rehearsal", started.occurred_at))
        if event is None:
            return state, _Stop("The law says nothing here.")
        state = reduce(state, event, sequence)  # type: ignore[arg-type]  # every RunEvent is one of AnyRunEvent
    return state, _Stop("It would not come to an end.")


def _beginning(started: WorkflowStarted, served: Served) -> WorkflowStarted:
    routing = RoutingDecision(served_by=ServedBy.AUTOMATION, chosen=served.workflow.name, reason="rehearsal")
    return started.model_copy(
        update={
            "routing": routing,
            "workflow": served.workflow,
            "workflow_hash": served.workflow.workflow_hash,
            "fallback": None,
            "parameters": served.params,
            "mode": Mode.REPLAY,
            "turns": (),
            "tools": (),
        }
    )


def _at_a_turn(served: Served) -> _Stop | None:
    """A model would go on: with the answer alone, which decides nothing; or with work of its own."""
    if any(each.open_tools for each in served.automations):
        return _Stop("A model would do part of the work, and nothing that it would say is recorded.")
    return None


def _answered(state: RunState, step: CallTool, recorded: _Recorded) -> ToolRecord | _Stop:
    call = next(each.call for each in state.tasks[step.task_id].calls if each.call.call_id == step.call_id)
    arguments = call.arguments or {}
    is_write = step.effect not in _HARMLESS
    record = recorded.take(call.name, arguments, is_write=is_write)
    if record is None:
        asked = f"{call.name}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
        return _Stop(f"The run never called {asked[:300]}.", Effected(call.name, arguments) if is_write else None)
    return record.model_copy(update={"task_id": step.task_id, "call_id": step.call_id, "effect": step.effect})


def _answer_of(entries: Sequence[tuple[int, AnyRunEvent]]) -> str | None:
    last = entries[-1][1] if entries else None
    return last.answer if isinstance(last, Final) else None


def _key(tool: str, arguments: Mapping[str, Any]) -> str:
    return content_hash([tool, dict(arguments)])
