"""Keeps users' schedules: publishes the request of each planned time once, whoever dies in between.

    idle ──begin──▶ keeping ──halt──▶ idle
    due ──one commit: next time moves on, requests kept──▶ planned ──published──▶ marked

The commit goes only through from where the schedule was read, so of several keepers one plans each time. What dies
after it leaves requests behind, and the next keeper publishes them. A request may so be published twice; its run_id
comes from the schedule and the planned time, and one run_id is one run.
Shown in use by tests/integration/test_user_schedules.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from datetime import datetime

import structlog

from evolvent.events import subjects
from evolvent.events.clock import Clock
from evolvent.events.errors import EvolventError
from evolvent.events.fault_points import reach
from evolvent.events.messages.schedules import AddSchedule
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import signed
from evolvent.improvement.settings import ImprovementSettings
from evolvent.improvement.timing import Grace, Timing, next_after, timing_of, to_run
from evolvent.storage.runs import RunStore
from evolvent.storage.schedules import PlannedRequest, ScheduleStore, StoredSchedule

_log = structlog.get_logger(__name__)
_BATCH = 500


def timing_for(asked: AddSchedule, start: datetime) -> Timing:
    """Return the timing of a schedule that began at a moment.

    Raises:
        InvalidTiming: what is wrong with it.
    """
    return timing_of(cron=asked.cron, every_seconds=asked.every_seconds, timezone=asked.timezone, start=start)


def planned_request(schedule: StoredSchedule, planned_at: datetime) -> PlannedRequest:
    """Return the request of one planned time; always the same for the same time."""
    asked = schedule.asked
    run_id = str(uuid.uuid5(subjects.RUN_NAMESPACE, f"schedule:{schedule.schedule_id}:{planned_at.isoformat()}"))
    told = {"schedule": {"name": asked.name, "planned_at": planned_at.isoformat()}}
    request = asked.request.model_copy(update={"run_id": run_id, "context": {**told, **asked.request.context}})
    subject = signed(subjects.request(asked.priority, asked.goal), schedule.principal)
    return PlannedRequest(schedule.schedule_id, planned_at, run_id, subject, request.encode().decode())


class Timetable:
    """Sleeps until a schedule is due, plans, publishes.

    Args:
        bus: where requests go.
        store: the schedules.
        runs: which runs began already.
        settings: how late is late, and how much at once.
        may_run: whether this process keeps the schedules at this moment.
        clock: time.
    """

    def __init__(
        self,
        bus: NatsBus,
        store: ScheduleStore,
        runs: RunStore,
        *,
        settings: ImprovementSettings,
        may_run: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._store = store
        self._runs = runs
        self._settings = settings
        self._grace = Grace(settings.schedule_grace_seconds, settings.schedule_most_at_once)
        self._may_run = may_run
        self._clock = clock
        self._changed = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Keep the schedules from now on."""
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep())

    def halt(self) -> None:
        """Keep them no more, at once."""
        if self._keeping is not None:
            self._keeping.cancel()
            self._ending.add(self._keeping)
            self._keeping.add_done_callback(self._ending.discard)
            self._keeping = None

    async def close(self) -> None:
        """Halt, and wait until what was under way has ended."""
        self.halt()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def wake(self) -> None:
        """Look again at once: a schedule was changed."""
        self._changed.set()

    async def turn(self) -> None:
        """Plan every time that has come, and publish what is planned."""
        now = self._clock.now()
        for schedule in await self._store.due(now):
            if not self._may_run():
                return
            await self._plan(schedule, now)
        await self.publish()

    async def publish(self) -> None:
        """Publish the requests that are planned and not on the bus yet."""
        async with self._publishing:
            for request in await self._store.unpublished(limit=_BATCH):
                await self._publish(request)

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self.turn()
                seconds = await self._until_next()
            except EvolventError as error:
                _log.warning("schedules wait", error=str(error))
                seconds = self._settings.schedule_poll_seconds
            except Exception:  # noqa: BLE001  # one bad turn must not end the keeping
                _log.exception("keeping the schedules failed; it is tried again")
                seconds = self._settings.schedule_poll_seconds
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)

    async def _until_next(self) -> float:
        poll = self._settings.schedule_poll_seconds
        next_at = await self._store.next_at()
        if next_at is None or not self._may_run():
            return poll
        return min(poll, max(0.0, (next_at - self._clock.now()).total_seconds()))

    async def _plan(self, schedule: StoredSchedule, now: datetime) -> None:
        timing = timing_for(schedule.asked, schedule.created_at)
        times = to_run(timing, schedule.next_at, now, missed=schedule.asked.missed, grace=self._grace)
        requests = [planned_request(schedule, moment) for moment in times]
        is_ours = await self._store.plan(schedule, requests, following=next_after(timing, now), now=now)
        reach("schedule.planned")
        if is_ours:
            _log.info("planned", schedule=schedule.asked.name, of=schedule.principal, requests=len(requests))

    async def _publish(self, request: PlannedRequest) -> None:
        # Where a keeper died long ago before it could mark this one, the run may have ended and left the journal.
        if await self._runs.exists(request.run_id) is None:
            await self._bus.append(request.subject, request.body.encode())
            reach("schedule.published")
        await self._store.published(request, now=self._clock.now())
