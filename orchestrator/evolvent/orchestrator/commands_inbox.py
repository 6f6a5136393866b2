"""Commands about runs become input events in their journals, by the same compare-and-set as every append.

The PubAck was the speaker's receipt; here the command takes effect: the run's owner meets it at its next append,
and a nudge makes that prompt. A suspended run gets a request that resumes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from evolvent.events import subjects
from evolvent.events.bus import Delivery
from evolvent.events.clock import Clock
from evolvent.events.errors import Category, ErrorInfo, EvolventError, FenceLost, InvalidMessage, NotFound
from evolvent.events.journal import Journal
from evolvent.events.language.approvals import (
    approval_policy,
    may_approve,
    names_approver,
    pending_approvals,
    tells_outcome,
)
from evolvent.events.language.reducer import fold
from evolvent.events.language.state import RunState, RunStatus, load_state
from evolvent.events.messages.commands import Answer, Cancel
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import ApprovalGiven, CancelRequested, RunEvent
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import principal_of, speaks_for
from evolvent.events.subjects import LAST_RUN, Priority, Verb
from evolvent.storage.runs import RunStore

_log = structlog.get_logger(__name__)
_TRIES = 20
_ENDED = frozenset(status.value for status in RunStatus if status.is_final)
_LOST_AFTER_DELIVERIES = 10


class NotWaiting(EvolventError):
    """The run waits for no answer; `evolvent runs show` tells where it stands. Nothing was changed."""

    code, category = "run.not_waiting", Category.VALIDATION


class NotApprover(EvolventError):
    """The approval that this run waits for names others who may answer; ask one of them. Nothing was changed."""

    code, category = "run.not_approver", Category.PERMISSION


class CommandsInbox:
    """Applies cancel, approve and deny."""

    def __init__(self, bus: NatsBus, journal: Journal, runs: RunStore, clock: Clock, *, owner: str) -> None:
        self._bus = bus
        self._journal = journal
        self._runs = runs
        self._clock = clock
        self._owner = owner

    async def apply(self, delivery: Delivery) -> None:
        """Apply one command; doing it twice changes nothing.

        Raises:
            InvalidMessage, NotFound: it can never be applied.
        """
        verb, run_id = subjects.parse_command(delivery.subject)
        principal = principal_of(delivery.subject)
        body = delivery.data.strip() or b"{}"
        command: Cancel | Answer = Cancel.decode(body) if verb is Verb.CANCEL else Answer.decode(body)
        if run_id == LAST_RUN:
            run_id = await self._last_run(principal, command.user_id)
        elif not subjects.is_run_id(run_id):
            raise InvalidMessage(f"{run_id!r} is not a run_id; `evolvent runs list` shows them.")
        for _ in range(_TRIES):
            entries = await self._journal.read(run_id)
            state = fold(run_id, ((entry.sequence, entry.event) for entry in entries))
            if state.status.is_final:
                return
            said = f"COMMANDS:{delivery.sequence}"
            is_repeated = isinstance(command, Cancel) and state.cancel is not None
            if is_repeated or any(entry.event.causation_id == said for entry in entries):
                await self._tell(state, causation_id=said)  # a crash may have come before it
                return
            if not await self._may_say(state, command, principal):
                return
            event = self._event(state, verb, command, principal, delivery.sequence)
            try:
                await self._journal.append(event)
            except FenceLost:
                continue
            await self._tell(state, causation_id=event.event_id)
            return
        raise FenceLost(f"Run {run_id} moves on too fast for the command to get in; it is tried again.")

    async def _last_run(self, principal: str, user_id: str | None) -> str:
        run_id = await self._runs.last_run_of(principal, user_id)
        if run_id is None:
            raise NotFound(f"{user_id or principal} has no run yet; name a run_id instead of `_`.")
        return run_id

    def _event(self, state: RunState, verb: Verb, command: Cancel | Answer, principal: str, sequence: int) -> RunEvent:
        common = {
            "event_id": self._clock.new_id(),
            "run_id": state.run_id,
            "correlation_id": state.run_id,
            "causation_id": f"COMMANDS:{sequence}",
            "occurred_at": self._clock.now(),
            "source": self._owner,
            "attempt": state.attempt,
            "prev_seq": state.last_seq,
            "principal": principal,
        }
        if isinstance(command, Cancel):
            return CancelRequested.model_validate({**common, "reason": command.reason})
        answer = command.model_dump(include={"outcome", "result", "note", "task_id"})
        return ApprovalGiven.model_validate({**common, **answer, "approved": verb is Verb.APPROVE})

    async def _may_say(self, state: RunState, command: Cancel | Answer, principal: str) -> bool:
        """Say whether a command still means something to its run.

        Raises:
            NotFound: the run is of another principal.
            NotWaiting: an answer that nothing waits for.
            NotApprover: an answer that is for others to give.
        """
        started, status = state.started, str(state.status)
        owner = started.principal if started is not None else await self._runs.principal_of(state.run_id)
        if started is None and owner is not None:
            status = (await self._runs.exists(state.run_id) or (status, ""))[0]
        if isinstance(command, Answer) and _is_asked(state, command, principal):
            return True
        if owner is not None and status != "pending" and not speaks_for(principal, owner):
            raise NotFound(f"There is no run {state.run_id!r}; `evolvent runs list` shows yours.")
        if isinstance(command, Answer) and status != RunStatus.SUSPENDED:
            raise NotWaiting
        if isinstance(command, Answer) and not _may_answer(state, command, principal):
            raise NotApprover
        return status not in _ENDED

    async def _tell(self, state: RunState, *, causation_id: str) -> None:
        await self._bus.publish(subjects.nudge(state.run_id), b"")
        suspended = await self._suspension(state)
        if suspended is not None:
            number, priority, goal = suspended
            resume = Request(run_id=state.run_id, resume=number, causation_id=causation_id)
            await self._bus.append(subjects.request(priority, goal), resume.encode())

    async def _suspension(self, state: RunState) -> tuple[int, Priority, str] | None:
        """Return the number, priority and goal of a run's suspension, from SQL where its journal is gone."""
        if state.status is RunStatus.SUSPENDED and state.started is not None:
            return state.suspensions, state.started.priority, state.started.goal
        if state.started is not None:
            return None
        kept = await self._runs.state_of_suspended(state.run_id)
        started = load_state(kept).started if kept else None
        return (load_state(kept).suspensions, started.priority, started.goal) if kept and started else None


