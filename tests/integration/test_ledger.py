from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection, Engine, create_engine, event
from support.databases import NOON, FixedClock, database_url, databases, postgres_server  # noqa: F401

from evolvent.events.clock import SystemClock
from evolvent.events.errors import InvalidMessage
from evolvent.storage import budgets, settlements, slots
from evolvent.storage.budgets import Limits
from evolvent.storage.database import Databases
from evolvent.storage.errors import StorageRefused
from evolvent.storage.leases import Granted, LeaseAsk, Limit, RateLimit, Refused, grant_leases
from evolvent.storage.ledger import Ledger
from evolvent.storage.ledger_rows import LedgerRow
from evolvent.storage.settlements import Settlement
from evolvent.storage.statements import Statement

T = TypeVar("T")
CAP = 10_000
DEFAULTS = Limits(max_concurrent=4, max_daily_microusd=CAP)
USED = Statement("SELECT goal, day, spent_microusd, leased_microusd FROM usage")


def ask(number: int, *, held: int = 1000, goal: str = "default", model: str = "m", tokens: int = 0) -> LeaseAsk:
    return LeaseAsk(f"l{number}", f"r{number}", "answer", 1, goal, model, held, tokens)


def ledger_on(databases: Databases, **changes: object) -> Ledger:  # noqa: F811
    rates = changes.pop("rates", None)
    return Ledger(databases.ledger, FixedClock(), defaults=replace(DEFAULTS, **changes), rates=rates)  # type: ignore[arg-type]


async def test_the_same_lease_is_held_once_however_often_it_is_asked(databases: Databases) -> None:  # noqa: F811
    ledger = ledger_on(databases)
    answers = await asyncio.gather(*(ledger.lease(ask(1)) for _ in range(10)))
    assert len(set(answers)) == 1
    assert isinstance(answers[0], Granted)
    view = await ledger.usage("default")
    assert (view.leased_microusd, view.concurrent) == (1000, 1)


async def test_a_refusal_names_the_limit(databases: Databases) -> None:  # noqa: F811
    ledger = ledger_on(databases, max_concurrent=2, platform_daily_microusd=5000, rates={"slow": RateLimit(1, None)})
    await ledger.set_limits("rich", by="op", max_daily_microusd=100_000)
    limit_of = {}
    for name, asked in {
        "too much": ask(1, held=CAP + 1),
        "platform": ask(2, held=6000, goal="rich"),
        "first slow": ask(3, model="slow", goal="rich"),
        "second slow": ask(4, model="slow", goal="rich"),
        "a": ask(5),
        "b": ask(6),
        "third at once": ask(7),
    }.items():
        answer = await ledger.lease(asked)
        limit_of[name] = answer.limit if isinstance(answer, Refused) else None
    assert limit_of == {
        "too much": Limit.DAILY_COST,
        "platform": Limit.PLATFORM_DAILY_COST,
        "first slow": None,
        "second slow": Limit.RATE,
        "a": None,
        "b": None,
        "third at once": Limit.CONCURRENT,
    }


async def test_a_goal_that_nobody_created_draws_on_the_default_budget(databases: Databases) -> None:  # noqa: F811
    ledger = ledger_on(databases)
    first = await ledger.lease(ask(1, held=6000, goal="invented"))
    second = await ledger.lease(ask(2, held=6000, goal="another"))
    assert isinstance(first, Granted)
    assert first.goal == "default"
    assert isinstance(second, Refused)
    assert (await ledger.usage("invented")).is_default
    await ledger.set_limits("another", by="op", max_daily_microusd=6000)
    assert isinstance(await ledger.lease(ask(3, held=6000, goal="another")), Granted)
    assert [view.goal for view in await ledger.list_budgets()] == ["*", "default", "another"]


async def test_settling_is_done_once_and_gives_back_the_rest(databases: Databases) -> None:  # noqa: F811
    ledger = ledger_on(databases)
    await ledger.lease(ask(1))
    first, again = await ledger.settle(Settlement("l1", 300)), await ledger.settle(Settlement("l1", 300))
    assert (first.is_new, again.is_new) == (True, False)
    view = await ledger.usage("default")
    assert (view.spent_microusd, view.leased_microusd, view.concurrent) == (300, 0, 0)
    assert not await ledger.release("l1")
    assert isinstance(await ledger.lease(ask(1)), Refused)


