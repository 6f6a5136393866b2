"""What the resource manager decides without touching anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.events.language.conversation import ModelReply
from evolvent.events.messages.calls import LeaseRequest
from evolvent.events.messages.runs import AgentCompleted, LeaseInfo, TurnRecord, WorkflowCompleted, WorkflowResumed
from evolvent.orchestrator.budgets import (
    RunMoney,
    WaitingLines,
    booking_of,
    default_limits,
    lease_ask,
    leased_price,
    microusd,
    moves_money,
    rate_limits,
    refusal,
)
from evolvent.orchestrator.llm.pricing import Price, PriceTable
from evolvent.orchestrator.settings import ResourceSettings
from evolvent.storage.budgets import MAX_MICROUSD, Limits
from evolvent.storage.leases import Limit, RateLimit, Refused

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENVELOPE = {"event_id": "e", "run_id": "r", "occurred_at": NOON, "source": "test"}


def turn(lease: str | None, *, sent: bool = True, cost: int = 7) -> TurnRecord:
    info = None if lease is None else LeaseInfo(lease_id=lease, goal="g", model="m", held_microusd=10)
    return TurnRecord(
        task_id="t",
        turn=0,
        agent_id="a",
        spec_hash="h",
        reply=ModelReply(text="lease"),
        lease=info,
        sent=sent,
        cost_microusd=cost,
        started_at=NOON,
    )


def read(event: object) -> RunMoney:
    return RunMoney.model_validate_json(event.encode())  # type: ignore[attr-defined]


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 4), st.sampled_from("ab")), max_size=40),
    leaving=st.sets(st.integers(0, 39)),
)
def test_lines_keep_priority_and_arrival(arrivals: list[tuple[int, str]], leaving: set[int]) -> None:
    lines: WaitingLines[int] = WaitingLines()
    waiters = [lines.join(line, i, rank=rank, name=str(i)) for i, (rank, line) in enumerate(arrivals)]
    for i in leaving & set(range(len(waiters))):
        lines.leave(waiters[i])
        lines.leave(waiters[i])
    for line in "ab":
        stay = [(rank, i) for i, (rank, at) in enumerate(arrivals) if at == line and i not in leaving]
        others = frozenset("ab") - {line}
        assert [w.item for w in lines.heads(99, closed=others)] == [i for _, i in sorted(stay)]
        assert lines.has_before(line, 2) == any(rank <= 2 for rank, _ in stay)
    assert len(lines) == len(waiters) - len(leaving & set(range(len(waiters))))


def test_who_comes_back_stands_where_they_stood() -> None:
    lines: WaitingLines[str] = WaitingLines()
    first = lines.join("a", "first", rank=1, name="1")
    lines.join("a", "second", rank=1, name="2")
    lines.leave(first)
    lines.join("a", "first again", rank=1, name="1")
    assert [w.item for w in lines.heads(2)] == ["first again", "second"]
    lines.forget("1")
    lines.move(lines.heads(1)[0], "b")
    assert lines.lines() == ["a", "b"]


def test_settings_become_limits_in_whole_micro_dollars() -> None:
    settings = ResourceSettings(max_daily_cost=0.1, rate_limits={"m": {"requests_per_minute": 5}})
    assert default_limits(settings).max_daily_microusd == 100_000
    assert default_limits(settings).platform_daily_microusd is None
    assert rate_limits(settings) == {"m": RateLimit(5, None)}
    assert microusd(0.000001) == 1
    assert microusd(1_000_000_000) == 10**15


def test_the_leased_price_is_the_dearest_that_the_prompt_can_reach() -> None:
    one, two, fee = Decimal(1), Decimal(2), Decimal(0)
    short = Price(one, two, one, one, fee)
    long = Price(two, two, two, two, fee, above_tokens=100)
    assert leased_price((short, long), 100).input == 1.0
    assert leased_price((short, long), 101).input == 2.0
    own = PriceTable({"mine": {"input": 2.5, "output": 10, "cached_input": 1}})
    price = leased_price(own.prices("mine"), 0)
    assert (price.input, price.output, price.cached_input) == (2.5, 10.0, 1.0)


def test_a_turn_larger_than_a_minute_gets_a_minute_to_itself() -> None:
    ask = LeaseRequest(
        lease_id="l", run_id="r", task_id="t", turn=0, goal="g", model="m", prompt_bytes=900, max_tokens=200
    )
    assert lease_ask(ask, 5, None).tokens == 1100
    assert lease_ask(ask, 5, RateLimit(None, 1000)).tokens == 1000


def test_a_batch_of_events_is_one_booking() -> None:
    resumed = WorkflowResumed(**ENVELOPE, owner="o")
    later = WorkflowResumed(**{**ENVELOPE, "occurred_at": NOON + timedelta(seconds=5)}, owner="o")
    done = WorkflowCompleted(**ENVELOPE, turns=(turn("l3"),))
    booking = booking_of(
        map(read, [AgentCompleted(**ENVELOPE, turns=(turn("l1"), turn("l2", sent=False), turn(None))), resumed, later])
    )
    assert [(s.lease_id, s.cost_microusd, s.goal, s.held_microusd) for s in booking.settlements] == [("l1", 7, "g", 10)]
    assert booking.unsent == ("l2",)
    assert booking.freed == (("r", NOON + timedelta(seconds=5)),)
    assert booking.closed == ()
    ended = booking_of([read(done)])
    assert (ended.closed, [s.lease_id for s in ended.settlements]) == (("r",), ["l3"])
    assert not booking_of([])


def test_only_events_that_may_move_money_are_read() -> None:
    paid = AgentCompleted(**ENVELOPE, turns=(turn("l1"),)).encode()
    free = AgentCompleted(**ENVELOPE, turns=(turn(None),)).encode()
    assert moves_money("agent_completed", paid)
    assert not moves_money("agent_completed", free)
    assert moves_money("workflow_failed", b"{}")
    assert moves_money("workflow_resumed", b"{}")


@pytest.mark.parametrize(
    ("refused", "code", "retryable", "words"),
    [
        (Refused("l", "g", Limit.DAILY_COST, 10**7, 9_990_000), "budget.exceeded", False, "has $9.99 of its $10.00"),
        (Refused("l", "g", Limit.PLATFORM_DAILY_COST, 5, 5), "budget.exceeded", False, "whole platform has $0.000005"),
        (Refused("l", "g", Limit.CONCURRENT, 10, 10), "budget.concurrent", True, "all of its 10 model turns"),
        (Refused("l", "g", Limit.RATE, 500, 500, 12.0), "budget.rate", True, "500 per minute"),
        (Refused("l", "g", Limit.MODEL_CLOSED), "budget.model_closed", False, "closed for goal 'g'"),
        (Refused("l", "g", Limit.LEASE_ENDED), "lease.ended", False, "ask for a new one"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_stands_and_what_to_do(refused: Refused, code: str, retryable: bool, words: str) -> None:
    error = refusal(refused, Limits(goal="g"), goal="g", model="m", held=20_000, day="2026-03-01")
    assert (error.code, error.retryable) == (code, retryable)
    assert words in error.message


def test_an_absurd_bill_is_booked_and_holds_back_nobody() -> None:
    event = AgentCompleted(**ENVELOPE, prev_seq=0, turns=(turn("l1", cost=10**30), turn("l2", cost=-5)))
    money = RunMoney.model_validate_json(event.encode())
    assert [item.cost_microusd for item in booking_of([money]).settlements] == [MAX_MICROUSD, 0]
