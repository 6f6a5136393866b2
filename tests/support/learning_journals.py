"""Journals of runs from their traces, as the recorder would keep them, and a learner on real databases."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from support.databases import FixedClock
from support.runs import AGENT, started

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.conversation import ModelReply, ToolCall, Usage
from evolvent.events.language.learning.traces import Trace
from evolvent.events.messages.platform import PlatformEvent
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import (
    Deoptimized,
    Mode,
    RoutingDecision,
    RunEvent,
    ServedBy,
    ToolCompleted,
    ToolOutcome,
    ToolRecord,
    Totals,
    TurnRecord,
    WorkflowCompleted,
    WorkflowFailed,
)
from evolvent.improvement.learning import Learner, Tools
from evolvent.improvement.proposing import Emit
from evolvent.improvement.settings import ImprovementSettings
from evolvent.storage.automations import AutomationStore
from evolvent.storage.database import Databases
from evolvent.storage.projections import JournalEntry
from evolvent.storage.runs import RunStore
from evolvent.storage.signatures import SignatureRows

SCOPE = ("default", AGENT.agent_id)


def run_id(trace: Trace) -> str:
    """A UUID that is the same for the same name of a run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, trace.run_id))


def journal(
    trace: Trace,
    at: datetime,
    *,
    automations: tuple[str, ...] = (),
    deoptimized: bool = False,
    mode: Mode = Mode.LIVE,
    tokens: int = 900,
    prefetched: int = 0,
) -> list[RunEvent]:
    """The events of a run that did what a trace says."""
    own = run_id(trace)

    def stamp(number: int) -> dict[str, Any]:
        return {"event_id": f"{own}-{number}", "run_id": own, "occurred_at": at, "source": "test"}

    served = ServedBy.AUTOMATION if automations else ServedBy.AGENT
    first = started(
        **stamp(0),
        request=Request(message=trace.message, user_id=trace.user_id, session_id=trace.session_id),
        principal=trace.principal,
        mode=mode,
        routing=RoutingDecision(
            served_by=served, chosen="x", reason="test", automations=automations, prefetched=prefetched
        ),
    )
    events: list[RunEvent] = [first]
    if deoptimized:
        events.append(Deoptimized(**stamp(1), reason="a guard failed"))
    events.append(ToolCompleted(**stamp(2), turns=(_asked(trace, at, tokens),), tools=tuple(_tools(trace, at))))
    totals = Totals(prompt_tokens=tokens, completion_tokens=0, model_calls=2, tool_calls=len(trace.calls))
    if trace.succeeded:
        events.append(WorkflowCompleted(**stamp(3), answer=trace.answer, totals=totals))
    else:
        error = ErrorInfo(code="x", category=Category.NETWORK, message="no")
        events.append(WorkflowFailed(**stamp(3), error=error, totals=totals, served_by=served))
    return events


def _asked(trace: Trace, at: datetime, tokens: int) -> TurnRecord:
    calls = tuple(
        ToolCall(call_id=f"c{number}", name=call.name, arguments=dict(call.arguments))
        for number, call in enumerate(trace.calls)
    )
    reply = ModelReply(tool_calls=calls, usage=Usage(prompt_tokens=tokens, completion_tokens=0))
    return TurnRecord(task_id="answer", turn=1, agent_id=AGENT.agent_id, spec_hash="s", reply=reply, started_at=at)


def _tools(trace: Trace, at: datetime) -> list[ToolRecord]:
    return [
        ToolRecord(
            task_id="answer",
            call_id=f"c{number}",
            name=call.name,
            effect=call.effect,
            schema_hash=call.schema_hash,
            arguments=dict(call.arguments),
            outcome=ToolOutcome.OK if call.error is None else ToolOutcome.ERROR,
            result=call.result,
            origin=call.origin,
            started_at=at + timedelta(milliseconds=number),
        )
        for number, call in enumerate(trace.calls)
    ]


@dataclass
class School:
    """Databases with recorded runs, and learners on them."""

    databases: Databases
    settings: ImprovementSettings = field(default_factory=ImprovementSettings)
    clock: FixedClock = field(default_factory=FixedClock)
    told: list[PlatformEvent] = field(default_factory=list)
    recorded: int = 0

    @property
    def automations(self) -> AutomationStore:
        return AutomationStore(self.databases.definitions, self.clock)

    @property
    def rows(self) -> SignatureRows:
        return SignatureRows(self.databases.records)

    async def tell(self, event: PlatformEvent) -> None:
        self.told.append(event)

    def learner(self, *, tools: Tools = lambda: None, emit: Emit | None = None, **changes: Any) -> Learner:
        """A learner that knows nothing but what is stored, as after a restart."""
        return Learner(
            self.databases.records,
            self.automations,
            ImprovementSettings.model_validate({**self.settings.model_dump(), **changes}),
            clock=self.clock,
            emit=emit or self.tell,
            tools=tools,
        )

    async def record(self, traces: Sequence[Trace], **more: Any) -> None:
        """Record the runs of these traces as if they had just ended."""
        entries: list[JournalEntry] = []
        for trace in traces:
            last = 0
            for event in journal(trace, self.clock.now(), **more):
                self.recorded += 1
                chained = event.model_copy(update={"prev_seq": last})
                last = self.recorded
                entries.append(JournalEntry(last, chained, chained.encode()))  # type: ignore[arg-type]
        await RunStore(self.databases.records).record(entries)

    async def stored(self) -> tuple[list[Any], list[Any]]:
        """All that learning stored, as data to be compared: signatures and automations."""
        names = [name for is_filler in (True, False) for name in await self.rows.of_scope(SCOPE, is_filler=is_filler)]
        known = await self.rows.get(names)
        signatures = [
            (each.signature, each.support, each.disputed, each.is_nominated, each.automation)
            for _, each in sorted(known.items())
        ]
        found = await self.automations.list()
        return [signatures, await self.rows.documents(names)], [
            (each.status, each.automation.model_dump(mode="json")) for each in found
        ]

    def kinds(self) -> list[str]:
        """The types of the events that were told, in order, each event once."""
        return [event.TYPE for event in {event.event_id: event for event in self.told}.values()]
