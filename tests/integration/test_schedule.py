from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.servers import nats_server

from evolvent.events.clock import SystemClock
from evolvent.events.errors import NotFound
from evolvent.events.leadership import Leadership
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import LOCKS_BUCKET
from evolvent.improvement.planned_times import Daily, Every
from evolvent.improvement.schedule import Job, Ran, Schedule
from evolvent.storage.database import Databases
from evolvent.storage.jobs import JobStore

TTL = 1.0
Work = Callable[[datetime], Awaitable[str]]


class SetClock(SystemClock):
    """A wall clock that a test sets."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


class Runs:
    """Every run of every process, and a way to wait for the n-th."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Ran]] = []
        self._more = asyncio.Condition()

    def of(self, runner: str) -> Callable[[Ran], Awaitable[None]]:
        async def add(ran: Ran) -> None:
            async with self._more:
                self.all.append((runner, ran))
                self._more.notify_all()

        return add

    def by(self, runner: str) -> list[Ran]:
        return [ran for who, ran in self.all if who == runner]

    async def until(self, enough: Callable[[], bool]) -> None:
        async with self._more:
            await asyncio.wait_for(self._more.wait_for(enough), 20)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    databases = await Databases.open(tmp_path / "data", durability="process")
    yield JobStore(databases.records)
    await databases.close()


async def done(_planned_at: datetime) -> str:
    return "done"


def schedule(
    store: JobStore,
    *jobs: Job,
    runs: Runs,
    runner: str = "a",
    may_run: Callable[[], bool] = lambda: True,
    clock: SystemClock | None = None,
) -> Schedule:
    return Schedule(jobs, store, runner=runner, may_run=may_run, on_ran=runs.of(runner), clock=clock or SystemClock())


def ticker(work: Work = done) -> Job:
    return Job("tick", Every(1), work, "Ticks.")


@asynccontextmanager
async def process(url: str, store: JobStore, runs: Runs, name: str) -> AsyncIterator[tuple[Schedule, Leadership]]:
    """What an improver is made of, on a connection of its own."""
    bus = await NatsBus.connect(url, name=name)
    await bus.admin.ensure_bucket(LOCKS_BUCKET, ttl_seconds=TTL)
    own = schedule(store, ticker(), runs=runs, runner=name, may_run=lambda: lease.is_leading)
    lease = Leadership(bus, "scheduler", holder=name, ttl_seconds=TTL, on_gained=own.begin, on_lost=own.halt)
    await lease.start()
    try:
        yield own, lease
    finally:
        await lease.stop()
        await own.close()
        await bus.close()


def planned_once(runs: Runs) -> bool:
    times = [ran.planned_at for _, ran in runs.all]
    return len(times) == len(set(times))


async def test_of_two_processes_one_ticks_and_the_other_follows_when_it_stops(tmp_path: Path, store: JobStore) -> None:
    runs = Runs()
    async with nats_server(tmp_path) as url:
        stacks = {name: AsyncExitStack() for name in "ab"}
        for name, stack in stacks.items():
            await stack.enter_async_context(process(url, store, runs, name))
        await runs.until(lambda: len(runs.all) >= 3)
        first = runs.all[0][0]
        assert {who for who, _ in runs.all} == {first}
        await stacks.pop(first).aclose()
        ((second, rest),) = stacks.items()
        await runs.until(lambda: len(runs.by(second)) >= 2)
        await rest.aclose()
    assert planned_once(runs)


async def test_the_follower_goes_on_where_the_leader_was_stopped(tmp_path: Path, store: JobStore) -> None:
    runs = Runs()
    async with nats_server(tmp_path) as url, process(url, store, runs, "a") as (_, first):
        await runs.until(lambda: len(runs.by("a")) >= 2)
        async with process(url, store, runs, "b"):
            await first.stop()
            count = len(runs.by("a"))
            await runs.until(lambda: len(runs.by("b")) >= 2)
            assert len(runs.by("a")) == count
    assert planned_once(runs)
    assert all(ran.is_ok for _, ran in runs.all)


