"""The tool calls of a run: made, and asked after, on behalf of its task."""

from __future__ import annotations

from datetime import datetime

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.fault_points import reach
from evolvent.events.language.state import CallState, RunState
from evolvent.events.language.steps import CallTool, Reconcile
from evolvent.events.messages.runs import ToolOutcome, ToolRecord
from evolvent.orchestrator.run_parts import RunParts
from evolvent.orchestrator.tools import ToolContext
from evolvent.orchestrator.tools.call import call_tool, reconcile_call
from evolvent.orchestrator.turns import TurnTaker


class CallMaker:
    """Makes the calls of one run."""

    def __init__(self, parts: RunParts, turns: TurnTaker) -> None:
        self._parts = parts
        self._turns = turns

    async def call(self, state: RunState, step: CallTool, *, limit_seconds: float) -> ToolRecord:
        """Make a call, and return how it ended. Raises only on cancellation."""
        if step.effect.needs_claim:
            reach("tool.claimed")
        reach("tool.before_call")
        return await call_tool(
            self._parts.tools,
            _call_of(state, step).call,
            _context(state, step, step.idempotency_key),
            offered=self._turns.offered(state, step.task_id),
            clock=self._parts.clock,
            attempt=state.attempt,
            limit_seconds=limit_seconds,
        )

    async def reconcile(self, state: RunState, step: Reconcile) -> ToolRecord | None:
        """Ask a call's own tool what became of it; None where it did not take place, and is to be made."""
        call = _call_of(state, step)
        context = _context(state, step, call.claim.idempotency_key if call.claim else None)
        record = await reconcile_call(
            self._parts.tools, call.call, context, clock=self._parts.clock, attempt=state.attempt
        )
        takeover = state.workflow.takeover
        is_left = state.deoptimized is not None and takeover is not None and step.task_id != takeover.task_id
        if record is None and is_left:
            return _left_undone(call, step, self._parts.clock.now())
        return record


def _left_undone(call: CallState, step: Reconcile, now: datetime) -> ToolRecord:
    """Return the record of a call that did not take place, and that nobody wants any more."""
    assert call.claim is not None
    message = "It did not take place, and is not made any more: an agent took over."
    return ToolRecord(
        task_id=step.task_id,
        call_id=step.call_id,
        name=call.call.name,
        effect=call.claim.effect,
        arguments=call.call.arguments or {},
        outcome=ToolOutcome.ERROR,
        error=ErrorInfo(code="tool.left_undone", category=Category.TOOL, message=message),
        idempotency_key=call.claim.idempotency_key,
        decided_by="reconcile",
        started_at=now,
    )


def _call_of(state: RunState, step: CallTool | Reconcile) -> CallState:
    return next(c for c in state.tasks[step.task_id].calls if c.call.call_id == step.call_id)


def _context(state: RunState, step: CallTool | Reconcile, key: str | None) -> ToolContext:
    started = state.started
    assert started is not None
    return ToolContext(
        run_id=state.run_id,
        task_id=step.task_id,
        call_id=step.call_id,
        goal=started.goal,
        agent_id=state.tasks[step.task_id].task.agent_id or "",
        user_id=started.request.user_id,
        principal=started.principal,
        idempotency_key=key,
    )
