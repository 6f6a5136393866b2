"""Grants leases: decides for a whole batch in one pure function, then books it in one conditional UPDATE per goal.

Rows are locked in one order everywhere (leases, slots by goal, usage by goal, rates by model), so that any number of
processes can grant at once. The condition in the UPDATE holds the invariant `spent + leased <= cap` by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection

from evolvent.events.errors import Conflict
from evolvent.storage.budgets import ALL_GOALS, MAX_MICROUSD, Limits, closed_models, limits_of
from evolvent.storage.columns import read_moment
from evolvent.storage.columns import utc_day as utc_day  # its readers know it as the day of a lease
from evolvent.storage.slots import take_expired_slots
from evolvent.storage.statements import Statement, insert


class Limit(StrEnum):
    """Which limit a lease was refused for."""

    DAILY_COST = "daily_cost"
    PLATFORM_DAILY_COST = "platform_daily_cost"
    CONCURRENT = "concurrent"
    RATE = "rate"
    MODEL_CLOSED = "model_closed"
    LEASE_ENDED = "lease_ended"


@dataclass(frozen=True, slots=True)
class LeaseAsk:
    """The worst case of one model turn. `goal` is the run's; the lease is on the budget that this goal draws on."""

    lease_id: str
    run_id: str
    task_id: str
    turn: int
    goal: str
    model: str
    held_microusd: int
    tokens: int = 0
    ttl_seconds: float = 120.0

    def __post_init__(self) -> None:
        if not 0 <= self.held_microusd <= MAX_MICROUSD or self.tokens < 0:
            raise ValueError(f"a lease holds 0 to {MAX_MICROUSD} micro-dollars, not {self.held_microusd}")


