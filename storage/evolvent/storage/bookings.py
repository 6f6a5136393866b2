"""What the journals say about money, booked in one transaction; and leases that end an earlier attempt's turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from evolvent.storage.budgets import Limits
from evolvent.storage.leases import Granted, LeaseAsk, RateLimit, Refused, grant_leases
from evolvent.storage.settlements import Settled, Settlement, charge_open, release, settle
from evolvent.storage.slots import free_slots
from evolvent.storage.statements import Statement


@dataclass(frozen=True, slots=True)
class Booking:
    """What a batch of journal events moves.

    Attributes:
        settlements: turns that ended, with their cost.
        unsent: leases of turns proven unsent.
        freed: runs that were taken over, or wait, and the moment: the slots that they took before are free.
        closed: runs that ended or wait: what they still hold is charged.
    """

    settlements: tuple[Settlement, ...] = ()
    unsent: tuple[str, ...] = ()
    freed: tuple[tuple[str, datetime], ...] = ()
    closed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.settlements or self.unsent or self.freed or self.closed)


_IN_FLIGHT = Statement("SELECT lease_id, run_id, task_id FROM leases WHERE slot = :held AND run_id IN :run_ids")


def book(conn: Connection, booking: Booking, *, now: datetime, defaults: Limits) -> list[Settled]:
    """Book a batch; a batch that was booked before moves nothing."""
    settled = settle(conn, booking.settlements, now=now, defaults=defaults) if booking.settlements else []
    if booking.unsent:
        release(conn, booking.unsent)
    for run_id, before in sorted(booking.freed):
        free_slots(conn, run_id, before=before)
    if booking.closed:
        charge_open(conn, sorted(booking.closed))
    return settled


def grant_next_turns(
    conn: Connection,
    asks: Sequence[LeaseAsk],
    *,
    now: datetime,
    defaults: Limits,
    rates: Mapping[str, RateLimit] | None = None,
) -> list[Granted | Refused]:
    """Grant leases; a task makes one turn at a time, so the slot of an earlier one that nobody ended is free now."""
    asked = {(ask.run_id, ask.task_id): ask.lease_id for ask in asks}
    run_ids = sorted({ask.run_id for ask in asks})
    in_flight = _IN_FLIGHT.rows(conn, {"held": True, "run_ids": run_ids})
    known = {lease_id for lease_id, _, _ in in_flight}
    for lease_id, run_id, task_id in sorted(in_flight):
        new = asked.get((run_id, task_id), lease_id)
        if new != lease_id and new not in known:
            free_slots(conn, run_id, task_id=task_id, before=now, but_lease=new)
    return grant_leases(conn, asks, now=now, defaults=defaults, rates=rates)
