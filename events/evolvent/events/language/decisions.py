"""What is to be done next in a run: a pure function of its state. Orchestrators carry it out.

Order of calls: reads of a turn run side by side; a keyed or irreversible call runs alone, after everything before
it in the turn, and only after its claim is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.state import CallState, RunState, TaskState, TaskStatus
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.messages.runs import SuspendReason, ToolClaim

MAX_TRIES = 3
MAX_REPAIRS = 3
MAX_KEYED_TRIES = 3
MAX_ATTEMPTS = 10
_BACKOFF_SECONDS = (0.5, 2.0, 5.0)
_LONGEST_WAIT_SECONDS = 30.0
_REPAIRABLE = frozenset({"tool.bad_arguments", "tool.unknown"})


@dataclass(frozen=True, slots=True)
class TakeTurn:
    """Make an agent task's next model turn, after a delay where the last try failed."""

    task_id: str
    turn: int
    try_number: int
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CallTool:
    """Make a tool call. Its claim, where it needs one, is stored."""

    task_id: str
    call_id: str
    effect: Effect
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask the tool itself whether a call of an earlier owner happened."""

    task_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Store the claim of a call before anything else."""

    claim: ToolClaim


@dataclass(frozen=True, slots=True)
class Suspend:
    """Let go of everything, and wait."""

    reason: SuspendReason
    detail: str


@dataclass(frozen=True, slots=True)
class Finish:
    """End the run: with an answer, an error, or because it was cancelled."""

    event_type: str
    error: ErrorInfo | None = None
    answer: str | None = None
    output: object = None


Activity = TakeTurn | CallTool | Reconcile


@dataclass(frozen=True, slots=True)
class Decision:
    """Either the run ends here (`finish`, `suspend`), or claims are to be stored, or activities go on."""

    finish: Finish | None = None
    suspend: Suspend | None = None
    claims: tuple[Claim, ...] = ()
    activities: tuple[Activity, ...] = ()


def decide(state: RunState, tools: Mapping[str, ToolSpec]) -> Decision:
    """Return what is to be done, given the tools that this orchestrator knows."""
    ending = _ending(state)
    if ending is not None:
        return ending
    claims: list[Claim] = []
    activities: list[Activity] = []
    for task in state.tasks.values():
        if task.status is not TaskStatus.RUNNING:
            continue
        waiting = [call for call in task.calls if call.record is None]
        if not waiting:
            activities.append(_next_turn(state, task))
            continue
        for step in _calls(state, task, waiting, tools):
            if isinstance(step, Suspend):
                return Decision(suspend=step)
            if isinstance(step, Claim):
                claims.append(step)
            else:
                activities.append(step)
    return Decision(claims=tuple(claims), activities=tuple(activities))


def idempotency_key(run_id: str, task_id: str, call_id: str) -> str:
    """Return the key that a keyed tool is called with, the same at every attempt."""
    return hashlib.sha256(f"{run_id}|{task_id}|{call_id}".encode()).hexdigest()[:32]


def lease_id(run_id: str, task_id: str, turn: int, attempt: str) -> str:
    """Return the id of a turn's lease: asked twice by the same attempt, the same lease."""
    return hashlib.sha256(f"{run_id}|{task_id}|{turn}|{attempt}".encode()).hexdigest()[:32]


def _ending(state: RunState) -> Decision | None:
    if state.cancel is not None:
        return Decision(finish=Finish("workflow_cancelled", error=_cancelled(state)))
    if state.is_late:
        return _fail("run.timeout", Category.TIMEOUT, "The run took longer than its timeout_seconds; allow it more.")
    if state.attempt - state.suspensions > MAX_ATTEMPTS:  # each wait ends with a new owner, and is no crash
        return _fail(
            "run.attempts", Category.SYSTEM, f"The run was taken over {MAX_ATTEMPTS} times without coming to an end."
        )
    if state.refusal is not None and not (state.refusal.policy == "cheaper_model" and state.refusal.cheaper_model):
        return _refused(state)
    for task in state.tasks.values():
        error = task.error or _hopeless(task)
        if error is not None:
            return Decision(finish=Finish("workflow_failed", error=error))
    if state.tasks and all(task.status is TaskStatus.DONE for task in state.tasks.values()):
        return Decision(finish=_completed(state))
    return None


