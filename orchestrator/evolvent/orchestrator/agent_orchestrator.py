"""Takes requests from the bus and drives each as a run, until it ends or waits.

Owns the journals of runs. Does not know models, prices or SQL beyond the stores that it reads.
Shown in use by tests/e2e/test_one_request.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evolvent.events import subjects
from evolvent.events.bus import Call, CoreMessage, Delivery
from evolvent.events.clock import Clock
from evolvent.events.dead_letters import bury
from evolvent.events.errors import Category, ErrorInfo, EvolventError
from evolvent.events.fault_points import reach
from evolvent.events.journal import Journal, UnreadableJournal
from evolvent.events.messages.calls import JournalPage, RunQuery
from evolvent.events.messages.platform import AutomationPromoted, AutomationRolledBack
from evolvent.events.nats_bus import NatsBus
from evolvent.events.service import Consume, Endpoint, Listener, Service
from evolvent.events.streams import COMMANDS, REQUESTS, RUNS, DurableSpec, durables
from evolvent.events.subjects import Priority
from evolvent.orchestrator.ask_bridge import AskBridge
from evolvent.orchestrator.commands_inbox import CommandsInbox, apply_all
from evolvent.orchestrator.intake import Intake
from evolvent.orchestrator.routing.automations import POLL_SECONDS
from evolvent.orchestrator.routing.router import Router, Sources
from evolvent.orchestrator.run_actor import Superseded
from evolvent.orchestrator.run_desk import Refused, RunDesk
from evolvent.orchestrator.run_parts import RunParts
from evolvent.orchestrator.settings import OrchestratorSettings
from evolvent.orchestrator.strays import SWEEP_SECONDS, bury_strays
from evolvent.orchestrator.tools import ToolRegistry
from evolvent.orchestrator.workflows.catalog import WorkflowCatalog
from evolvent.orchestrator.workflows.urgency import Urgency
from evolvent.storage.agents import AgentStore
from evolvent.storage.runs import RunStore

_JOURNAL_PAGE_BYTES = 600 * 1024
_LEARNT = tuple(subjects.event(kind.TYPE) for kind in (AutomationPromoted, AutomationRolledBack))
_HEARTBEATS_PER_ACK_WAIT = 0.3
"""Three heartbeats may be lost before another orchestrator takes a run over."""


class AgentOrchestrator(Service):
    """Routes requests and drives their runs."""

    name = "orchestrator"
    description = "takes requests, drives their runs, answers"

    def __init__(
        self,
        bus: NatsBus,
        agents: AgentStore | Sources,
        runs: RunStore,
        tools: ToolRegistry,
        *,
        settings: OrchestratorSettings | None = None,
        clock: Clock | None = None,
        catalog: WorkflowCatalog | None = None,
        urgency: Urgency | None = None,
    ) -> None:
        self.settings = settings or OrchestratorSettings()
        heartbeat = _HEARTBEATS_PER_ACK_WAIT * self.settings.ack_wait_seconds
        super().__init__(bus, clock=clock, heartbeat_seconds=heartbeat)
        self._journal = Journal(bus)
        parts = RunParts(bus, self._journal, tools, self.clock, self.settings, self.instance, self.spawn)
        router = Router(bus, agents, self.clock, wait_seconds=self.settings.service_wait_seconds)
        self._automations = agents.automations if isinstance(agents, Sources) else None
        self._desk = RunDesk(parts, router, runs, urgency or Urgency())
        self._commands = CommandsInbox(bus, self._journal, runs, self.clock, owner=self.instance)
        self._ask = AskBridge(bus, self._journal, runs, self.clock)
        self._tools = tools
        self._catalog = catalog
        self._durables = {d.name: d for d in durables(self.settings.ack_wait_seconds)}
        self._intake = Intake(slots=self.settings.max_concurrent_runs, now=self.clock.now, take=self._take)

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Answer what a run's journal says, which tools there are, and what the catalog of workflows says."""
        catalog = self._catalog.endpoints() if self._catalog is not None else {}
        return {"journal": self._read_journal, "tools": self._list_tools, **catalog}

    def consumers(self) -> Sequence[Consume]:
        """Work off the commands; requests have an intake of their own."""
        return (Consume(self._durables["orchestrator_commands"], self._on_commands, batch=16),)

    def listeners(self) -> Mapping[str, Listener]:
        """Hear nudges, and that something learnt came into use or went out of it."""
        return {subjects.ALL_NUDGES: self._on_nudge, **dict.fromkeys(_LEARNT, self._on_learnt)}

    async def on_start(self) -> None:
        """Learn what run_ids are made from, and look out for requests that nobody will ever take."""
        await self._desk.learn_namespace()
        if self._catalog is not None:
            await self._catalog.store_builtin()
        self.spawn(self.every(SWEEP_SECONDS, self.sweep))
        if self._automations is not None:
            self.spawn(self._automations.refresh())
            self.spawn(self.every(POLL_SECONDS, self._automations.refresh))
        self.bus.on_reconnect.append(self._desk.forget_namespace)

    async def start(self) -> None:
        """Start, and begin to take requests last of all."""
        if self.ready.is_set() or self.is_stopping:
            return
        await super().start()
        by_priority: dict[Priority, DurableSpec] = {p: self._durables[f"orchestrator_{p}"] for p in Priority}
        host = await self.host("evolvent-ask", "answers with a run's final event")
        await host.add("ask", subjects.ALL_ASK, self._ask.ask, queue="ask")
        await self._intake.start(self.bus, by_priority, self.hold)

    async def stop(self, *, drain_seconds: float = 10.0) -> None:
        """Take no more requests, give back those not begun, finish or hand over the rest."""
        for delivery in await self._intake.stop():
            self.let_go(delivery)
            await delivery.nak()
        await super().stop(drain_seconds=drain_seconds)

    async def sweep(self) -> None:
        """Dead-letter the requests whose subjects no consumer takes."""
        await bury_strays(self)

    def _take(self, delivery: Delivery) -> None:
        self.spawn(self._serve(delivery))

    async def _serve(self, delivery: Delivery) -> None:
        reach("request.taken")
        try:
            await self._serve_or_bury(delivery)
        except Superseded as error:
            self.log.info("superseded", reason=str(error))
        except EvolventError as error:
            self.log.warning("given back", sequence=delivery.sequence, error=str(error))
            await delivery.nak(1.0)
        except Exception:
            self.log.exception("request failed", sequence=delivery.sequence)
            await delivery.nak(2.0)
            raise
        finally:
            self.let_go(delivery)
            self._intake.done()

    async def _serve_or_bury(self, delivery: Delivery) -> None:
        if delivery.delivered > self.settings.max_deliveries and not await self._desk.has_journal(delivery):
            message = f"It was delivered {delivery.delivered} times and never got as far as its first event."
            error = ErrorInfo(code="request.poison", category=Category.SYSTEM, message=message)
            await bury(self, delivery, REQUESTS, error)
            return
        try:
            later = await self._desk.serve(delivery)
        except Refused as refused:
            await bury(self, delivery, REQUESTS, refused.info(), run_id=refused.run_id)
            return
        except UnreadableJournal as error:
            if delivery.delivered <= self.settings.max_deliveries:
                raise  # an orchestrator of another version may take it
            await bury(self, delivery, REQUESTS, error.info())
            return
        reach("run.before_ack")
        if later is not None:
            await delivery.nak(later)
        else:
            await delivery.ack()
            reach("run.acked")

    async def _on_commands(self, deliveries: Sequence[Delivery]) -> None:
        for delivery, error in await apply_all(self._commands, deliveries):
            await bury(self, delivery, COMMANDS, error)

    def _on_nudge(self, message: CoreMessage) -> None:
        self._desk.nudge(message.subject.rsplit(".", 1)[1])

    def _on_learnt(self, _: CoreMessage) -> None:
        if self._automations is not None:
            self.spawn(self._automations.refresh())

    async def _read_journal(self, call: Call) -> bytes:
        query = RunQuery.decode(call.data)
        subject = subjects.run_events(query.run_id)
        events: list[bytes] = []
        sequences: list[int] = []
        size = 0
        async for stored in self.bus.read(RUNS, subject, from_sequence=query.from_seq or 1):
            size += len(stored.data)
            if len(events) >= query.limit or (events and size > _JOURNAL_PAGE_BYTES):
                return self._page(query.run_id, events, sequences, more=True)
            events.append(stored.data)
            sequences.append(stored.sequence)
        return self._page(query.run_id, events, sequences, more=False)

    @staticmethod
    def _page(run_id: str, events: list[bytes], sequences: list[int], *, more: bool) -> bytes:
        head = JournalPage(run_id=run_id, sequences=tuple(sequences), more=more).encode()
        return head.replace(b'"events":[]', b'"events":[' + b",".join(events) + b"]", 1)

    async def _list_tools(self, call: Call) -> bytes:
        specs = b",".join(spec.model_dump_json().encode() for spec in self._tools.specs())
        return b'{"tools":[' + specs + b"]}"
