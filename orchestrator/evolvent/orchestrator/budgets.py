"""What the resource manager decides: who waits in which line, what a refusal says, what a journal means in money.

Pure: no clock, no bus, no SQL.
"""

from __future__ import annotations

import bisect
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.messages.calls import LeaseRequest
from evolvent.events.messages.runs import FINAL_TYPES, LeaseInfo, Price
from evolvent.events.subjects import Priority
from evolvent.orchestrator.llm import pricing
from evolvent.orchestrator.settings import ResourceSettings
from evolvent.storage.bookings import Booking
from evolvent.storage.budgets import MAX_MICROUSD, Limits
from evolvent.storage.leases import LeaseAsk, Limit, RateLimit, Refused
from evolvent.storage.settlements import Settlement

T = TypeVar("T")
MICRO = 1_000_000
RANKS: Mapping[Priority, int] = {priority: rank for rank, priority in enumerate(Priority)}
WAITABLE = frozenset({Limit.CONCURRENT, Limit.RATE})
_STARTED, _SUSPENDED, _RESUMED = "workflow_started", "workflow_suspended", "workflow_resumed"


def microusd(usd: float) -> int:
    """Return a sum of dollars in micro-dollars."""
    return int((Decimal(str(usd)) * MICRO).to_integral_value())


def default_limits(settings: ResourceSettings) -> Limits:
    """Return the limits of a goal that has none of its own."""
    platform = settings.platform_daily_cost
    return Limits(
        max_agents=settings.max_agents,
        max_concurrent=settings.max_concurrent,
        max_daily_microusd=microusd(settings.max_daily_cost),
        policy=settings.policy,
        platform_daily_microusd=None if platform is None else microusd(platform),
    )


def rate_limits(settings: ResourceSettings) -> dict[str, RateLimit]:
    """Return what each model's provider takes per minute."""
    return {
        model: RateLimit(limits.get("requests_per_minute"), limits.get("tokens_per_minute"))
        for model, limits in settings.rate_limits.items()
    }


def leased_price(prices: Iterable[pricing.Price], prompt_bytes: int) -> Price:
    """Return the price that a turn is settled at: the dearest that its prompt could have reached."""
    reachable = [price for price in prices if price.above_tokens < prompt_bytes or price.above_tokens < 0]
    return Price(
        input=float(max(price.input_usd_per_million for price in reachable)),
        output=float(max(price.output_usd_per_million for price in reachable)),
        cached_input=float(max(price.cached_input_usd_per_million for price in reachable)),
    )


def lease_ask(ask: LeaseRequest, held: int, rate: RateLimit | None) -> LeaseAsk:
    """Return what the ledger is asked for; `held` is the turn's worst case."""
    tokens = ask.prompt_bytes + ask.max_tokens
    if rate is not None and rate.tokens_per_minute is not None:
        # A turn that may need more than a whole minute's tokens gets a minute to itself.
        tokens = min(tokens, rate.tokens_per_minute)
    of_turn = (ask.lease_id, ask.run_id, ask.task_id, ask.turn, ask.goal, ask.model)
    return LeaseAsk(*of_turn, held, tokens=tokens, ttl_seconds=ask.ttl_seconds)


@dataclass(eq=False, slots=True)
class Waiter(Generic[T]):
    """Somebody in a line, with what they wait for."""

    item: T
    rank: int
    number: int
    line: Hashable


