"""What can be decided in a run: the steps that orchestrators carry out."""

from __future__ import annotations

from dataclasses import dataclass

from evolvent.events.errors import ErrorInfo
from evolvent.events.language.tools import Effect
from evolvent.events.messages.runs import SuspendReason, ToolClaim


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
    delay_seconds: float = 0.0


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
    """Either the run ends here (`finish`, `suspend`), or falls back, or claims are to be stored, or activities go on.

    An end that `waits_for_others` comes after what is under way: nothing new is begun, and nothing broken off.
    """

    finish: Finish | None = None
    suspend: Suspend | None = None
    fallback: str | None = None
    waits_for_others: bool = False
    claims: tuple[Claim, ...] = ()
    activities: tuple[Activity, ...] = ()