async def test_a_bill_above_its_lease_is_booked_and_closes_the_model(databases: Databases) -> None:  # noqa: F811
    ledger = ledger_on(databases)
    await ledger.lease(ask(1))
    settled = await ledger.settle(Settlement("l1", 1500))
    assert settled.overrun is not None
    assert (settled.overrun.held_microusd, settled.overrun.billed_microusd) == (1000, 1500)
    assert (await ledger.usage("default")).spent_microusd == 1500
    refused = await ledger.lease(ask(2))
    assert isinstance(refused, Refused)
    assert refused.limit is Limit.MODEL_CLOSED
    assert isinstance(await ledger.lease(ask(3, model="other")), Granted)
    assert await ledger.reopen_model("default", "m")
    assert isinstance(await ledger.lease(ask(4)), Granted)


async def test_what_nobody_settles_is_charged_in_full_and_corrected_when_the_journal_knows(
    databases: Databases,  # noqa: F811
) -> None:
    clock = FixedClock()
    ledger = Ledger(databases.ledger, clock, defaults=DEFAULTS)
    await ledger.lease(ask(1))
    await ledger.lease(ask(2))
    assert await ledger.charge_open("r1") == 1
    assert await ledger.charge_expired() == 0
    clock.time = NOON + timedelta(seconds=121)
    assert await ledger.charge_expired() == 1
    view = await ledger.usage("default")
    assert (view.spent_microusd, view.leased_microusd, view.concurrent) == (2000, 0, 0)
    await ledger.settle(Settlement("l2", 100))
    assert (await ledger.usage("default")).spent_microusd == 1100


async def test_a_cost_whose_lease_is_unknown_is_booked_once_if_the_journal_vouches(databases: Databases) -> None:  # noqa: F811
    ledger = ledger_on(databases)
    assert not (await ledger.settle(Settlement("lost", 400))).is_known
    assert (await ledger.usage("default")).spent_microusd == 0
    for _ in range(2):
        await ledger.settle(Settlement("lost", 400, goal="default", model="m", run_id="r", held_microusd=500))
    assert (await ledger.usage("default")).spent_microusd == 400


async def test_an_expired_slot_is_taken_over_and_its_money_stays_held(databases: Databases) -> None:  # noqa: F811
    clock = FixedClock()
    ledger = Ledger(databases.ledger, clock, defaults=replace(DEFAULTS, max_concurrent=1))
    await ledger.lease(ask(1))
    assert isinstance(await ledger.lease(ask(2)), Refused)
    clock.time = NOON + timedelta(seconds=121)
    assert isinstance(await ledger.lease(ask(3)), Granted)
    view = await ledger.usage("default")
    assert (view.leased_microusd, view.concurrent) == (2000, 1)
    clock.time = NOON + timedelta(seconds=130)
    assert await ledger.free_slots("r3") == 1
    assert (await ledger.usage("default")).concurrent == 0


async def test_a_lower_cap_grants_nothing_more_and_takes_nothing_away(databases: Databases) -> None:  # noqa: F811
    ledger = ledger_on(databases)
    await ledger.lease(ask(1, held=8000))
    await ledger.set_limits("default", by="op", max_daily_microusd=5000)
    assert isinstance(await ledger.lease(ask(2, held=1)), Refused)
    assert (await ledger.settle(Settlement("l1", 8000))).overrun is None
    with pytest.raises(InvalidMessage):
        await ledger.set_limits("default", by="op", max_daily_microusd=-1)


async def test_the_database_itself_refuses_negative_usage(databases: Databases) -> None:  # noqa: F811
    await ledger_on(databases).lease(ask(1))
    with pytest.raises(StorageRefused):
        await databases.ledger.writer.run(
            lambda conn: Statement("UPDATE usage SET leased_microusd = -1").count(conn, {})
        )


def _ask_from_a_process(url: str, first: int, asks: int) -> None:
    async def run() -> None:
        opened = await Databases.open(url, durability="process")
        ledger = Ledger(opened.ledger, SystemClock(), defaults=Limits(max_concurrent=10_000, max_daily_microusd=CAP))
        answers = await asyncio.gather(*(ledger.lease(ask(first + n, held=30)) for n in range(asks)))
        assert len(answers) == asks
        await opened.close()

    asyncio.run(run())


