"""What people say to a run that waits for them: yes or no to an approval task, or what became of an effect."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from evolvent.events.language.progress import Progress
from evolvent.events.language.state import Approval, CallState, RunState, has_open_claim
from evolvent.events.language.workflow import ApprovalPolicy, TaskKind
from evolvent.events.messages.runs import SuspendReason, ToolOutcome, ToolRecord
from evolvent.events.principal import ANONYMOUS

_EPOCH = datetime.fromtimestamp(0, UTC)


def apply_approval(state: RunState, now: datetime) -> RunState:
    """Return the state after what a person said, or what their silence means by now."""
    for answer in state.answers:
        is_outcome = tells_outcome(state, answer.task_id, answer.outcome)
        state = _settled(state, answer) if is_outcome else _answered(state, answer)
    return replace(_after_silence(state, now), answers=(), suspend_reason=None)


def tells_outcome(state: RunState, task_id: str | None, outcome: str | None) -> bool:
    """Say whether an answer is about a call whose end is unknown, and not about an approval that is pending, too."""
    if state.suspend_reason is not SuspendReason.OUTCOME_UNKNOWN:
        return False
    return outcome is not None or task_id not in pending_approvals(state)


def asked_outcome(state: RunState, task_id: str | None = None) -> str | None:
    """Return the task whose call somebody is asked about: the first with one that nobody has told the end of."""
    names = state.tasks if task_id is None else (task_id,)
    return next((name for name in names if name in state.tasks and has_open_claim(state.tasks[name])), None)


def _settled(state: RunState, answer: Approval) -> RunState:
    """Settle the call whose end was unknown, and that was asked about."""
    name = asked_outcome(state, answer.task_id)
    if name is None:
        return state
    outcome = answer.outcome or ("happened" if answer.approved else "failed")
    task = state.tasks[name]
    if outcome == "did_not_happen":
        freed = replace(task, calls=tuple(_freed(call) for call in task.calls))
        return Progress(replace(state, tasks={**state.tasks, name: freed})).state()
    progress = Progress(state)
    for call in task.calls:
        if call.claim is not None and call.record is None:
            progress.tool(_told(call, answer, happened=outcome == "happened"))
    return progress.state()


def _freed(call: CallState) -> CallState:
    if call.claim is None or call.record is not None:
        return call
    return replace(call, claim=None, claim_attempt=0, unknown_count=0, reconciled=False)


def _answered(state: RunState, answer: Approval) -> RunState:
    """Answer the approval task that is named, or else the first one that this person may answer."""
    for task_id in pending_approvals(state):
        if answer.task_id in (None, task_id) and may_approve(approval_policy(state, task_id), answer.principal):
            progress = Progress(state)
            progress.answer(task_id, approved=answer.approved, by=answer.principal, note=answer.note)
            return progress.state()
    return state


def _after_silence(state: RunState, now: datetime) -> RunState:
    """Answer the approval tasks whose time has run out."""
    progress = Progress(state)
    for task_id in pending_approvals(state):
        task = state.tasks[task_id]
        policy = approval_policy(state, task_id)
        if task.asked_at is not None and (now - task.asked_at).total_seconds() >= policy.timeout_seconds:
            note = f"nobody answered within {policy.timeout_seconds:g} s"
            progress.answer(task_id, approved=policy.on_timeout == "approve", by="timeout", note=note)
    return progress.state()


def pending_approvals(state: RunState) -> list[str]:
    """Return the approval tasks that wait for a person, the longest first."""
    return [name for name in state.active if state.tasks[name].task.kind is TaskKind.APPROVAL]


def silence_ends_at(state: RunState) -> datetime | None:
    """Return when the silence about an approval counts as an answer, or None where nobody is asked."""
    if state.suspend_reason is not SuspendReason.APPROVAL:
        return None
    ends = [
        task.asked_at + timedelta(seconds=(task.task.approval or ApprovalPolicy()).timeout_seconds)
        for task in map(state.tasks.__getitem__, pending_approvals(state))
        if task.asked_at is not None
    ]
    return min(ends, default=None)


def approval_policy(state: RunState, task_id: str) -> ApprovalPolicy:
    """Return the policy of an approval task."""
    return state.tasks[task_id].task.approval or ApprovalPolicy()


def names_approver(state: RunState, task_id: str, principal: str) -> bool:
    """Say whether an approval task names somebody, who may then answer for a run of another's."""
    return principal in approval_policy(state, task_id).approvers


def may_approve(policy: ApprovalPolicy, principal: str) -> bool:
    """Say whether somebody may answer: those who are named; and the operator, always."""
    return not policy.approvers or principal in policy.approvers or principal == ANONYMOUS


def _told(call: CallState, answer: Approval, *, happened: bool) -> ToolRecord:
    from_claim = call.claim
    assert from_claim is not None
    return ToolRecord(
        task_id=from_claim.task_id,
        call_id=call.call.call_id,
        name=call.call.name,
        effect=from_claim.effect,
        arguments=call.call.arguments or {},
        outcome=ToolOutcome.OK if happened else ToolOutcome.ERROR,
        result=answer.result if happened else {"error": answer.note or "A person treats this call as failed."},
        idempotency_key=from_claim.idempotency_key,
        decided_by=answer.principal,
        started_at=_EPOCH,
    )