@dataclass(slots=True)
class WaitingLines(Generic[T]):
    """Lines in which those of a better priority stand first, and those who came first before others of theirs.

    Whoever leaves with empty hands and comes back under the same name within the next `_REMEMBERED` names stands where
    they stood.
    """

    _lines: dict[Hashable, list[tuple[int, int, Waiter[T]]]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _next: int = 0
    _REMEMBERED = 10_000

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    @property
    def is_empty(self) -> bool:
        """Say whether nobody waits."""
        return not self._lines

    def join(self, line: Hashable, item: T, *, rank: int, name: str) -> Waiter[T]:
        """Stand in a line."""
        number = self._numbers.get(name)
        if number is None:
            self._next += 1
            number = self._numbers[name] = self._next
            if len(self._numbers) > self._REMEMBERED:
                del self._numbers[next(iter(self._numbers))]
        waiter = Waiter(item, rank, number, line)
        self._insert(waiter)
        return waiter

    def move(self, waiter: Waiter[T], line: Hashable) -> None:
        """Stand in another line, at the place that rank and number give."""
        self.leave(waiter)
        waiter.line = line
        self._insert(waiter)

    def leave(self, waiter: Waiter[T]) -> None:
        """Stand in no line any more."""
        line = self._lines.get(waiter.line, [])
        at = bisect.bisect_left(line, (waiter.rank, waiter.number), key=lambda entry: entry[:2])
        while at < len(line) and line[at][2] is not waiter:
            at += 1
        if at < len(line):
            del line[at]
            if not line:
                del self._lines[waiter.line]

    def forget(self, name: str) -> None:
        """Forget where somebody stood, because they got what they wanted."""
        self._numbers.pop(name, None)

    def has_before(self, line: Hashable, rank: int) -> bool:
        """Say whether somebody in this line goes before a newcomer of this rank."""
        found = self._lines.get(line)
        return found is not None and bool(found) and found[0][0] <= rank

    def heads(self, most: int, *, closed: frozenset[Hashable] = frozenset()) -> list[Waiter[T]]:
        """Return the first of each line that is not closed, in their order."""
        return [entry[2] for line, entries in self._lines.items() if line not in closed for entry in entries[:most]]

    def lines(self) -> list[Hashable]:
        """Return the lines in which somebody stands."""
        return list(self._lines)

    def _insert(self, waiter: Waiter[T]) -> None:
        line = self._lines.setdefault(waiter.line, [])
        bisect.insort(line, (waiter.rank, waiter.number, waiter), key=lambda entry: entry[:2])


def refusal(refused: Refused, limits: Limits, *, goal: str, model: str, held: int, day: str) -> ErrorInfo:
    """Return what a refused lease tells its run: which limit, how it stands, and what to do."""
    match refused.limit:
        case Limit.CONCURRENT:
            message = (
                f"Goal {goal!r} has all of its {refused.cap} model turns in flight; this one waits. "
                f"Raise it: `evolvent budget set {limits.goal} --concurrent N`."
            )
            return _resource("budget.concurrent", message, retry_after=None, retryable=True)
        case Limit.RATE:
            message = (
                f"Model {model!r} is at its limit of {refused.cap} per minute; this turn waits for the next minute."
            )
            return _resource("budget.rate", message, retry_after=refused.retry_after_seconds, retryable=True)
        case Limit.MODEL_CLOSED:
            message = (
                f"Model {model!r} billed more than its lease and is closed for goal {limits.goal!r}; "
                "look at its bill, then open it again. Nothing is held."
            )
            return _resource("budget.model_closed", message)
        case Limit.LEASE_ENDED:
            return _resource(
                "lease.ended", "This lease has ended; ask for a new one. Nothing is held.", retryable=False
            )
        case _:
            return _resource("budget.exceeded", _money_message(refused, limits, goal=goal, held=held, day=day))


def _money_message(refused: Refused, limits: Limits, *, goal: str, held: int, day: str) -> str:
    if refused.limit is Limit.PLATFORM_DAILY_COST:
        whose, budget = "The whole platform", "'*'"
    else:
        shared = "" if limits.goal == goal else f" (it shares the budget of {limits.goal!r})"
        whose, budget = f"Goal {goal!r}{shared}", limits.goal
    return (
        f"{whose} has {_usd(refused.used)} of its {_usd(refused.cap)} for {day} (UTC) spent or held, and this turn "
        f"may cost {_usd(held)}. Raise it (`evolvent budget set {budget} --daily N`) or wait for the next UTC "
        "day. Nothing is held."
    )


def _usd(micro: int) -> str:
    dollars = f"{micro / MICRO:.6f}".rstrip("0")
    return "$" + (dollars + "00" if dollars.endswith(".") else dollars)


def _resource(code: str, message: str, *, retryable: bool = False, retry_after: float | None = None) -> ErrorInfo:
    return ErrorInfo(
        code=code, category=Category.RESOURCE, message=message, retryable=retryable, retry_after_seconds=retry_after
    )


class _TurnMoney(BaseModel):
    """What a turn's record says about money."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    lease: LeaseInfo | None = None
    sent: bool = True
    cost_microusd: int = 0


class RunMoney(BaseModel):
    """What an event of a journal says about money; the rest of it is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    type: str
    occurred_at: datetime
    turns: tuple[_TurnMoney, ...] = ()


def moves_money(event_type: str, data: bytes) -> bool:
    """Say by a cheap look whether an event can mean anything to the ledger."""
    if event_type == _STARTED:
        return False  # its lease is spent by a turn that a later event tells of
    return event_type in FINAL_TYPES or event_type in (_SUSPENDED, _RESUMED) or b'"lease":{' in data


def booking_of(events: Iterable[RunMoney]) -> Booking:
    """Return what a batch of journal events moves, turns before ends."""
    settlements: dict[str, Settlement] = {}
    unsent: dict[str, None] = {}
    freed: dict[str, datetime] = {}
    closed: dict[str, None] = {}
    for event in events:
        for turn in event.turns:
            if turn.lease is None:
                continue
            if turn.sent:
                settlements[turn.lease.lease_id] = _settlement(event.run_id, turn, turn.lease)
            else:
                unsent[turn.lease.lease_id] = None
        if event.type in FINAL_TYPES or event.type == _SUSPENDED:
            closed[event.run_id] = None
        if event.type in (_RESUMED, _SUSPENDED) or event.type in FINAL_TYPES:
            freed[event.run_id] = max(event.occurred_at, freed.get(event.run_id, event.occurred_at))
    return Booking(tuple(settlements.values()), tuple(unsent), tuple(freed.items()), tuple(closed))


def _settlement(run_id: str, turn: _TurnMoney, lease: LeaseInfo) -> Settlement:
    return Settlement(
        lease.lease_id,
        # An absurd bill is booked as the most that can be: one that no ledger takes would hold back everybody's.
        min(MAX_MICROUSD, max(0, turn.cost_microusd)),
        goal=lease.goal,
        model=lease.model,
        run_id=run_id,
        held_microusd=lease.held_microusd,
    )