@dataclass(frozen=True, slots=True)
class Granted:
    """The money is held. `goal` is the budget that it is held on."""

    lease_id: str
    goal: str
    held_microusd: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is held, because this limit is reached. `cap` and `used` are of that limit, in its own unit."""

    lease_id: str
    goal: str
    limit: Limit
    cap: int = 0
    used: int = 0
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a provider takes per minute."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(slots=True)
class Room:
    """What is used, as the deciding goes on: per goal, and per model in this minute."""

    used: dict[str, int] = field(default_factory=dict)
    in_use: dict[str, int] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)


_HELD = Statement("SELECT lease_id, goal, held_microusd, expires_at, state FROM leases WHERE lease_id IN :lease_ids")
_ENSURE_USAGE = insert("usage", ("goal", "day", "spent_microusd", "leased_microusd"), conflict="ON CONFLICT DO NOTHING")
_ENSURE_SLOTS = insert("slots", ("goal", "in_use"), conflict="ON CONFLICT DO NOTHING")
_ENSURE_RATES = insert("rate_windows", ("model", "minute", "requests", "tokens"), conflict="ON CONFLICT DO NOTHING")
_USAGE = Statement(
    "SELECT goal, spent_microusd + leased_microusd FROM usage WHERE day = :day AND goal IN :goals ORDER BY goal",
    lock=True,
)
_SLOTS = Statement("SELECT goal, in_use FROM slots WHERE goal IN :goals ORDER BY goal", lock=True)
_RATES = Statement(
    "SELECT model, requests, tokens FROM rate_windows WHERE minute = :minute AND model IN :models ORDER BY model",
    lock=True,
)
_HOLD = Statement(
    "UPDATE usage SET leased_microusd = leased_microusd + :held WHERE goal = :goal AND day = :day"
    " AND spent_microusd + leased_microusd + :held <= :cap"
)
_HOLD_FREELY = Statement("UPDATE usage SET leased_microusd = leased_microusd + :held WHERE goal = :goal AND day = :day")
_TAKE_SLOTS = Statement("UPDATE slots SET in_use = in_use + :n WHERE goal = :goal AND in_use + :n <= :most")
_COUNT_RATE = Statement(
    "UPDATE rate_windows SET requests = requests + :requests, tokens = tokens + :tokens"
    " WHERE model = :model AND minute = :minute"
)
_INSERT = insert(
    "leases",
    (
        "lease_id", "run_id", "task_id", "turn", "goal", "day", "model", "held_microusd", "state", "slot", "expires_at",
        "created_at",
    ),
)  # fmt: skip


def grant_leases(
    conn: Connection,
    asks: Sequence[LeaseAsk],
    *,
    now: datetime,
    defaults: Limits,
    rates: Mapping[str, RateLimit] | None = None,
) -> list[Granted | Refused]:
    """Grant what fits, in order; the answers stand in the order of the asks. Asked twice, the same lease."""
    rates = rates or {}
    held = {row[0]: row for row in _HELD.rows(conn, {"lease_ids": [ask.lease_id for ask in asks]})}
    fresh = {ask.lease_id: ask for ask in asks if ask.lease_id not in held}
    answers: dict[str, Granted | Refused] = {
        lease_id: Granted(lease_id, goal, money, read_moment(expires_at))
        if state == "leased"
        else Refused(lease_id, goal, Limit.LEASE_ENDED)
        for lease_id, goal, money, expires_at, state in held.values()
    }
    if fresh:
        limits = limits_of(conn, {ask.goal for ask in fresh.values()}, defaults=defaults)
        for answer in _grant(conn, list(fresh.values()), limits, now=now, rates=rates):
            answers[answer.lease_id] = answer
    return [answers[ask.lease_id] for ask in asks]


def decide(
    asks: Sequence[LeaseAsk],
    limits: Mapping[str, Limits],
    room: Room,
    *,
    rates: Mapping[str, RateLimit],
    closed: frozenset[tuple[str, str]],
    now: datetime,
) -> list[Granted | Refused]:
    """Answer the asks in order, purely, against what is used; each grant is counted into `room`."""
    answers: list[Granted | Refused] = []
    for ask in asks:
        of_goal, everywhere = limits[ask.goal], limits[ALL_GOALS]
        refusal = _refusal(ask, of_goal, everywhere, room=room, rate=rates.get(ask.model), closed=closed)
        if refusal is not None:
            limit, cap, used = refusal
            wait = 60.0 - now.timestamp() % 60 if limit is Limit.RATE else None
            answers.append(Refused(ask.lease_id, of_goal.goal, limit, cap, used, wait))
            continue
        for goal in (of_goal.goal, ALL_GOALS):
            room.used[goal] += ask.held_microusd
        room.in_use[of_goal.goal] += 1
        if ask.model in rates:
            room.requests[ask.model] += 1
            room.tokens[ask.model] += ask.tokens
        expires_at = now + timedelta(seconds=ask.ttl_seconds)
        answers.append(Granted(ask.lease_id, of_goal.goal, ask.held_microusd, expires_at))
    return answers


def _refusal(
    ask: LeaseAsk,
    of_goal: Limits,
    everywhere: Limits,
    *,
    room: Room,
    rate: RateLimit | None,
    closed: frozenset[tuple[str, str]],
) -> tuple[Limit, int, int] | None:
    goal, held = of_goal.goal, ask.held_microusd
    checks: list[tuple[Limit, int | None, int, int]] = [
        (Limit.DAILY_COST, of_goal.max_daily_microusd, room.used[goal], held),
        (Limit.PLATFORM_DAILY_COST, everywhere.max_daily_microusd, room.used[ALL_GOALS], held),
        (Limit.CONCURRENT, of_goal.max_concurrent, room.in_use[goal], 1),
    ]
    if rate is not None:
        checks.append((Limit.RATE, rate.requests_per_minute, room.requests[ask.model], 1))
        checks.append((Limit.RATE, rate.tokens_per_minute, room.tokens[ask.model], ask.tokens))
    if (goal, ask.model) in closed:
        return Limit.MODEL_CLOSED, 0, 0
    for limit, cap, used, more in checks:
        if cap is not None and not used + more <= cap:
            return limit, cap, used
    return None


def _grant(
    conn: Connection,
    asks: Sequence[LeaseAsk],
    limits: Mapping[str, Limits],
    *,
    now: datetime,
    rates: Mapping[str, RateLimit],
) -> list[Granted | Refused]:
    goals = sorted({limits[ask.goal].goal for ask in asks})
    models = sorted({ask.model for ask in asks if ask.model in rates})
    room = _lock_room(conn, goals, models, now=now)
    full = [g for g in goals if room.in_use[g] + len(asks) > (limits[g].max_concurrent or 0)]
    if full:
        for goal, given_back in take_expired_slots(conn, full, now=now).items():
            room.in_use[goal] -= given_back
    answers = decide(asks, limits, room, rates=rates, closed=closed_models(conn, goals), now=now)
    granted = [(ask, answer) for ask, answer in zip(asks, answers, strict=True) if isinstance(answer, Granted)]
    _book(conn, granted, limits, now=now, rates=rates)
    return answers


def _lock_room(conn: Connection, goals: Sequence[str], models: Sequence[str], *, now: datetime) -> Room:
    """Read, and on Postgres lock, everything that the answers depend on."""
    day, minute, everything = utc_day(now), int(now.timestamp() // 60), (*goals, ALL_GOALS)
    room = Room(in_use=dict(_SLOTS.rows(conn, {"goals": goals})))
    if len(room.in_use) < len(goals):
        _ENSURE_SLOTS.many(conn, [{"goal": goal, "in_use": 0} for goal in goals])
        room.in_use = dict(_SLOTS.rows(conn, {"goals": goals}))
    room.used = dict(_USAGE.rows(conn, {"day": day, "goals": everything}))
    if len(room.used) < len(everything):
        empty = {"day": day, "spent_microusd": 0, "leased_microusd": 0}
        _ENSURE_USAGE.many(conn, [{"goal": goal, **empty} for goal in sorted(everything)])
        room.used = dict(_USAGE.rows(conn, {"day": day, "goals": everything}))
    if models:
        nothing = {"minute": minute, "requests": 0, "tokens": 0}
        _ENSURE_RATES.many(conn, [{"model": model, **nothing} for model in models])
        for model, requests, tokens in _RATES.rows(conn, {"minute": minute, "models": models}):
            room.requests[model], room.tokens[model] = requests, tokens
    return room


def _book(
    conn: Connection,
    granted: Sequence[tuple[LeaseAsk, Granted]],
    limits: Mapping[str, Limits],
    *,
    now: datetime,
    rates: Mapping[str, RateLimit],
) -> None:
    if not granted:
        return
    day, money, turns = utc_day(now), dict[str, int](), dict[str, int]()
    for ask, lease in granted:
        turns[lease.goal] = turns.get(lease.goal, 0) + 1
        for goal in (lease.goal, ALL_GOALS):
            money[goal] = money.get(goal, 0) + ask.held_microusd
    for goal, n in sorted(turns.items()):
        _must(_TAKE_SLOTS.count(conn, {"goal": goal, "n": n, "most": limits[goal].max_concurrent}))
    for goal, held in sorted(money.items()):
        cap = limits[goal].max_daily_microusd
        if cap is None:
            _must(_HOLD_FREELY.count(conn, {"goal": goal, "day": day, "held": held}))
        else:
            _must(_HOLD.count(conn, {"goal": goal, "day": day, "held": held, "cap": cap}))
    for ask, _ in granted:
        if ask.model in rates:
            minute = int(now.timestamp() // 60)
            _COUNT_RATE.count(conn, {"model": ask.model, "minute": minute, "requests": 1, "tokens": ask.tokens})
    _INSERT.many(conn, [_lease_row(ask, lease, day=day, now=now) for ask, lease in granted])


def _lease_row(ask: LeaseAsk, lease: Granted, *, day: str, now: datetime) -> dict[str, object]:
    return {
        "lease_id": ask.lease_id,
        "run_id": ask.run_id,
        "task_id": ask.task_id,
        "turn": ask.turn,
        "goal": lease.goal,
        "day": day,
        "model": ask.model,
        "held_microusd": ask.held_microusd,
        "state": "leased",
        "slot": True,
        "expires_at": lease.expires_at,
        "created_at": now,
    }


def _must(touched: int) -> None:
    if touched != 1:
        raise Conflict("A budget changed while it was booked on; ask again. Nothing is held.")
