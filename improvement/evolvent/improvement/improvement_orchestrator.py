"""The improvement orchestrator: keeps what people say of runs, and does the scheduled work of the platform.

    commands feedback, outcome ──▶ SQL ──▶ feedback_received
    finished runs ──▶ learner ──▶ signatures, automations
    clock ──▶ leader ──▶ claimed planned time ──▶ job ──▶ scheduler_ran
                    └──▶ due schedule of a user ──▶ request

Any number run side by side: commands are shared, one at a time keeps the schedule. Nobody waits for this service, so
runs go on as before while it is off. Shown in use by tests/integration/test_improvement_orchestrator.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from evolvent.events import subjects
from evolvent.events.bus import Call, Delivery
from evolvent.events.clock import Clock
from evolvent.events.dead_letters import bury
from evolvent.events.errors import InvalidMessage, InvalidSubject, NotFound, PayloadTooLarge
from evolvent.events.leadership import Leadership
from evolvent.events.messages.calls import (
    FeedbackCall,
    JobList,
    JobQuery,
)
from evolvent.events.messages.commands import Outcome
from evolvent.events.messages.platform import SchedulerRan
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import principal_of, speaks_for
from evolvent.events.service import Consume, Endpoint, Service
from evolvent.events.streams import COMMANDS, durables
from evolvent.events.subjects import LAST_RUN, Verb, parse_command
from evolvent.improvement.daily_budgets import DailyBudgets
from evolvent.improvement.feedback import Opinion, answer, opinion_of_call, opinion_of_command, received, stored
from evolvent.improvement.feedback_effects import FeedbackEffects
from evolvent.improvement.housekeeping import IdleAgents, Retention
from evolvent.improvement.insight_desk import InsightDesk
from evolvent.improvement.insights import InsightJobs
from evolvent.improvement.learning import Learner, Tools
from evolvent.improvement.learning_desk import LearningDesk
from evolvent.improvement.opinion_desk import OpinionDesk
from evolvent.improvement.planned_times import Daily, Every
from evolvent.improvement.prompt_proposals import Scrub
from evolvent.improvement.schedule import Job, Ran, Schedule
from evolvent.improvement.schedule_desk import ScheduleDesk
from evolvent.improvement.settings import ImprovementSettings
from evolvent.improvement.timetable import Timetable
from evolvent.improvement.unlearning import Unlearner
from evolvent.improvement.version_desk import VersionDesk
from evolvent.improvement.waking import Waker
from evolvent.storage.agents import AgentStore
from evolvent.storage.archive import Archive
from evolvent.storage.automations import AutomationStore
from evolvent.storage.database import Database
from evolvent.storage.improvements import ImprovementStore, StoredFeedback, StoredOutcome
from evolvent.storage.jobs import JobStore
from evolvent.storage.runs import RunStore
from evolvent.storage.schedules import ScheduleStore

SCHEDULER_KEY = "scheduler"
_RETRY_SECONDS = 1.0
_UNREADABLE = (InvalidMessage, InvalidSubject, PayloadTooLarge)


class ImprovementOrchestrator(Service):
    """Feedback and outcomes in, scheduled work out.

    Args:
        bus: the connection of the user `improvement`.
        records: the database of runs, feedback and jobs.
        definitions: the database of agents.
        settings: how it works.
        clock: time and identity.
        tools: the tools as they are now, by name; None leaves out the checks against them.
        scrub: takes secrets out of text; without it no agent is asked to improve another's prompt.
    """

    name: ClassVar[str] = "improvement"
    description: ClassVar[str] = "Keeps feedback, learns from finished runs, and does the platform's scheduled work."

    def __init__(
        self,
        bus: NatsBus,
        records: Database,
        definitions: Database,
        settings: ImprovementSettings,
        *,
        clock: Clock | None = None,
        tools: Tools = lambda: None,
        scrub: Scrub | None = None,
    ) -> None:
        super().__init__(bus, clock=clock)
        self._settings = settings
        self._opinions = OpinionDesk(records)
        self._runs = RunStore(records)
        self._improvements = ImprovementStore(records)
        automations = AutomationStore(definitions, self.clock)
        self._learner = Learner(records, automations, settings, clock=self.clock, emit=self.emit, tools=tools)
        self._learning = LearningDesk(records, automations, self._learner, clock=self.clock, emit=self.emit)
        databases = (records, definitions)
        self._effects = self._effects_of(bus, databases, scrub if settings.enabled else None)
        self._versions = VersionDesk(*databases, clock=self.clock, emit=self.emit)
        self._unlearner = Unlearner(databases, self._learner, clock=self.clock, emit=self.emit)
        self._insights = InsightJobs(
            *(bus, records, definitions),
            settings=settings.insights,
            min_support=settings.min_support,
            clock=self.clock,
            emit=self.emit,
        )
        self._findings = InsightDesk(records, settings.insights, clock=self.clock)
        job_store = JobStore(records)
        self._schedules = ScheduleStore(definitions)
        self._schedule = Schedule(
            self._jobs(job_store, Archive(records), AgentStore(definitions, self.clock)),
            job_store,
            runner=self.instance,
            may_run=lambda: self._leadership.is_leading,
            on_ran=self._tell,
            clock=self.clock,
        )
        self._timetable = Timetable(
            bus,
            self._schedules,
            self._runs,
            settings=settings,
            may_run=lambda: self._leadership.is_leading,
            clock=self.clock,
        )
        self._desk = ScheduleDesk(self._schedules, self._timetable, settings=settings, clock=self.clock)
        self._leadership = Leadership(
            bus,
            SCHEDULER_KEY,
            holder=self.instance,
            ttl_seconds=settings.lock_ttl_seconds,
            on_gained=self._begin,
            on_lost=self._halt,
            clock=self.clock,
        )

    def _effects_of(self, bus: NatsBus, databases: tuple[Database, Database], scrub: Scrub | None) -> FeedbackEffects:
        most = self._settings.proposals_per_day
        return FeedbackEffects(bus, databases, clock=self.clock, emit=self.emit, scrub=scrub, most_a_day=most)

    @property
    def is_leading(self) -> bool:
        """Say whether this instance keeps the schedule at this moment."""
        return self._leadership.is_leading

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the calls that any instance answers."""
        return {
            "jobs": self._list_jobs,
            "run_job": self._run_job,
            "feedback": self._take_feedback,
            **self._learning.endpoints(),
            **self._findings.endpoints(),
            **self._versions.endpoints(),
            "unlearn": self._unlearner.answer,
        }

    def consumers(self) -> Sequence[Consume]:
        """Return the durable consumers: what people and systems say about runs."""
        durable = next(d for d in durables() if d.name == "improvement_commands")
        return (Consume(durable, self._judge, concurrency=4, retry_seconds=_RETRY_SECONDS),)

    async def on_start(self) -> None:
        """Answer for users' schedules, and stand for the leader who keeps all of them."""
        host = await self.host("evolvent-schedules", "keeps users' schedules")
        await host.add("schedules", subjects.ALL_SCHEDULES, self._desk.answer, queue=self.name)
        await host.add("opinions", subjects.ALL_OPINIONS, self._opinions.answer, queue=self.name)
        await self._leadership.start()

    async def on_stop(self) -> None:
        """Let another keep the schedule."""
        await self._leadership.stop()
        await self._schedule.close()
        await self._timetable.close()

    def _begin(self) -> None:
        self._schedule.begin()
        self._timetable.begin()

    def _halt(self) -> None:
        self._schedule.halt()
        self._timetable.halt()

    def _jobs(self, job_store: JobStore, archive: Archive, agents: AgentStore) -> tuple[Job, ...]:
        settings = self._settings
        waker = Waker(self.bus, self._runs, clock=self.clock, again_seconds=settings.wake_again_seconds)
        retention = Retention(self._runs, archive, job_store, self._schedules, settings=settings, clock=self.clock)
        idle = IdleAgents(self.bus, agents, self._runs, settings=settings, clock=self.clock)
        budgets = DailyBudgets(waker, self._runs)
        return (
            Job(
                "wake_suspended",
                Every(settings.wake_every_seconds),
                waker.wake_due,
                "Resumes suspended runs whose time has come.",
            ),
            Job(
                "learn",
                Every(settings.learn_every_seconds),
                self._learner.learn_all,
                "Learns from finished runs, and turns what comes again into automations.",
            ),
            Job(
                "improve",
                Every(settings.improve_every_seconds),
                self._effects.turn,
                "Goes on with feedback that is not done with, and takes up what improvers propose.",
            ),
            *self._insights.jobs(),
            Job(
                "daily_budgets", Daily(0, 0, 5), budgets.turn, "Resumes what waited for a new budget; sums up the day."
            ),
            Job("retire_idle_agents", Daily(3, 15), idle.retire, "Retires spawned agents that nobody uses."),
            Job("retention", Daily(3, 45), retention.forget_old, "Deletes what is older than the settings want kept."),
        )

    async def _tell(self, ran: Ran) -> None:
        await self.emit(
            SchedulerRan(
                **self.envelope(),
                job=ran.job,
                planned_at=ran.planned_at.isoformat(),
                ok=ran.is_ok,
                detail=ran.detail,
                duration_seconds=ran.duration_seconds,
            )
        )

    async def _list_jobs(self, _call: Call) -> bytes:
        return JobList(jobs=await self._schedule.rows()).encode()

    async def _run_job(self, call: Call) -> bytes:
        return (await self._schedule.run_now(JobQuery.decode(call.data).job)).encode()

    async def _take_feedback(self, call: Call) -> bytes:
        said = FeedbackCall.decode(call.data)
        opinion = opinion_of_call(said, new_id=self.clock.new_id(), now=self.clock.now())
        run_id = await self._run_of(opinion.run, opinion.principal, opinion.user_id)
        if run_id is None:
            raise NotFound(_no_run(opinion.run, opinion.principal))
        return answer(opinion, run_id, await self._keep(opinion, run_id)).encode()

    async def _judge(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            try:
                verb, _ = parse_command(delivery.subject)
                await (self._feedback(delivery) if verb is Verb.FEEDBACK else self._outcome(delivery))
            except _UNREADABLE as error:
                await bury(self, delivery, COMMANDS, error.info())

    async def _feedback(self, delivery: Delivery) -> None:
        opinion = opinion_of_command(delivery)
        run_id = await self._run_or_retry(delivery, opinion.run, opinion.user_id)
        await self._keep(opinion, run_id)

    async def _outcome(self, delivery: Delivery) -> None:
        _, run = parse_command(delivery.subject)
        said = Outcome.decode(delivery.data)
        run_id = await self._run_or_retry(delivery, run, said.user_id)
        principal = principal_of(delivery.subject)
        await self._improvements.put_outcome(
            StoredOutcome(run_id or run, principal, said.ok, said.note, delivery.stored_at)
        )

    async def _keep(self, opinion: Opinion, run_id: str | None) -> StoredFeedback | None:
        """Store feedback, tell of it where it has a run, and do what it asks for; all may be repeated.

        Returns what came of it; None where it was stored before and nothing was left to be done.
        """
        owner = await self._runs.principal_of(run_id) if run_id is not None else None
        may_dispute = owner is not None and speaks_for(opinion.principal, owner)
        is_new = await self._improvements.put_feedback(stored(opinion, run_id), may_dispute=may_dispute)
        if run_id is not None:
            await self.emit(received(opinion, run_id, source=self.instance, now=self.clock.now()))
        (kept,) = await self._improvements.feedback(feedback_id=opinion.feedback_id)
        return await self._effects.act(kept) if is_new or kept.status == "received" else None

    async def _run_or_retry(self, delivery: Delivery, run: str, user_id: str | None) -> str | None:
        """Return the run that is meant, or None when waiting for it has been long enough.

        Raises:
            NotFound: a run that was named is not recorded; it may be soon, so the delivery is to be given back.
        """
        principal = principal_of(delivery.subject)
        run_id = await self._run_of(run, principal, user_id)
        if run_id is not None:
            return run_id
        if run != LAST_RUN and delivery.delivered < self._settings.unknown_run_tries:
            raise NotFound(_no_run(run, principal))
        self.log.warning("no such run", run=run, principal=principal, subject=delivery.subject)
        return None

    async def _run_of(self, run: str, principal: str, user_id: str | None) -> str | None:
        if run == LAST_RUN:
            return await self._runs.last_run_of(principal, user_id)
        return run if await self._runs.exists(run) is not None else None


def _no_run(run: str, principal: str) -> str:
    if run == LAST_RUN:
        return f"{principal!r} has no run yet; name one, or ask something first. Nothing was stored."
    return f"No run {run!r} is recorded; `evolvent runs list` shows the last ones. Nothing was stored."
