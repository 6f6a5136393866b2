"""One run, driven by one owner: an actor with a mailbox, a state, and the sequence that fences it.

    decide ─▶ activities (model turns, tool calls) ─▶ mailbox ─▶ one event per tick ─▶ append ─▶ reduce ─▶ decide …

Invariants: nothing is decided that is not stored; whoever loses the fence stops; a claim is stored before its call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from evolvent.events.errors import EvolventError, FenceLost, PayloadTooLarge
from evolvent.events.fault_points import reach
from evolvent.events.language.decisions import decide
from evolvent.events.language.places import Going, Order, by_estimates
from evolvent.events.language.reducer import reduce
from evolvent.events.language.state import Refusal, RunState, RunStatus
from evolvent.events.language.steps import Activity, CallTool, Decision, Reconcile, TakeTurn
from evolvent.events.language.ticks import Stamp, Tick, compose, give_up, observe, shortened, split
from evolvent.events.messages.runs import (
    ApprovalGiven,
    CancelRequested,
    Final,
    LeaseInfo,
    RunEvent,
    ToolOutcome,
    WorkflowSuspended,
)
from evolvent.orchestrator.call_maker import CallMaker
from evolvent.orchestrator.run_parts import RunParts
from evolvent.orchestrator.turns import TurnTaker

_log = structlog.get_logger("run")


class Superseded(EvolventError):
    """Another orchestrator has taken this run over; it goes on there."""

    code = "run.superseded"


class RunActor:
    """Drives one run until it ends, waits, or is taken over."""

    def __init__(
        self,
        state: RunState,
        parts: RunParts,
        turns: TurnTaker,
        *,
        lease: LeaseInfo | None = None,
        order: Order = by_estimates,
    ) -> None:
        self.state = state
        self._parts = parts
        self._turns = turns
        self._calls = CallMaker(parts, turns)
        self._first_lease = lease
        self._clocks: dict[str, float] = {}
        self._order = order
        self._tick = Tick()
        self._wake = asyncio.Event()
        self._running: dict[Activity, asyncio.Task[None]] = {}
        self._nudged = False
        self._broken: Exception | None = None
        self._catalog = parts.catalog()

    def nudge(self) -> None:
        """Tell the actor that somebody else has written to its journal."""
        self._nudged = True
        self._wake.set()

    async def drive(self, *, refusal: Refusal | None = None) -> RunState:
        """Drive the run until it is final or suspended, and return its last state.

        Raises:
            Superseded: another owner has it now.
            BusUnavailable: the journal cannot be reached; the run goes on at its next delivery.
        """
        self._tick.refusal = refusal
        timer = self._arm_deadline()
        try:
            while True:
                if self._broken is not None:
                    raise self._broken
                if self._nudged:
                    await self._catch_up()
                if self.state.cancel is not None or self._tick.is_late:
                    await self._quiesce()
                if await self._say_tick():
                    if self.state.status.is_final or self.state.status is RunStatus.SUSPENDED:
                        return self.state
                    continue
                await self._wake.wait()
                self._wake.clear()
        finally:
            timer.cancel()
            await self._stop_activities()
            self._turns.settle(self._tick.turns)  # made, and told by nobody's event

    async def _say_tick(self) -> bool:
        """Append the event of what was observed, if there is anything to say."""
        if self._tick == Tick() and self._may_carry_on(decision := decide(self.state, self._catalog, self._going())):
            self._carry_on(decision.activities)
            return False
        tick, self._tick = self._tick, Tick()
        event = compose(self.state, tick, self._catalog, self._stamp(tick), self._going())
        if event is None:
            self._merge(tick)
            self._carry_on(decide(observe(self.state, tick), self._catalog, self._going()).activities)
            return False
        if isinstance(event, Final | WorkflowSuspended) and self._first_lease is not None:
            await self._turns.give_back(self._first_lease)  # nothing was sent, and the end charges what is open
            self._first_lease = None
        reach("run.before_append")
        try:
            await self._append_or_shorten(event, tick)
        except FenceLost:
            self._merge(tick)
            await self._catch_up(must_find=True)
            return True
        reach("run.appended")
        if tick.refusal is not None and tick.refusal.goes_on_with is None:
            self._tick.refusal = self._tick.refusal or tick.refusal  # it ends the run once the others have ended
        return True

    def _going(self) -> Going:
        return Going(frozenset(activity.task_id for activity in self._running), self._order)

    async def _append_or_shorten(self, event: RunEvent, tick: Tick) -> None:
        """Append; of what is too large for one event, say one part now and the rest next, or end the run by name."""
        try:
            await self.append(event)
            return
        except PayloadTooLarge as error:
            first, rest = split(tick)
            if first is None:
                _log.warning("event too large", run_id=self.state.run_id, type=event.type, error=str(error))
                await self._append_in_short(event, tick, error)
                return
        part = compose(self.state, first, self._catalog, self._stamp(first), self._going())
        assert part is not None
        await self._append_or_shorten(part, first)
        self._merge(rest)

    async def _append_in_short(self, event: RunEvent, tick: Tick, error: PayloadTooLarge) -> None:
        """Append an event that one part alone makes too large: without its contents, and if need be as the end."""
        for shorter in shortened(event):
            try:
                await self.append(shorter)
                return
            except PayloadTooLarge:
                continue
        await self.append(give_up(self.state, tick, error.info(), self._stamp(tick)))

    async def append(self, event: RunEvent) -> None:
        """Store an event and take it into the state."""
        sequence = await self._parts.journal.append(event)
        self._turns.settle(event.turns)
        self.state = reduce(self.state, event, sequence)  # type: ignore[arg-type]  # every RunEvent is one of AnyRunEvent
        if isinstance(event, WorkflowSuspended):
            _log.info("suspended", run_id=self.state.run_id, reason=event.reason, detail=event.detail)

    async def _catch_up(self, *, must_find: bool = False) -> None:
        """Read what others have appended: inputs are applied, a new owner ends us."""
        self._nudged = False
        entries = await self._parts.journal.read(self.state.run_id, after=self.state.last_seq)
        for entry in entries:
            if not isinstance(entry.event, CancelRequested | ApprovalGiven):
                raise Superseded(f"Run {self.state.run_id} was taken over: {entry.event.type} by {entry.event.source}.")
            self.state = reduce(self.state, entry.event, entry.sequence)
        if must_find and not entries:
            raise Superseded(
                f"Run {self.state.run_id} has a journal that we do not see; it goes on at its next delivery."
            )

    @staticmethod
    def _may_carry_on(decision: Decision) -> bool:
        ends = decision.finish or decision.suspend or decision.fallback
        return ends is None and not decision.claims

    def _carry_on(self, wanted: Sequence[Activity]) -> None:
        """Start the activities that are wanted and end those that are not, but for claimed calls: they must be told."""
        for activity in [a for a in self._running if a not in wanted and not _is_claimed(a)]:
            self._running.pop(activity).cancel()
        for activity in wanted:
            if activity not in self._running:
                task = asyncio.get_running_loop().create_task(self._do(activity))
                self._running[activity] = task

    async def _do(self, activity: Activity) -> None:
        try:
            match activity:
                case TakeTurn():
                    await self._take_turn(activity)
                case CallTool():
                    await self._call_tool(activity)
                case Reconcile():
                    await self._reconcile(activity)
        except Exception as error:  # noqa: BLE001  # ends the run's stay here, instead of being tried without end
            name = type(activity).__name__
            _log.warning("activity failed", run_id=self.state.run_id, activity=name, error=str(error))
            self._broken = error
        self._running.pop(activity, None)
        self._wake.set()

    async def _take_turn(self, step: TakeTurn) -> None:
        if step.delay_seconds:
            await asyncio.sleep(step.delay_seconds)
        lease: LeaseInfo | Refusal | None = None
        if self._first_lease is not None and (step.task_id, step.turn) == (next(iter(self.state.tasks)), 0):
            lease, self._first_lease = self._first_lease, None
        if lease is None:
            began = self._parts.clock.monotonic()
            lease = await self._turns.lease(self.state, step)
            if step.task_id in self._clocks:  # who stands in line for money does not use up the task's time
                self._clocks[step.task_id] += self._parts.clock.monotonic() - began
        if isinstance(lease, Refusal):
            self._tick.refusal = lease
            return
        reach("turn.leased")
        left = self._time_left(step.task_id)
        record = await self._turns.take(self.state, step, lease, limit_seconds=left)
        if record.reply is None:
            self._clocks.pop(step.task_id, None)
        self._tick.turns.append(record)

    def _time_left(self, task_id: str) -> float:
        """Return how many seconds a task has left; its clock starts with its first activity, and anew with each try."""
        now = self._parts.clock.monotonic()
        task = self.state.tasks[task_id].task
        return self._clocks.setdefault(task_id, now) + task.timeout_seconds - now

    async def _call_tool(self, step: CallTool) -> None:
        if step.delay_seconds:
            await asyncio.sleep(step.delay_seconds)
        record = await self._calls.call(self.state, step, limit_seconds=max(0.001, self._time_left(step.task_id)))
        if record.outcome is not ToolOutcome.OK:
            self._clocks.pop(step.task_id, None)
        reach("tool.called")
        self._tick.tools.append(record)

    async def _reconcile(self, step: Reconcile) -> None:
        record = await self._calls.reconcile(self.state, step)
        if record is None:
            self._tick.reconciled.append((step.task_id, step.call_id, False))
        elif record.outcome is ToolOutcome.UNKNOWN:
            self._tick.reconciled.append((step.task_id, step.call_id, None))
        else:
            self._tick.tools.append(record)

    def _stamp(self, tick: Tick) -> Stamp:
        now = self._parts.clock.now()
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=5, microsecond=0)
        waits_for_day = tick.refusal is not None and tick.refusal.policy == "queue"
        return Stamp(self._parts.clock.new_id(), self._parts.owner, now, midnight if waits_for_day else None)

    def _merge(self, tick: Tick) -> None:
        self._tick.turns[:0] = tick.turns
        self._tick.tools[:0] = tick.tools
        self._tick.reconciled[:0] = tick.reconciled
        self._tick.refusal = self._tick.refusal or tick.refusal
        self._tick.is_late = self._tick.is_late or tick.is_late

    def _arm_deadline(self) -> asyncio.TimerHandle:
        started = self.state.started
        assert started is not None

        def late() -> None:
            self._tick.is_late = True
            self._wake.set()

        left = (started.deadline_at - self._parts.clock.now()).total_seconds() + self.state.paused_seconds
        return asyncio.get_running_loop().call_later(max(0.0, left), late)

    async def _quiesce(self) -> None:
        """Stop what may be stopped; let claimed calls end, for their outcome must be known."""
        claimed = [t for a, t in self._running.items() if _is_claimed(a)]
        await self._stop_activities(keep=claimed)
        if claimed:
            await asyncio.gather(*claimed, return_exceptions=True)

    async def _stop_activities(self, *, keep: list[asyncio.Task[None]] | None = None) -> None:
        ending = [task for task in self._running.values() if task not in (keep or [])]
        for task in ending:
            task.cancel()
        self._running = {a: t for a, t in self._running.items() if t not in ending}
        await asyncio.gather(*ending, return_exceptions=True)


def _is_claimed(activity: Activity) -> bool:
    return isinstance(activity, CallTool) and activity.effect.needs_claim