async def test_a_thousand_asks_from_many_processes_are_granted_exactly_up_to_the_cap(database_url: str) -> None:  # noqa: F811
    await (await Databases.open(database_url, durability="process")).close()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_ask_from_a_process, args=(database_url, 250 * n, 250)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 90)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    opened = await Databases.open(database_url, durability="process")
    ledger = Ledger(opened.ledger, SystemClock(), defaults=DEFAULTS)
    view = await ledger.usage("default")
    held = await opened.ledger.look_up(
        lambda conn: Statement("SELECT COUNT(*), SUM(held_microusd) FROM leases").rows(conn, {})
    )
    await opened.close()
    assert view.leased_microusd == CAP // 30 * 30
    assert (int(held[0][0]), int(held[0][1])) == (CAP // 30, CAP // 30 * 30)
    assert view.concurrent == CAP // 30


@contextmanager
def _memory_ledger() -> Iterator[Engine]:
    engine = create_engine("sqlite://")

    def manual(connection: sqlite3.Connection, _entry: object) -> None:
        connection.isolation_level = None

    event.listen(engine, "connect", manual)
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    LedgerRow.metadata.create_all(engine)
    yield engine
    engine.dispose()


class LedgerMachine(RuleBasedStateMachine):
    """Any order of asks, settlements, releases, deaths and days: no cap is ever passed, and nothing is lost."""

    @initialize()
    def open(self) -> None:
        self._context = _memory_ledger()
        self.engine = self._context.__enter__()
        self.now = NOON
        self.defaults = Limits(max_concurrent=3, max_daily_microusd=1000, platform_daily_microusd=1500)
        self.number = 0
        self._act(lambda conn: budgets.set_limits(conn, "g", now=NOON, by="t", max_daily_microusd=1000))

    def teardown(self) -> None:
        if hasattr(self, "_context"):
            self._context.__exit__(None, None, None)

    def _act(self, work: Callable[[Connection], T]) -> T:
        with self.engine.begin() as conn:
            return work(conn)

    @rule(
        held=st.lists(st.integers(0, 700), min_size=1, max_size=4),
        goal=st.sampled_from(["default", "g", "x"]),
        repeat=st.booleans(),
    )
    def asks(self, held: list[int], goal: str, repeat: bool) -> None:
        batch = []
        for money in held:
            self.number += 1
            batch.append(ask(self.number, held=money, goal=goal))
        if repeat:
            batch.append(batch[0])
        self._act(lambda conn: grant_leases(conn, batch, now=self.now, defaults=self.defaults))

    @rule(back=st.integers(0, 8), share=st.integers(0, 100))
    def settles(self, back: int, share: int) -> None:
        lease_id = f"l{max(1, self.number - back)}"

        def work(conn: Connection) -> None:
            rows = Statement("SELECT held_microusd FROM leases WHERE lease_id = :l").rows(conn, {"l": lease_id})
            cost = rows[0][0] * share // 100 if rows else 0
            settlements.settle(conn, [Settlement(lease_id, cost)] * 2, now=self.now)

        self._act(work)

    @rule(back=st.integers(0, 8))
    def releases(self, back: int) -> None:
        self._act(lambda conn: settlements.release(conn, [f"l{self.number - back}"]))

    @rule(back=st.integers(0, 8))
    def run_ends(self, back: int) -> None:
        self._act(lambda conn: settlements.charge_open(conn, [f"r{self.number - back}"]))

    @rule(seconds=st.sampled_from([1, 130, 13 * 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def holders_are_gone(self) -> None:
        self._act(lambda conn: settlements.charge_expired(conn, before=self.now))

    @rule(back=st.integers(0, 8))
    def an_attempt_is_over(self, back: int) -> None:
        run_id = f"r{self.number - back}"
        self._act(lambda conn: slots.free_slots(conn, run_id, before=self.now + timedelta(seconds=1)))

    @invariant()
    def spent_and_leased_stay_within_the_cap(self) -> None:
        for goal, _, spent, leased in self._act(lambda conn: USED.rows(conn, {})):
            assert spent + leased <= (1500 if goal == "*" else 1000)

    @invariant()
    def usage_is_the_sum_of_the_leases(self) -> None:
        sums = Statement(
            "SELECT goal, day, SUM(CASE WHEN state IN ('settled', 'charged') THEN cost_microusd ELSE 0 END),"
            " SUM(CASE WHEN state = 'leased' THEN held_microusd ELSE 0 END) FROM leases GROUP BY goal, day"
        )
        expected = {(goal, day): (s, h) for goal, day, s, h in self._act(lambda conn: sums.rows(conn, {}))}
        found = {(goal, day): (s, h) for goal, day, s, h in self._act(lambda conn: USED.rows(conn, {}))}
        for day in {day for _, day in found}:
            of_day = [money for (_, d), money in expected.items() if d == day]
            expected["*", day] = (sum(s for s, _ in of_day), sum(h for _, h in of_day))
        assert {at: money for at, money in found.items() if any(money)} == {
            at: money for at, money in expected.items() if any(money)
        }

    @invariant()
    def slots_are_counted_right_and_never_too_many(self) -> None:
        held = Statement("SELECT goal, COUNT(*) FROM leases WHERE slot = :yes GROUP BY goal")
        counted = dict(self._act(lambda conn: held.rows(conn, {"yes": True})))
        in_use = dict(self._act(lambda conn: Statement("SELECT goal, in_use FROM slots").rows(conn, {})))
        assert {goal: n for goal, n in in_use.items() if n} == counted
        assert all(n <= 3 for n in in_use.values())


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
