"""From a delivered request to a driven run: who it is, whether it has begun, and the first event.

The run_id of a request that brought none is a function of its place in the stream, so every delivery finds the
same journal.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from evolvent.events import subjects
from evolvent.events.bus import Delivery
from evolvent.events.errors import Category, ErrorInfo, EvolventError, FenceLost, PayloadTooLarge
from evolvent.events.fault_points import reach
from evolvent.events.language.decisions import decide
from evolvent.events.language.places import Going, Order, by_estimates
from evolvent.events.language.reducer import fold, reduce
from evolvent.events.language.state import Refusal, RunState, RunStatus, dump_state, load_state
from evolvent.events.language.steps import TakeTurn
from evolvent.events.messages.requests import Request, read_request, request_hash
from evolvent.events.messages.runs import LeaseInfo, WorkflowResumed
from evolvent.events.principal import ANONYMOUS, principal_of, speaks_for
from evolvent.events.streams import REQUESTS, RUNS
from evolvent.orchestrator.beginnings import first_event
from evolvent.orchestrator.routing.router import Route, Router
from evolvent.orchestrator.run_actor import RunActor
from evolvent.orchestrator.run_parts import RunParts
from evolvent.orchestrator.takeover import Meeting, Met, is_same, meet
from evolvent.orchestrator.turns import TurnTaker
from evolvent.orchestrator.workflows.urgency import Urgency
from evolvent.storage.runs import RunStore

_LATER_SECONDS = 5.0
_log = structlog.get_logger("run")
_NOT_BEGUN_AGAIN = frozenset(s.value for s in RunStatus if s.is_final or s is RunStatus.SUSPENDED)


class Refused(EvolventError):
    """The request can never be served."""

    code = "request.refused"

    def __init__(self, info: ErrorInfo, run_id: str = "") -> None:
        super().__init__(info.message)
        self._info = info
        self.run_id = run_id

    def info(self) -> ErrorInfo:
        """Return the reason."""
        return self._info


class RunDesk:
    """Serves deliveries of requests."""

    def __init__(self, parts: RunParts, router: Router, runs: RunStore, urgency: Urgency) -> None:
        self._parts = parts
        self._urgency = urgency
        self._router = router
        self._runs = runs
        self._turns = TurnTaker(parts)
        self._actors: dict[str, RunActor] = {}
        self._created_at = ""

    async def learn_namespace(self) -> None:
        """Read when the REQUESTS stream was created: run_ids are made from it."""
        self._created_at = (await self._parts.bus.admin.stream_state(REQUESTS)).created_at

    async def forget_namespace(self) -> None:
        """Learn it anew when it is next needed: another server may hold another stream, and not yet."""
        self._created_at = ""

    def nudge(self, run_id: str) -> None:
        """Tell a run that is driven here to look at its journal."""
        actor = self._actors.get(run_id)
        if actor is not None:
            actor.nudge()

    async def has_journal(self, delivery: Delivery) -> bool:
        """Say whether a delivery's run got as far as its first event."""
        try:
            given = read_request(delivery.data).run_id
        except EvolventError:
            return False
        subject = subjects.run_events(given or await self._derived_id(delivery.sequence))
        return await self._parts.bus.last_of(RUNS, subject) is not None

    async def serve(self, delivery: Delivery) -> float | None:
        """Serve a delivery until its run ends or waits.

        Returns:
            None when it is done and may be acked; else after how many seconds it should come again.

        Raises:
            Refused: it can never be served, and should be buried.
            Superseded, BusUnavailable: it goes on elsewhere, or at its next delivery.
        """
        try:
            request = read_request(delivery.data)
            subjects.parse_request(delivery.subject)
        except EvolventError as error:
            raise Refused(error.info()) from error
        principal = principal_of(delivery.subject)
        met = Met(request, delivery.sequence, request_hash(delivery.data), delivery.delivered, principal)
        run_id = request.run_id or await self._derived_id(delivery.sequence)
        driven = self._actors.get(run_id)
        if driven is not None and driven.state.request_seq == met.sequence:
            return _LATER_SECONDS
        state = await self._known(run_id, met)
        if state is None:
            started = await self._begin(run_id, met, delivery)
            if started:
                return None
            state = await self._fold(run_id)
        return await self._meet(state, met, delivery)

    async def _derived_id(self, sequence: int) -> str:
        if not self._created_at:
            await self.learn_namespace()
        return subjects.run_id_of(self._created_at, sequence)

    async def _known(self, run_id: str, met: Met) -> RunState | None:
        """Return the run's state where it may have begun already; None where its journal must be empty."""
        is_fresh = met.delivered == 1 and met.request.resume is None
        if is_fresh and (met.request.run_id is None or await self._runs.exists(run_id) is None):
            return None  # were its journal not empty, the fence of the first append would say so
        state = await self._fold(run_id)
        if state.started is not None or state.status.is_final or met.request.resume is not None:
            return state
        recorded = await self._runs.exists(run_id)
        begun = state if state.last_seq else None
        if recorded is None or not recorded[1]:
            return begun
        status, recorded_hash = recorded
        principal = await self._runs.principal_of(run_id) or ANONYMOUS
        if not is_same(met, principal=principal, content_hash=recorded_hash):
            raise Refused(_conflict(run_id), run_id)
        return replace(state, status=RunStatus(status)) if status in _NOT_BEGUN_AGAIN else begun

    async def _fold(self, run_id: str) -> RunState:
        entries = await self._parts.journal.read(run_id)
        return fold(run_id, ((entry.sequence, entry.event) for entry in entries))

    async def _meet(self, state: RunState, met: Met, delivery: Delivery) -> float | None:
        meeting = meet(state, met)
        if met.sequence != state.request_seq and meeting in (Meeting.LATER, Meeting.TAKE_OVER):
            meeting = Meeting.NOTHING_TO_DO if await self._is_still_asked(state) else meeting
        match meeting:
            case Meeting.NOTHING_TO_DO:
                return None
            case Meeting.CONFLICT:
                raise Refused(_conflict(state.run_id), state.run_id)
            case Meeting.LATER:
                return _LATER_SECONDS
            case Meeting.BEGIN:
                return None if await self._begin(state.run_id, met, delivery, after=state) else _LATER_SECONDS
            case Meeting.RESTORE:
                return await self._restore(state, met)
            case Meeting.WAKE:
                # With its whole state, so that the journal before it may be purged while this is being recorded.
                await self._resume(state, met, cause="resumed", kept=dump_state(state))
            case Meeting.TAKE_OVER:
                await self._resume(state, met, cause="redelivered")
        return None

    async def _is_still_asked(self, state: RunState) -> bool:
        """Say whether the request that drives a run is still in its stream: then it needs no copy of itself."""
        stored = await self._parts.bus.next_of(REQUESTS, subjects.ALL_REQUESTS, state.request_seq)
        if stored is None or stored.sequence != state.request_seq:
            return False
        try:
            run_id = read_request(stored.data).run_id
        except EvolventError:
            return False
        return (run_id or await self._derived_id(stored.sequence)) == state.run_id

    async def _begin(
        self, run_id: str, met: Met, delivery: Delivery, *, after: RunState | None = None, route: Route | None = None
    ) -> bool:
        """Append the first event and drive; False where the journal turned out not to be empty."""
        priority, goal = subjects.parse_request(delivery.subject)
        route = route or await self._router.route(met.request, goal)
        event = first_event(self._parts, run_id, met, route, delivery.subject)
        before = after or RunState(run_id)
        event = event.model_copy(update={"prev_seq": before.last_seq})
        state = reduce(before, event, 0)
        order = await self._order(state)
        lease, refusal = await self._first_lease(state, route, order)
        event = event.model_copy(update={"lease": lease})
        reach("run.before_start")
        try:
            sequence = await self._parts.journal.append(event)
        except FenceLost:
            return False
        except PayloadTooLarge as error:
            if lease is not None:
                await self._turns.give_back(lease)
            if route.workflow is None:
                raise Refused(error.info(), run_id) from error
            short = Route(route.decision, error=_too_large(route.decision.chosen))
            return await self._begin(run_id, met, delivery, after=after, route=short)
        reach("run.started")
        state = reduce(before, event, sequence)
        _log.debug("started", run_id=run_id, goal=goal, priority=priority, agent=event.routing.chosen)
        await self._drive(state, refusal, lease=lease, order=order)
        return True

    async def _order(self, state: RunState) -> Order:
        return await self._urgency.order_for(state.workflow, self._turns.loads) if state.started else by_estimates

    async def _first_lease(
        self, state: RunState, route: Route, order: Order
    ) -> tuple[LeaseInfo | None, Refusal | None]:
        first = next(iter(state.tasks))
        if route.error is not None:
            return None, Refusal(first, route.error, "stop")
        wanted = decide(state, self._parts.catalog(), Going(order=order)).activities
        if state.cancel is not None or TakeTurn(first, 0, 0) not in wanted:
            return None, None
        # A run that finds no slot begins without: only a begun one has a deadline and can be cancelled.
        lease = await self._turns.lease_soon(state, TakeTurn(first, 0, 0))
        return (None, lease) if isinstance(lease, Refusal) else (lease, None)

    async def _restore(self, state: RunState, met: Met) -> float | None:
        """Wake a suspended run whose journal is gone, from the state that SQL kept."""
        kept = await self._runs.state_of_suspended(state.run_id)
        before = load_state(kept) if kept else None
        if before is None or before.started is None or before.suspensions != met.request.resume:
            return None
        if not speaks_for(met.principal, before.started.principal):
            return None
        whole = replace(before, last_seq=state.last_seq, cancel=state.cancel, answers=state.answers)
        await self._resume(whole, met, cause="restored", kept=kept)
        return None

    async def _resume(self, state: RunState, met: Met, *, cause: str, kept: dict[str, object] | None = None) -> None:
        """Fence off whoever had the run, then drive it from where its journal stands."""
        reach("run.before_resume")
        request: Request = met.request
        event = WorkflowResumed(
            event_id=self._parts.clock.new_id(),
            run_id=state.run_id,
            correlation_id=state.run_id,
            causation_id=request.causation_id or f"{REQUESTS}:{met.sequence}",
            occurred_at=self._parts.clock.now(),
            source=self._parts.owner,
            attempt=state.attempt + 1,
            prev_seq=state.last_seq,
            owner=self._parts.owner,
            cause=cause,
            request_seq=met.sequence,
            state=kept,
        )
        try:
            sequence = await self._parts.journal.append(event)
        except PayloadTooLarge:
            # A large answer came on top of a large state; the journal still holds both.
            event = event.model_copy(update={"state": None})
            sequence = await self._parts.journal.append(event)
        reach("run.resumed")
        _log.info("resumed", run_id=state.run_id, attempt=event.attempt, cause=cause)
        await self._drive(reduce(state, event, sequence), None)

    async def _drive(
        self,
        state: RunState,
        refusal: Refusal | None,
        *,
        lease: LeaseInfo | None = None,
        order: Order | None = None,
    ) -> None:
        run_id = state.run_id
        order = order or await self._order(state)
        actor = RunActor(state, self._parts, self._turns, lease=lease, order=order)
        self._actors[run_id] = actor
        try:
            state = await actor.drive(refusal=refusal)
            reach("run.final_stored")
            _log.debug(
                str(state.status), run_id=run_id, cost_microusd=state.totals.cost_microusd, attempt=state.attempt
            )
        finally:
            if self._actors.get(run_id) is actor:
                del self._actors[run_id]


def _conflict(run_id: str) -> ErrorInfo:
    message = f"Run {run_id} exists with another request; send this one without a run_id, or with a new one."
    return ErrorInfo(code="run_id_conflict", category=Category.VALIDATION, message=message)


def _too_large(workflow: str) -> ErrorInfo:
    message = (
        f"Workflow {workflow!r}, with the workflows that it names, its agents and its request, is larger than one "
        "message; shorten its texts or split it. Nothing was begun."
    )
    return ErrorInfo(code="workflow.too_large", category=Category.VALIDATION, message=message)
