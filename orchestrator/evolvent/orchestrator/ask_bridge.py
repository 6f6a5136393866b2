"""Asking on the bus: `evolvent.ask.<goal>` puts the request on the same stream and waits for its final event.

The bridge only watches. Its death loses the answer and not the run, which is told by its run_id.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from evolvent.events import subjects
from evolvent.events.bus import Call, CoreMessage
from evolvent.events.clock import Clock
from evolvent.events.errors import Category, EvolventError, InvalidMessage, NotFound
from evolvent.events.journal import Journal
from evolvent.events.messages.requests import read_request, request_hash
from evolvent.events.messages.runs import FINAL_TYPES, Final, WorkflowStarted, WorkflowSuspended
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import principal_of, signed
from evolvent.events.subjects import Priority
from evolvent.storage.runs import RunStore

_LONGEST_SECONDS = 7200.0


class RunIdConflict(EvolventError):
    """This run_id belongs to another request; ask without a run_id, or with a new one. Nothing was started."""

    code, category = "run_id_conflict", Category.VALIDATION


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question: its run, and what the run must have been started by to be its answer."""

    run_id: str
    principal: str
    content_hash: str

    def check(self, principal: str, content_hash: str) -> None:
        """Refuse the run of another principal, as if there were none, and that of another question."""
        if principal != self.principal:
            raise NotFound(f"There is no run {self.run_id!r} of yours; ask without a run_id, or with a new one.")
        if content_hash and content_hash != self.content_hash:
            raise RunIdConflict


class AskBridge:
    """Answers questions with the final event of their run."""

    def __init__(self, bus: NatsBus, journal: Journal, runs: RunStore, clock: Clock) -> None:
        self._bus = bus
        self._journal = journal
        self._runs = runs
        self._clock = clock

    async def ask(self, call: Call) -> bytes:
        """Publish the question as a request, wait, and return its final (or suspended) event as JSON."""
        goal = subjects.parse_ask(call.subject)
        request = read_request(call.data)
        if request.resume is not None:
            raise InvalidMessage("`resume` is set by the platform only; ask with a message.")
        run_id = request.run_id or self._clock.new_id()
        body = request.model_copy(update={"run_id": run_id}).encode()
        principal = principal_of(call.subject)
        ended: asyncio.Event = asyncio.Event()

        def heard(message: CoreMessage) -> None:
            if subjects.parse_run_event(message.subject)[1] in FINAL_TYPES | {"workflow_suspended"}:
                ended.set()

        stop = await self._bus.subscribe(subjects.run_events(run_id), heard)
        try:
            await self._bus.append(signed(subjects.request(Priority.MEDIUM, goal), principal), body)
            return await self._answer(_Asked(run_id, principal, request_hash(body)), ended)
        finally:
            await stop()

    async def _answer(self, asked: _Asked, ended: asyncio.Event) -> bytes:
        end = self._clock.monotonic() + _LONGEST_SECONDS
        is_checked = False
        while (left := end - self._clock.monotonic()) > 0:
            ended.clear()  # before the look: an end that is heard during it must not be forgotten
            last = await self._journal.last(asked.run_id)
            if last is not None and not is_checked:
                is_checked = await self._is_checked(asked)
            if last is not None and isinstance(last.event, Final | WorkflowSuspended):
                return answer_of(last.event)
            if last is None and await self._runs.exists(asked.run_id) is not None:
                return await self._recorded(asked)
            try:
                await asyncio.wait_for(ended.wait(), min(left, 30.0))
            except TimeoutError:
                continue
        return json.dumps(
            {"run_id": asked.run_id, "status": "running", "error": {"message": "It goes on; follow it by its run_id."}}
        ).encode()

    async def _is_checked(self, asked: _Asked) -> bool:
        """Check that the run was started by this very question; False where it has not begun."""
        for entry in await self._journal.read(asked.run_id):
            if isinstance(entry.event, WorkflowStarted):
                asked.check(entry.event.principal, entry.event.request_hash)
                return True
        principal = await self._runs.principal_of(asked.run_id)
        if principal is not None:
            asked.check(principal, (await self._runs.exists(asked.run_id) or ("", ""))[1])
        return principal is not None

    async def _recorded(self, asked: _Asked) -> bytes:
        """Return the answer of a run whose journal was purged."""
        run = await self._runs.get(asked.run_id)
        asked.check(run.principal, run.request_hash)
        answer = {"run_id": run.run_id, "status": run.status, "served_by": run.served_by, "answer": run.answer}
        error = run.error.model_dump(mode="json", exclude_none=True) if run.error else None
        return json.dumps({**answer, "error": error, "cost_usd": run.cost_microusd / 1e6}, ensure_ascii=False).encode()


def answer_of(event: Final | WorkflowSuspended) -> bytes:
    """Return a run's end as the answer that askers get; its keys are those of `evolvent ask --json`."""
    if isinstance(event, WorkflowSuspended):
        error = {"code": f"run.suspended.{event.reason}", "message": event.detail}
        return json.dumps({"run_id": event.run_id, "status": "suspended", "answer": None, "error": error}).encode()
    totals = event.totals
    data = {
        "run_id": event.run_id,
        "status": event.type.removeprefix("workflow_"),
        "served_by": event.served_by,
        "answer": event.answer,
        "output": event.output,
        "error": event.error.model_dump(mode="json", exclude_none=True) if event.error else None,
        "cost_usd": event.cost_usd,
        "prompt_tokens": totals.prompt_tokens,
        "completion_tokens": totals.completion_tokens,
        "model_calls": totals.model_calls,
        "tool_calls": totals.tool_calls,
        "duration_seconds": totals.duration_seconds,
        "scripted": event.scripted,
    }
    return json.dumps(data, ensure_ascii=False).encode()
