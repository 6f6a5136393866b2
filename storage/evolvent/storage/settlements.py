"""What becomes of leases. Every step is idempotent by lease_id, and each moves money in one direction only.

leased ──settle──▶ settled      the real cost is spent; an excess is booked, reported, and closes the model
   │ ├──release──▶ released     proven unsent: nothing is spent
   │ └──charge───▶ charged      nobody knows: the whole hold is spent
   │                  └─settle─▶ settled    the journal knew after all: the difference is given back
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from evolvent.storage.budgets import ALL_GOALS, MAX_MICROUSD, Limits, limits_of
from evolvent.storage.columns import utc_day
from evolvent.storage.slots import free_slots_of_leases
from evolvent.storage.statements import Statement, insert

_COLUMNS = "lease_id, run_id, goal, day, model, held_microusd, cost_microusd, state, slot"


@dataclass(frozen=True, slots=True)
class Settlement:
    """A model turn ended and cost this.

    `goal`, `model`, `run_id` and `held_microusd` come from the journal; with them, a cost whose lease
    the ledger doesn't know (it was restored from a backup) is booked all the same, because the money is gone.
    """

    lease_id: str
    cost_microusd: int
    goal: str | None = None
    model: str = ""
    run_id: str = ""
    held_microusd: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.cost_microusd <= MAX_MICROUSD:
            raise ValueError(f"a turn costs 0 to {MAX_MICROUSD} micro-dollars, not {self.cost_microusd}")


@dataclass(frozen=True, slots=True)
class Overrun:
    """A bill above its lease. The excess is booked, and the model is closed for this goal."""

    lease_id: str
    run_id: str
    goal: str
    model: str
    held_microusd: int
    billed_microusd: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did. `is_new` is False when it was booked before, `is_known` when there is no such lease."""

    lease_id: str
    is_new: bool
    is_known: bool = True
    overrun: Overrun | None = None


@dataclass(frozen=True, slots=True)
class _Lease:
    lease_id: str
    run_id: str
    goal: str
    day: str
    model: str
    held_microusd: int
    cost_microusd: int | None
    state: str
    slot: bool


@dataclass(slots=True)
class _Moves:
    """What changes, gathered so that each usage row is touched once and in order."""

    spent: dict[tuple[str, str], int] = field(default_factory=dict)
    leased: dict[tuple[str, str], int] = field(default_factory=dict)
    ended: list[dict[str, Any]] = field(default_factory=list)

    def move(self, lease: _Lease, *, spent: int, state: str, cost: int) -> None:
        leased = -lease.held_microusd if lease.state == "leased" else 0
        for goal in (lease.goal, ALL_GOALS):
            at = (goal, lease.day)
            self.spent[at] = self.spent.get(at, 0) + spent
            self.leased[at] = self.leased.get(at, 0) + leased
        self.ended.append({"lease_id": lease.lease_id, "state": state, "cost": cost})


_BY_ID = Statement(f"SELECT {_COLUMNS} FROM leases WHERE lease_id IN :lease_ids ORDER BY lease_id", lock=True)  # noqa: S608
_OPEN_OF_RUN = Statement(
    f"SELECT {_COLUMNS} FROM leases WHERE run_id = :run_id AND state = 'leased' ORDER BY lease_id",  # noqa: S608
    lock=True,
)
_EXPIRED = Statement(
    f"SELECT {_COLUMNS} FROM leases WHERE state = 'leased' AND expires_at < :before"  # noqa: S608
    " ORDER BY expires_at LIMIT :most /*pg FOR UPDATE SKIP LOCKED*/"
)
_END = Statement("UPDATE leases SET state = :state, cost_microusd = :cost WHERE lease_id = :lease_id")
_BOOK = insert(
    "usage",
    ("goal", "day", "spent_microusd", "leased_microusd"),
    conflict="ON CONFLICT (goal, day) DO UPDATE SET spent_microusd = usage.spent_microusd + :spent,"
    " leased_microusd = usage.leased_microusd + :leased",
)
_CLOSE_MODEL = insert(
    "closed_models",
    ("goal", "model", "lease_id", "held_microusd", "billed_microusd", "closed_at"),
    conflict="ON CONFLICT (goal, model) DO NOTHING",
)
_INSERT_SETTLED = insert(
    "leases",
    (
        "lease_id", "run_id", "task_id", "turn", "goal", "day", "model", "held_microusd", "state", "slot", "expires_at",
        "created_at",
    ),
    conflict="ON CONFLICT (lease_id) DO NOTHING",
)  # fmt: skip
_FORGET_LEASES = Statement("DELETE FROM leases WHERE state <> 'leased' AND created_at < :before")
_FORGET_RATES = Statement("DELETE FROM rate_windows WHERE minute < :minute")


