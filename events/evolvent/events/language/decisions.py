"""What is to be done next in a run: a pure function of its state. Orchestrators carry it out.

Order of calls: reads of a turn run side by side; a keyed or irreversible call runs alone, after everything before
it in the turn, and only after its claim is stored. Which of the ready tasks go on is in `places.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from evolvent.events.errors import EvolventError
from evolvent.events.language.approvals import asked_outcome, pending_approvals
from evolvent.events.language.endings import ending_of
from evolvent.events.language.places import IDLE, Going, chosen
from evolvent.events.language.references import as_text, resolve
from evolvent.events.language.scopes import scope_of
from evolvent.events.language.state import CallState, RunState, TaskState
from evolvent.events.language.steps import Activity, CallTool, Claim, Decision, Reconcile, Suspend, TakeTurn
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.language.workflow import TaskKind
from evolvent.events.messages.runs import SuspendReason, ToolClaim

MAX_KEYED_TRIES = 3
_LONGEST_WAIT_SECONDS = 30.0
_LONGEST_QUESTION = 4_000


def decide(state: RunState, tools: Mapping[str, ToolSpec], going: Going = IDLE) -> Decision:
    """Return what is to be done, given the tools that this orchestrator knows and what it has in hand."""
    ending = ending_of(state)
    if ending is not None and (ending.finish is None or not ending.waits_for_others or not going.busy):
        return ending
    claims: list[Claim] = []
    activities: list[Activity] = []
    waits: dict[str, Suspend] = {}
    for task_id in chosen(state, going, only_busy=ending is not None):
        for step in _steps(state, state.tasks[task_id], tools):
            if isinstance(step, Suspend):
                waits[task_id] = step
            elif isinstance(step, Claim):
                claims.append(step)
            else:
                activities.append(step)
    if not claims and not activities and not going.busy:
        first = asked_outcome(state) if waits else None
        wait = waits.get(first or "", next(iter(waits.values()), None)) or _asked(state)
        if wait is not None:
            return Decision(suspend=wait)
    return Decision(claims=tuple(claims), activities=tuple(activities))


def idempotency_key(run_id: str, task_id: str, call_id: str) -> str:
    """Return the key that a keyed tool is called with, the same at every attempt and every try."""
    first_try = call_id.partition("~")[0]
    return hashlib.sha256(f"{run_id}|{task_id}|{first_try}".encode()).hexdigest()[:32]


def lease_id(run_id: str, task_id: str, turn: int, attempt: str) -> str:
    """Return the id of a turn's lease: asked twice by the same attempt, the same lease."""
    return hashlib.sha256(f"{run_id}|{task_id}|{turn}|{attempt}".encode()).hexdigest()[:32]


def _steps(state: RunState, task: TaskState, tools: Mapping[str, ToolSpec]) -> list[Activity | Claim | Suspend]:
    waiting = [call for call in task.calls if call.record is None]
    if waiting:
        return _calls(state, task, waiting, tools)
    return [_next_turn(state, task)] if task.task.kind is TaskKind.AGENT else []


def _asked(state: RunState) -> Suspend | None:
    """Return what a person is asked, where nothing else can go on."""
    names = pending_approvals(state)
    if not names:
        return None
    task = state.tasks[names[0]].task
    asks = (task.approval.prompt if task.approval else "") or task.description or "May the run go on?"
    try:
        question = as_text(resolve(asks, scope_of(state), task_id=names[0]))
    except EvolventError:
        question = asks  # who is asked sees what could not be filled in
    question = question if len(question) <= _LONGEST_QUESTION else f"{question[:_LONGEST_QUESTION]}…"
    say = f"`evolvent runs approve {state.run_id}` or `evolvent runs deny {state.run_id}`"
    return Suspend(SuspendReason.APPROVAL, f"{names[0]}: {question} Answer with {say}.")


def _next_turn(state: RunState, task: TaskState) -> TakeTurn:
    turn = sum(1 for t in task.turns if t.reply is not None)
    error = task.turns[-1].error if task.tries else None
    return TakeTurn(
        task.task.task_id, turn, task.tries, _delay(state, task, turn, error.retry_after_seconds if error else 0)
    )


def _delay(state: RunState, task: TaskState, place: int, asked: float | None) -> float:
    """Return how long the next try waits in seconds: what the task says, jittered; longer where that was asked for."""
    if not task.tries:
        return 0.0
    jitter = 0.5 + _chance(state.run_id, task.task.task_id, place, task.tries)
    own = task.task.delay_before_retry(task.tries) * jitter
    return min(max(_LONGEST_WAIT_SECONDS, own), max(asked or 0.0, own))


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
            wait = _delay(state, task, len(task.calls), 0) if task.task.kind is TaskKind.TOOL else 0.0
            steps.append(CallTool(task.task.task_id, call.call.call_id, effect, None, wait))
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
