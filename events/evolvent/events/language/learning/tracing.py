"""From the journal of a run to its trace."""

from __future__ import annotations

from collections.abc import Iterator

from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.state import CallState, RunState, RunStatus, TaskState
from evolvent.events.messages.runs import Mode, ToolOutcome, ToolRecord
from evolvent.events.messages.runs import WorkflowStarted as Started


def trace_of(state: RunState, *, outcome: bool | None = None, answer: str | None = None) -> Trace | None:
    """Return the trace of a run that has ended, or None where its beginning is not known.

    Args:
        state: the fold of its whole journal.
        outcome: what somebody said of it.
        answer: the answer of its final event, which the fold does not keep.
    """
    started = state.started
    if started is None:
        return None
    return Trace(
        run_id=state.run_id,
        message=started.request.message,
        calls=tuple(_calls(state)),
        answer=answer if answer is not None else _last_words(state),
        succeeded=state.status is RunStatus.COMPLETED,
        outcome=outcome,
        goal=started.goal,
        agent_id=agent_of(started),
        spec_hash=_spec_hash(started),
        principal=started.principal,
        user_id=started.request.user_id,
        session_id=started.request.session_id,
        context=started.request.context,
        prompt_tokens=state.totals.prompt_tokens,
        completion_tokens=state.totals.completion_tokens,
        model_calls=state.totals.model_calls,
        cost_microusd=state.totals.cost_microusd,
        started_at=started.occurred_at,
        is_live=started.mode is Mode.LIVE,
    )


def agent_of(started: Started) -> str:
    """Return the agent whose run it is: that of a plain request, or the one that would take a workflow over."""
    takeover = started.workflow.takeover
    task = takeover if takeover is not None else next((t for t in started.workflow.tasks if t.agent_id), None)
    return (task.agent_id or "") if task is not None else ""


def _spec_hash(started: Started) -> str:
    spec = started.agents.get(agent_of(started))
    return spec.spec_hash if spec is not None else ""


def _calls(state: RunState) -> Iterator[TracedCall]:
    """Go through the calls as they began; those of one model turn in the order in which it asked for them."""
    made = [
        (call.record.started_at, task_place, place, task, call)
        for task_place, task in enumerate(state.tasks.values())
        for place, call in enumerate(task.calls)
        if call.record is not None and call.record.outcome is not ToolOutcome.UNKNOWN
    ]
    first_of_turn = {id(task): _turn_starts(task) for task in state.tasks.values()}
    made.sort(key=lambda each: (first_of_turn[id(each[3])].get(each[4].call.call_id, each[0]), each[1], each[2]))
    for _, _, _, task, call in made:
        assert call.record is not None
        yield _traced(task, call, call.record)


def _turn_starts(task: TaskState) -> dict[str, object]:
    """Return for each call of a task when the first call of its turn began."""
    begun = {call.call.call_id: call.record.started_at for call in task.calls if call.record is not None}
    starts: dict[str, object] = {}
    for turn in task.turns:
        names = [call.call_id for call in turn.reply.tool_calls if call.call_id in begun] if turn.reply else []
        if names:
            first = min(begun[name] for name in names)
            starts |= dict.fromkeys(names, first)
    return starts


def _traced(task: TaskState, call: CallState, record: ToolRecord) -> TracedCall:
    return TracedCall(
        name=record.name,
        arguments=record.arguments,
        result=record.result,
        effect=record.effect,
        error=record.error.code if record.error is not None else None,
        schema_hash=record.schema_hash,
        origin=record.origin,
        task_id=task.task.task_id,
    )


def _last_words(state: RunState) -> str | None:
    texts = [task.output for task in state.tasks.values() if isinstance(task.output, str)]
    return texts[-1] if texts else None