def _completed(state: RunState) -> Finish:
    needed = {name for task in state.tasks.values() for name in task.task.dependencies}
    sinks = [task for name, task in state.tasks.items() if name not in needed]
    output = sinks[0].output if len(sinks) == 1 else {task.task.task_id: task.output for task in sinks}
    return Finish("workflow_completed", answer=output if isinstance(output, str) else None, output=output)


def _cancelled(state: RunState) -> ErrorInfo:
    assert state.cancel is not None
    reason = f": {state.cancel.reason}" if state.cancel.reason else "."
    return ErrorInfo(
        code="run.cancelled", category=Category.SYSTEM, message=f"Cancelled by {state.cancel.principal}{reason}"
    )


def _refused(state: RunState) -> Decision:
    refusal = state.refusal
    assert refusal is not None
    if refusal.policy in ("queue", "ask"):
        return Decision(suspend=Suspend(SuspendReason.BUDGET, refusal.error.message))
    return Decision(finish=Finish("workflow_failed", error=refusal.error))


def _hopeless(task: TaskState) -> ErrorInfo | None:
    last = task.turns[-1] if task.turns else None
    if last is not None and last.error is not None and (task.tries >= MAX_TRIES or not last.error.retryable):
        return last.error
    if len(task.turns) - task.tries >= task.task.max_turns and task.status is TaskStatus.RUNNING:
        message = f"Task {task.task.task_id!r} took {task.task.max_turns} model turns without an answer."
        return ErrorInfo(code="agent.turns", category=Category.AGENT, message=message)
    repairs = sum(1 for c in task.calls if c.record and c.record.error and c.record.error.code in _REPAIRABLE)
    if repairs >= MAX_REPAIRS:
        message = (
            f"The model asked {repairs} times for tools that it does not have, or with arguments they do not take."
        )
        return ErrorInfo(code="agent.bad_calls", category=Category.AGENT, message=message)
    return None


def _next_turn(state: RunState, task: TaskState) -> TakeTurn:
    turn = len([t for t in task.turns if t.reply is not None])
    if not task.tries:
        return TakeTurn(task.task.task_id, turn, 0)
    error = task.turns[-1].error
    asked = (error.retry_after_seconds if error else None) or 0.0
    base = _BACKOFF_SECONDS[min(task.tries, len(_BACKOFF_SECONDS)) - 1]
    jitter = 0.5 + _chance(state.run_id, task.task.task_id, turn, task.tries)
    return TakeTurn(task.task.task_id, turn, task.tries, min(_LONGEST_WAIT_SECONDS, max(asked, base * jitter)))


def _chance(*parts: object) -> float:
    """Return a number in [0, 1) that is a function of its parts."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _calls(
    state: RunState, task: TaskState, waiting: list[CallState], tools: Mapping[str, ToolSpec]
) -> list[Activity | Claim | Suspend]:
    steps: list[Activity | Claim | Suspend] = []
    for call in waiting:
        spec = tools.get(call.call.name)
        effect = (
            call.claim.effect
            if call.claim
            else (spec.effect if spec and call.call.arguments is not None else Effect.PURE)
        )
        if not effect.needs_claim:
            steps.append(CallTool(task.task.task_id, call.call.call_id, effect, None))
            continue
        if not steps:
            steps.append(_effectful(state, task, call, effect, spec))
        break
    return steps


def _effectful(
    state: RunState, task: TaskState, call: CallState, effect: Effect, spec: ToolSpec | None
) -> Activity | Claim | Suspend:
    task_id, call_id = task.task.task_id, call.call.call_id
    key = idempotency_key(state.run_id, task_id, call_id)
    if call.claim is None:
        name = call.call.name
        return Claim(ToolClaim(task_id=task_id, call_id=call_id, name=name, effect=effect, idempotency_key=key))
    abandoned = call.claim_attempt < state.attempt or call.unknown_count > 0
    if not abandoned or (effect is Effect.KEYED and call.unknown_count < MAX_KEYED_TRIES):
        return CallTool(task_id, call_id, effect, key)
    if spec is not None and spec.reconcilable and not call.reconciled:
        return Reconcile(task_id, call_id)
    return Suspend(
        SuspendReason.OUTCOME_UNKNOWN,
        f"Nobody knows whether {call.call.name} happened; look, then say so: "
        f"`evolvent runs resume {state.run_id} --outcome happened|did_not_happen|failed`.",
    )


def _fail(code: str, category: Category, message: str) -> Decision:
    return Decision(finish=Finish("workflow_failed", error=ErrorInfo(code=code, category=category, message=message)))
