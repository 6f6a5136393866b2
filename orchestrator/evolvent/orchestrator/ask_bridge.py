"""Asking on the bus: `evolvent.ask.<goal>` puts the request on the same stream and waits for its final event.

The bridge only watches. Its death loses the answer and not the run, which is told by its run_id.
"""

from __future__ import annotations

import asyncio
import json

from evolvent.events import subjects
from evolvent.events.bus import Call, CoreMessage
from evolvent.events.clock import Clock
from evolvent.events.errors import InvalidMessage
from evolvent.events.journal import Journal
from evolvent.events.messages.requests import read_request
from evolvent.events.messages.runs import FINAL_TYPES, Final, WorkflowSuspended
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import principal_of, signed
from evolvent.events.subjects import Priority

_LONGEST_SECONDS = 7200.0


class AskBridge:
    """Answers questions with the final event of their run."""

    def __init__(self, bus: NatsBus, journal: Journal, clock: Clock) -> None:
        self._bus = bus
        self._journal = journal
        self._clock = clock

    async def ask(self, call: Call) -> bytes:
        """Publish the question as a request, wait, and return its final (or suspended) event as JSON."""
        goal = subjects.parse_ask(call.subject)
        request = read_request(call.data)
        if request.resume is not None:
            raise InvalidMessage("`resume` is set by the platform only; ask with a message.")
        run_id = request.run_id or self._clock.new_id()
        body = request.model_copy(update={"run_id": run_id}).encode()
        ended: asyncio.Event = asyncio.Event()

        def heard(message: CoreMessage) -> None:
            if subjects.parse_run_event(message.subject)[1] in FINAL_TYPES | {"workflow_suspended"}:
                ended.set()

        stop = await self._bus.subscribe(subjects.run_events(run_id), heard)
        try:
            subject = signed(subjects.request(Priority.MEDIUM, goal), principal_of(call.subject))
            await self._bus.append(subject, body)
            return await self._answer(run_id, ended)
        finally:
            await stop()

    async def _answer(self, run_id: str, ended: asyncio.Event) -> bytes:
        end = self._clock.monotonic() + _LONGEST_SECONDS
        while (left := end - self._clock.monotonic()) > 0:
            last = await self._journal.last(run_id)
            if last is not None and isinstance(last.event, Final | WorkflowSuspended):
                return answer_of(last.event)
            ended.clear()
            try:
                await asyncio.wait_for(ended.wait(), min(left, 30.0))
            except TimeoutError:
                continue
        return json.dumps(
            {"run_id": run_id, "status": "running", "error": {"message": "It goes on; follow it by its run_id."}}
        ).encode()


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