async def test_two_that_both_believe_to_lead_run_each_planned_time_once(store: JobStore) -> None:
    """Worse than any lost lease: both tick for all their lives."""
    runs = Runs()
    both = [schedule(store, ticker(), runs=runs, runner=name) for name in "ab"]
    for one in both:
        one.begin()
    await runs.until(lambda: len(runs.all) >= 4)
    for one in both:
        await one.close()
    assert planned_once(runs)
    history = await store.history("tick")
    assert sorted(run.planned_at for run in history) == sorted(ran.planned_at for _, ran in runs.all)
    assert all(run.planned_at.microsecond == 0 for run in history)


async def test_what_was_missed_runs_once_for_the_last_missed_time(store: JobStore) -> None:
    runs = Runs()
    nightly = Job("nightly", Daily(3, 15), done, "Runs at night.")
    clock = SetClock(datetime(2026, 11, 16, 3, 15, 1, tzinfo=UTC))
    for later in (timedelta(), timedelta(hours=20), timedelta(days=5)):
        clock.time += later
        before = len(runs.all)
        one = schedule(store, nightly, ticker(), runs=runs, clock=clock)
        one.begin()
        # Claims are committed in the order in which they were asked for, so the ticker's run comes after nightly's.
        await runs.until(lambda: any(ran.job == "tick" for _, ran in runs.all[before:]))  # noqa: B023
        await one.close()
    assert [run.planned_at.isoformat() for run in await store.history("nightly")] == [
        "2026-11-21T03:15:00+00:00",
        "2026-11-16T03:15:00+00:00",
    ]
    assert [ran.planned_at.day for _, ran in runs.all if ran.job == "nightly"] == [16, 21]


async def test_a_process_that_may_not_run_claims_nothing(store: JobStore) -> None:
    runs, asked = Runs(), asyncio.Event()

    def may_run() -> bool:
        asked.set()
        return False

    one = schedule(store, ticker(), runs=runs, may_run=may_run)
    one.begin()
    await asyncio.wait_for(asked.wait(), 5)
    await one.close()
    assert await store.last("tick") is None


async def test_losing_the_lease_interrupts_the_job_and_says_so(store: JobStore) -> None:
    runs, working = Runs(), asyncio.Event()

    async def endless(_planned_at: datetime) -> str:
        working.set()
        await asyncio.Event().wait()
        return "never"

    one = schedule(store, ticker(endless), runs=runs)
    one.begin()
    await asyncio.wait_for(working.wait(), 5)
    one.halt()
    await one.close()
    (ran,) = runs.by("a")
    assert not ran.is_ok
    assert ran.detail.startswith("interrupted")
    last = await store.last("tick")
    assert last is not None
    assert last.ok is False


async def test_a_job_that_fails_is_told_of_and_comes_again(store: JobStore) -> None:
    runs = Runs()

    async def broken(_planned_at: datetime) -> str:
        raise ValueError("bad day")

    one = schedule(store, ticker(broken), runs=runs)
    one.begin()
    await runs.until(lambda: len(runs.all) >= 2)
    await one.close()
    assert {(ran.is_ok, ran.detail) for _, ran in runs.all} == {(False, "ValueError: bad day")}


async def test_a_job_runs_on_demand_whoever_leads_and_unknown_ones_name_the_others(store: JobStore) -> None:
    runs = Runs()
    jobs = ticker(), Job("nightly", Daily(3, 15), done, "Runs at night.")
    one = schedule(store, *jobs, runs=runs, may_run=lambda: False)
    row = await one.run_now("nightly")
    assert (row.last_ok, row.last_detail) == (True, "done")
    assert [ran.job for _, ran in runs.all] == ["nightly"]
    with pytest.raises(NotFound, match="nightly, tick"):
        await one.run_now("nope")
    listed = {row.job: row for row in await one.rows()}
    assert listed["nightly"].schedule == "daily at 03:15:00 UTC"
    assert listed["tick"].last_at is None
