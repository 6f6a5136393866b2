"""Concurrency slots: a counter per goal, and the leases that hold one. All slots are freed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from evolvent.storage.statements import Statement

_EXPIRED = Statement(
    # A lease that is locked is being settled, and gives its slot back there; to wait for it could deadlock.
    "UPDATE leases SET slot = :free WHERE lease_id IN (SELECT lease_id FROM leases"
    " WHERE slot = :held AND goal IN :goals AND expires_at < :now /*pg FOR UPDATE SKIP LOCKED*/) RETURNING goal"
)
_OF_TASK = Statement(
    "UPDATE leases SET slot = :free WHERE slot = :held AND run_id = :run_id AND (task_id = :task_id OR :any_task = 1)"
    " AND lease_id <> :but AND created_at < :before RETURNING goal"
)
_OF_LEASES = Statement("UPDATE leases SET slot = :free WHERE slot = :held AND lease_id IN :lease_ids RETURNING goal")
_GIVE_BACK = Statement("UPDATE slots SET in_use = in_use - :n WHERE goal = :goal")
_RECOUNT = Statement(
    "UPDATE slots SET in_use = (SELECT COUNT(*) FROM leases WHERE leases.goal = slots.goal AND leases.slot = :held)"
)
_FLAGS = {"free": False, "held": True}


def take_expired_slots(conn: Connection, goals: Sequence[str], *, now: datetime) -> dict[str, int]:
    """Free the slots of leases past their time; return how many per goal. Their money stays held."""
    return _give_back(conn, _EXPIRED.rows(conn, {**_FLAGS, "goals": goals, "now": now}))


def free_slots(
    conn: Connection, run_id: str, *, task_id: str | None = None, before: datetime, but_lease: str = ""
) -> int:
    """Free the slots that this run, or one task of it, took before a moment; its money stays held.

    A new attempt frees what the attempt before it still occupies: it may have died, but may also have been billed.
    """
    values = {
        **_FLAGS,
        "run_id": run_id,
        "task_id": task_id or "",
        "any_task": int(task_id is None),
        "before": before,
        "but": but_lease,
    }
    return sum(_give_back(conn, _OF_TASK.rows(conn, values)).values())


def free_slots_of_leases(conn: Connection, lease_ids: Iterable[str]) -> None:
    """Free the slots of leases that ended."""
    _give_back(conn, _OF_LEASES.rows(conn, {**_FLAGS, "lease_ids": list(lease_ids)}))


def recount_slots(conn: Connection) -> None:
    """Make every counter equal to the leases that hold a slot."""
    _RECOUNT.count(conn, {"held": True})


def _give_back(conn: Connection, rows: Sequence[tuple[str]]) -> dict[str, int]:
    freed = dict(sorted(Counter(goal for (goal,) in rows).items()))
    for goal, n in freed.items():
        _GIVE_BACK.count(conn, {"goal": goal, "n": n})
    return freed
