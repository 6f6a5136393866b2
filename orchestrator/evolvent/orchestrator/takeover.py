"""A delivery meets a journal: begin the run, take it over, wake it, or see that there is nothing to do.

journal empty ─▶ begin            started, and this is its request ─▶ take over (append workflow_resumed)
ended ─▶ ack                      suspended ─▶ only the resume request of that very suspension wakes it
driven here, or another copy of its request ─▶ wait for its end, or nothing to do while the first one is stored
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from evolvent.events.language.state import RunState, RunStatus
from evolvent.events.messages.requests import Request
from evolvent.events.principal import ANONYMOUS, speaks_for


class Meeting(StrEnum):
    """What a delivery is to its run."""

    BEGIN = "begin"
    TAKE_OVER = "take_over"
    WAKE = "wake"
    RESTORE = "restore"
    NOTHING_TO_DO = "nothing_to_do"
    CONFLICT = "conflict"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Met:
    """A request as it was delivered: its place in the stream, its hash, how often it came, and from whom."""

    request: Request
    sequence: int
    content_hash: str
    delivered: int
    principal: str = ANONYMOUS


PATIENCE_DELIVERIES = 12


def meet(state: RunState, met: Met) -> Meeting:
    """Return what is to be done with a delivery, given the run's journal."""
    resume = met.request.resume
    if state.status.is_final:
        return Meeting.CONFLICT if _conflicts(state, met) else Meeting.NOTHING_TO_DO
    if state.started is None:
        if resume is not None:
            return Meeting.RESTORE
        return Meeting.NOTHING_TO_DO if state.status is RunStatus.SUSPENDED else Meeting.BEGIN
    if state.status is RunStatus.SUSPENDED:
        if resume == state.suspensions and speaks_for(met.principal, state.started.principal):
            return Meeting.WAKE
        return Meeting.CONFLICT if _conflicts(state, met) else Meeting.NOTHING_TO_DO
    if met.sequence == state.request_seq:
        return Meeting.TAKE_OVER
    if resume is not None:
        return Meeting.NOTHING_TO_DO
    if _conflicts(state, met):
        return Meeting.CONFLICT
    return Meeting.TAKE_OVER if met.delivered > PATIENCE_DELIVERIES else Meeting.LATER


def _conflicts(state: RunState, met: Met) -> bool:
    if met.request.resume is not None or state.started is None:
        return False
    started = state.started
    return not is_same(met, principal=started.principal, content_hash=started.request_hash)


def is_same(met: Met, *, principal: str, content_hash: str) -> bool:
    """Say whether a run was started by this very request: the same bytes from the same principal."""
    return met.principal == principal and (not content_hash or content_hash == met.content_hash)