def settle(
    conn: Connection, settlements: Sequence[Settlement], *, now: datetime, defaults: Limits | None = None
) -> list[Settled]:
    """Book what turns really cost; the answers stand in the order of the settlements."""
    by_id = {item.lease_id: item for item in settlements}
    leases = {lease.lease_id: lease for lease in _locked(conn, _BY_ID, {"lease_ids": sorted(by_id)})}
    _adopt(conn, [item for item in by_id.values() if item.lease_id not in leases], leases, now=now, defaults=defaults)
    moves, overruns = _Moves(), dict[str, Overrun]()
    for lease_id, lease in sorted(leases.items()):
        if lease.state == "settled":
            continue
        cost = by_id[lease_id].cost_microusd
        already = lease.held_microusd if lease.state == "charged" else 0
        moves.move(lease, spent=cost - already, state="settled", cost=cost)
        if cost > lease.held_microusd:
            overruns[lease_id] = Overrun(
                lease_id, lease.run_id, lease.goal, lease.model, lease.held_microusd, billed_microusd=cost
            )
    _carry_out(conn, moves)
    _CLOSE_MODEL.many(conn, [_closed(overrun, now) for overrun in overruns.values()])
    new = {row["lease_id"] for row in moves.ended}
    return [
        Settled(item.lease_id, item.lease_id in new, item.lease_id in leases, overruns.get(item.lease_id))
        for item in settlements
    ]


def release(conn: Connection, lease_ids: Sequence[str]) -> list[bool]:
    """Give the money back of leases proven unsent; True for each that was held until now."""
    leases = _locked(conn, _BY_ID, {"lease_ids": sorted(set(lease_ids))})
    moves = _Moves()
    for lease in leases:
        if lease.state == "leased":
            moves.move(lease, spent=0, state="released", cost=0)
    _carry_out(conn, moves)
    released = {row["lease_id"] for row in moves.ended}
    return [lease_id in released for lease_id in lease_ids]


def charge_open(conn: Connection, run_ids: Sequence[str]) -> list[int]:
    """Charge in full what ended runs still hold; how many leases that were, for each run."""
    return [_charge(conn, _locked(conn, _OPEN_OF_RUN, {"run_id": run_id})) for run_id in run_ids]


def charge_expired(conn: Connection, *, before: datetime, most: int = 1000) -> int:
    """Charge in full the leases that expired before a moment: their holders are gone, the provider may bill."""
    return _charge(conn, _locked(conn, _EXPIRED, {"before": before, "most": most}))


def forget_before(conn: Connection, before: datetime) -> int:
    """Delete ended leases and rate windows from before a moment; usage stays."""
    _FORGET_RATES.count(conn, {"minute": int(before.timestamp() // 60)})
    return _FORGET_LEASES.count(conn, {"before": before})


def _charge(conn: Connection, leases: Iterable[_Lease]) -> int:
    moves = _Moves()
    for lease in leases:
        moves.move(lease, spent=lease.held_microusd, state="charged", cost=lease.held_microusd)
    _carry_out(conn, moves)
    return len(moves.ended)


def _locked(conn: Connection, statement: Statement, values: dict[str, Any]) -> list[_Lease]:
    return [_Lease(*row) for row in statement.rows(conn, values)]


def _adopt(
    conn: Connection,
    unknown: Sequence[Settlement],
    leases: dict[str, _Lease],
    *,
    now: datetime,
    defaults: Limits | None,
) -> None:
    """Make ended leases of settlements that the journal vouches for, so that they too are booked once."""
    vouched = [item for item in unknown if item.goal is not None]
    if not vouched:
        return
    drawn_on = limits_of(conn, {item.goal or "" for item in vouched}, defaults=defaults or Limits())
    for item in vouched:
        goal = drawn_on[item.goal or ""].goal
        row = {
            "lease_id": item.lease_id,
            "run_id": item.run_id,
            "task_id": "",
            "turn": 0,
            "goal": goal,
            "day": utc_day(now),
            "model": item.model,
            "held_microusd": item.held_microusd,
            "state": "released",
            "slot": False,
            "expires_at": now,
            "created_at": now,
        }
        if _INSERT_SETTLED.count(conn, row):
            leases[item.lease_id] = _Lease(
                item.lease_id,
                item.run_id,
                goal,
                utc_day(now),
                item.model,
                item.held_microusd,
                None,
                "released",
                slot=False,
            )


def _carry_out(conn: Connection, moves: _Moves) -> None:
    if not moves.ended:
        return
    free_slots_of_leases(conn, [row["lease_id"] for row in moves.ended])
    _END.many(conn, moves.ended)
    for (goal, day), spent in sorted(moves.spent.items()):
        leased = moves.leased[goal, day]
        first = {"spent_microusd": max(spent, 0), "leased_microusd": max(leased, 0)}
        _BOOK.count(conn, {"goal": goal, "day": day, **first, "spent": spent, "leased": leased})


def _closed(overrun: Overrun, now: datetime) -> dict[str, Any]:
    return {
        "goal": overrun.goal,
        "model": overrun.model,
        "lease_id": overrun.lease_id,
        "held_microusd": overrun.held_microusd,
        "billed_microusd": overrun.billed_microusd,
        "closed_at": now,
    }