async def apply_all(inbox: CommandsInbox, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, ErrorInfo]]:
    """Apply a batch; return those that can never be applied, with the reason. One that fails stops no other."""
    refused: list[tuple[Delivery, ErrorInfo]] = []
    for delivery in deliveries:
        try:
            await inbox.apply(delivery)
        except EvolventError as error:
            if error.info().retryable:
                await delivery.nak(1.0)
            else:
                refused.append((delivery, error.info()))
        except Exception as error:  # noqa: BLE001  # given back, later buried: those behind it must go on
            _log.exception("command failed", sequence=delivery.sequence)
            if delivery.delivered <= _LOST_AFTER_DELIVERIES:
                await delivery.nak(1.0)
            else:
                message = f"{type(error).__name__} while this command was applied; see the orchestrator's log."
                refused.append((delivery, ErrorInfo(code="internal", category=Category.SYSTEM, message=message)))
    return refused


def _is_asked(state: RunState, command: Answer, principal: str) -> bool:
    """Say whether an approval that is waited for names somebody, whoever the run is of."""
    if state.status is not RunStatus.SUSPENDED or tells_outcome(state, command.task_id, command.outcome):
        return False
    return any(names_approver(state, name, principal) for name in _asked_about(state, command))


def _may_answer(state: RunState, command: Answer, principal: str) -> bool:
    """Say whether somebody may answer what a run of theirs waits for; an approval by what its policy says."""
    if tells_outcome(state, command.task_id, command.outcome):
        return True
    asked = _asked_about(state, command)
    return not asked or any(may_approve(approval_policy(state, name), principal) for name in asked)


def _asked_about(state: RunState, command: Answer) -> list[str]:
    return [name for name in pending_approvals(state) if command.task_id in (None, name)]
