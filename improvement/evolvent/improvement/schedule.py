"""The only door to APScheduler: wakes at planned times, and sees to it that each is run once, by one process.

    idle ──begin──▶ ticking ──halt──▶ idle ──close──▶ closed

APScheduler only wakes; what is due is worked out from the clock at each tick, so one tick after a long sleep runs
the last missed time and no other (missed runs coalesce). Whether a tick may run anything is asked at that moment
(`may_run`: the leader's lease); that a planned time never runs twice is the word of the database, where it is
claimed before. A runner that dies in mid-job leaves its time claimed: the next time does the work, so jobs go on
from where they stopped. Shown in use by tests/integration/test_schedule.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from evolvent.events.clock import Clock
from evolvent.events.errors import EvolventError, NotFound
from evolvent.events.messages.calls import JobRow
from evolvent.improvement.planned_times import EPOCH, Every, Trigger, last_planned, next_planned
from evolvent.storage.jobs import JobStore

_log = structlog.get_logger(__name__)
_SWEEP_SECONDS = 30
_INTERRUPTED = "interrupted: another process is in charge now, or this one stops"


@dataclass(frozen=True, slots=True)
class Job:
    """A job: `work` gets its planned time and says in a few words what it did."""

    name: str
    trigger: Trigger
    work: Callable[[datetime], Awaitable[str]]
    description: str


@dataclass(frozen=True, slots=True)
class Ran:
    """How one planned time of a job went."""

    job: str
    planned_at: datetime
    is_ok: bool
    detail: str
    duration_seconds: float


class Schedule:
    """A table of jobs that is worked off while `may_run` says so.

    Args:
        jobs: what to run and when.
        store: where planned times are claimed.
        runner: who claims.
        may_run: whether this process is in charge at this moment.
        on_ran: told of each run after its end.
        clock: time.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        store: JobStore,
        *,
        runner: str,
        may_run: Callable[[], bool],
        on_ran: Callable[[Ran], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._store = store
        self._runner = runner
        self._may_run = may_run
        self._on_ran = on_ran
        self._clock = clock
        self._scheduler: AsyncIOScheduler | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._turns = {name: asyncio.Lock() for name in self._jobs}
        self._settled: dict[str, datetime] = {}

    def begin(self) -> None:
        """Tick from now on; what was missed runs at once, once."""
        if self._scheduler is not None:
            return
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        options = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        for job in self._jobs.values():
            self._scheduler.add_job(self._wake, _wakes(job.trigger), args=[job], id=job.name, **options)
        # A tick whose claim failed, or that met the job still at work, would else be missed until the next time.
        self._scheduler.add_job(self._sweep, _wakes(Every(_SWEEP_SECONDS)), **options)
        self._scheduler.start()
        for job in self._jobs.values():
            self._start(job)

    def halt(self) -> None:
        """Tick no more, at once; what runs is interrupted."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None
        for task in self._running.values():
            task.cancel()

    async def close(self) -> None:
        """Halt, and wait until what ran has said so."""
        self.halt()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def run_now(self, name: str) -> JobRow:
        """Run a job now, once, whoever is in charge, and return how it went.

        Raises:
            NotFound: there is no such job; the message names those that there are.
        """
        job = self._jobs.get(name)
        if job is None:
            raise NotFound(f"There is no job {name[:80]!r}; the jobs are {', '.join(sorted(self._jobs))}.")
        async with self._turns[name]:
            planned_at = self._clock.now()
            if await self._claim(job, planned_at):
                await self._run(job, planned_at)
        return await self._row(job)

    async def rows(self) -> tuple[JobRow, ...]:
        """Return every job, when it is due, and how it went last, whichever process ran it."""
        return tuple([await self._row(job) for job in self._jobs.values()])

    async def _wake(self, job: Job) -> None:
        self._start(job)

    async def _sweep(self) -> None:
        for job in self._jobs.values():
            self._start(job)

    def _start(self, job: Job) -> None:
        if job.name in self._running:
            return
        task = asyncio.get_running_loop().create_task(self._tick(job))
        self._running[job.name] = task
        task.add_done_callback(lambda ended: self._ended(job, ended))

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        self._running.pop(job.name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("tick failed", job=job.name, error=str(error) or type(error).__name__)

    async def _tick(self, job: Job) -> None:
        planned_at = last_planned(job.trigger, self._clock.now())
        if self._settled.get(job.name) == planned_at:
            return
        async with self._turns[job.name]:
            if not self._may_run():
                return
            is_ours = await self._claim(job, planned_at)
            self._settled[job.name] = planned_at
            if is_ours:
                await self._run(job, planned_at)

    async def _claim(self, job: Job, planned_at: datetime) -> bool:
        return await self._store.claim(job.name, planned_at, by=self._runner, now=self._clock.now())

    async def _run(self, job: Job, planned_at: datetime) -> None:
        began = self._clock.monotonic()
        ok, detail = False, _INTERRUPTED
        try:
            detail = await job.work(planned_at)
            ok = True
        except Exception as error:  # noqa: BLE001  # one bad job must not end the schedule; its failure is told
            detail = str(error) if isinstance(error, EvolventError) else f"{type(error).__name__}: {error}"
        finally:
            await self._tell(Ran(job.name, planned_at, ok, detail[:500], self._clock.monotonic() - began))

    async def _tell(self, ran: Ran) -> None:
        try:
            await self._store.finish(ran.job, ran.planned_at, now=self._clock.now(), ok=ran.is_ok, detail=ran.detail)
            await self._on_ran(ran)
        except EvolventError as error:
            _log.warning("could not tell how a job went", job=ran.job, ok=ran.is_ok, error=str(error))

    async def _row(self, job: Job) -> JobRow:
        last = await self._store.last(job.name)
        return JobRow(
            job=job.name,
            schedule=str(job.trigger),
            next_at=next_planned(job.trigger, self._clock.now()).isoformat(),
            last_at=last.planned_at.isoformat() if last else None,
            last_ok=last.ok if last else None,
            last_detail=last.detail if last else "",
            description=job.description,
        )


def _wakes(trigger: Trigger) -> IntervalTrigger | CronTrigger:
    if isinstance(trigger, Every):
        return IntervalTrigger(seconds=trigger.seconds, start_date=EPOCH, timezone=UTC)
    return CronTrigger(
        day_of_week=trigger.weekday, hour=trigger.hour, minute=trigger.minute, second=trigger.second, timezone=UTC
    )
