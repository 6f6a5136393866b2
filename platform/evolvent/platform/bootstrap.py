"""The only place that builds services: settings in, started services out.

Each service has a connection of its own under its own user; services of one process share the databases, the
model and the tools. When a connection is closed for good, `broken` is set: the process must end and be started
anew. Shown in use by tests/e2e/test_cli.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog
from pydantic import SecretStr

from evolvent.events.clock import SystemClock
from evolvent.events.errors import ConfigInvalid
from evolvent.events.nats_bus import NatsBus
from evolvent.events.service import Service
from evolvent.improvement.improvement_orchestrator import ImprovementOrchestrator
from evolvent.orchestrator.agent_orchestrator import AgentOrchestrator
from evolvent.orchestrator.budgets import default_limits, rate_limits
from evolvent.orchestrator.lazy_loader import LazyLoader
from evolvent.orchestrator.llm.client import Model
from evolvent.orchestrator.llm.openai_client import OpenAIModel
from evolvent.orchestrator.llm.pricing import PriceTable
from evolvent.orchestrator.logs.opening import TOOL_MODULE, log_source
from evolvent.orchestrator.logs.source import RESOURCE, LogSource
from evolvent.orchestrator.resource_manager import ResourceManager
from evolvent.orchestrator.routing.automations import LearntAutomations
from evolvent.orchestrator.routing.router import Sources
from evolvent.orchestrator.tools import ToolRegistry
from evolvent.orchestrator.tools.registry import ToolSettings
from evolvent.orchestrator.tools.scrub import Scrubber
from evolvent.orchestrator.workflows.catalog import CatalogStores, WorkflowCatalog
from evolvent.orchestrator.workflows.planner import Planner
from evolvent.orchestrator.workflows.urgency import Urgency, load_rules
from evolvent.platform.metrics import Metrics
from evolvent.platform.settings import Settings
from evolvent.platform.unconfigured_model import UnconfiguredModel
from evolvent.storage.agents import AgentStore
from evolvent.storage.automations import AutomationStore
from evolvent.storage.blobs import BlobStore
from evolvent.storage.database import Databases
from evolvent.storage.ledger import Ledger
from evolvent.storage.live_automations import LiveAutomations
from evolvent.storage.recorder import Recorder
from evolvent.storage.runs import RunStore
from evolvent.storage.workflow_records import WorkflowRecords
from evolvent.storage.workflows import WorkflowStore

_VENDOR_URL = "https://api.openai.com/v1"
_DRAIN_SECONDS = 8.0
_STOP_SECONDS = 15.0
_log = structlog.get_logger(__name__)
UrlFor = Callable[[str], str]


@dataclass(slots=True)
class Shared:
    """What the services of one process have in common."""

    settings: Settings
    databases: Databases
    model: Model
    clock: SystemClock = field(default_factory=SystemClock)
    logs: LogSource | None = None
    """Made with the tools, since only they ask it; closed with everything else."""

    def agents(self) -> AgentStore:
        """Return the store of agent specs."""
        return AgentStore(self.databases.definitions, self.clock)

    def runs(self) -> RunStore:
        """Return the store of recorded runs."""
        return RunStore(self.databases.records)

    def tools(self) -> ToolRegistry:
        """Return the tools that the settings name, and the built-in ones."""
        wanted = self.settings.tools
        registry = ToolRegistry(
            ToolSettings(
                allowed_folders=tuple(folder.expanduser() for folder in wanted.allowed_folders),
                goal_tools=wanted.goal_tools,
                rate_per_minute=wanted.rate_per_minute,
                tool_rates=wanted.tool_rates,
                secrets=self.settings.secrets(),
            ),
            store_blob=BlobStore(self.databases.records, self.clock).put,
        )
        registry.load_builtin()
        self.logs = self.logs or log_source(
            wanted.logs,
            data_dir=self.settings.data_dir,
            clock=self.clock,
            other_folders=wanted.allowed_folders,
        )
        if self.logs is not None:
            registry.provide(RESOURCE, self.logs)
            registry.load_modules((TOOL_MODULE,))
        registry.load_modules(wanted.modules)
        return registry

    async def close(self) -> None:
        """Close what the services had in common."""
        if self.logs is not None:
            await self.logs.close()
        await self.model.close()
        await self.databases.close()


def _recorder(bus: NatsBus, shared: Shared) -> Service:
    return Recorder(bus, shared.databases.records, clock=shared.clock)


def _resources(bus: NatsBus, shared: Shared) -> Service:
    settings = shared.settings.budgets
    ledger = Ledger(
        shared.databases.ledger, shared.clock, defaults=default_limits(settings), rates=rate_limits(settings)
    )
    prices = PriceTable(settings.prices, clock=shared.clock, base_url=shared.settings.model.base_url)
    return ResourceManager(bus, ledger, shared.agents(), shared.runs(), settings, shared.clock, prices=prices)


def _loader(bus: NatsBus, shared: Shared) -> Service:
    return LazyLoader(bus, shared.agents(), shared.model, shared.settings.loader, shared.clock)


def _improvement(bus: NatsBus, shared: Shared) -> Service:
    databases, learning = shared.databases, shared.settings.learning
    # Only for what they say of themselves: an automation is made for the tools as they are.
    registry = shared.tools() if learning.enabled else None
    return ImprovementOrchestrator(
        bus,
        databases.records,
        databases.definitions,
        learning,
        clock=shared.clock,
        tools=lambda: None if registry is None else {spec.name: spec for spec in registry.specs()},
        scrub=Scrubber(shared.settings.secrets()),
    )


def _orchestrator(bus: NatsBus, shared: Shared) -> Service:
    settings = shared.settings.orchestrator
    tools = shared.tools()
    catalog = _catalog(bus, shared, tools)
    sources = Sources.of(shared.databases, shared.clock, catalog.tools)
    return AgentOrchestrator(
        bus,
        replace(sources, automations=_automations(shared, tools)),
        shared.runs(),
        tools,
        settings=settings,
        clock=shared.clock,
        catalog=catalog,
        urgency=Urgency(WorkflowRecords(shared.databases.records), load_rules(settings.adaptation_rules)),
    )


def _automations(shared: Shared, tools: ToolRegistry) -> LearntAutomations | None:
    """Return what serves by what was learnt; whoever trusts writes without a person need not confirm each."""
    learning = shared.settings.learning
    if not learning.enabled:
        return None
    definitions = shared.databases.definitions
    live = LiveAutomations(definitions, AutomationStore(definitions, shared.clock))
    return LearntAutomations(
        live,
        tools.offered_to,
        serves_unlooked=learning.ignores_words,
        prefetches=learning.prefetch,
        tells=learning.hints,
    )


def _catalog(bus: NatsBus, shared: Shared, tools: ToolRegistry) -> WorkflowCatalog:
    workflows, agents = WorkflowStore(shared.databases.definitions, shared.clock), shared.agents()
    stores = CatalogStores(workflows, agents, shared.runs(), WorkflowRecords(shared.databases.records))
    return WorkflowCatalog(stores, tools, Planner(bus, agents, workflows, tools))


def _metrics(bus: NatsBus, shared: Shared) -> Service:
    runs = shared.settings.orchestrator.max_concurrent_runs
    return Metrics(bus, shared.settings.metrics, shared.clock, max_concurrent_runs=runs)


BUILDERS: Mapping[str, Callable[[NatsBus, Shared], Service]] = {
    "recorder": _recorder,
    "resources": _resources,
    "loader": _loader,
    "improvement": _improvement,
    "metrics": _metrics,
    "orchestrator": _orchestrator,
}
"""Every service, in the order in which they start; they stop in the opposite order, so the intake closes first."""


class Assembly:
    """The services of one process, from opened databases to ready, and back.

    `model` stands in for the model that the settings name; it is closed with the services.
    """

    def __init__(
        self, settings: Settings, names: Sequence[str], url_for: UrlFor, *, model: Model | None = None
    ) -> None:
        self._settings = settings
        self._model = model
        self._names = [name for name in BUILDERS if name in check_services(names)]
        self._url_for = url_for
        self._buses: list[NatsBus] = []
        self._shared: Shared | None = None
        self.services: list[Service] = []
        self.broken = asyncio.Event()

    @property
    def addresses(self) -> dict[str, object]:
        """Where else than on the bus these services listen, as client.json says it."""
        metrics = next((service for service in self.services if isinstance(service, Metrics)), None)
        return {"metrics_url": metrics.url} if metrics else {}

    async def start(self) -> None:
        """Open, connect, build and start everything; what was begun is undone where it fails."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop in order: the intake, the other services, connections, model, databases."""
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                for service in reversed(self.services):
                    await service.stop(drain_seconds=_DRAIN_SECONDS)
        except TimeoutError:
            _log.warning("some services did not stop in time; their work is taken over after a restart")
        for bus in self._buses:
            await bus.close()
        if self._shared is not None:
            await self._shared.close()
        self.services, self._buses, self._shared = [], [], None

    async def _start(self) -> None:
        settings = self._settings
        databases = await Databases.open(settings.database_url, durability=settings.durability)
        model = self._model or await _model(settings, self._names)
        shared = self._shared = Shared(settings, databases, model)
        for name in self._names:
            bus = await NatsBus.connect(self._url_for(name), name=f"evolvent-{name}", on_closed=self._closed)
            self._buses.append(bus)
            service = BUILDERS[name](bus, shared)
            self.services.append(service)
            await service.start()

    def _closed(self) -> None:
        _log.error("a connection to NATS is closed for good; this process ends, to be started anew")
        self.broken.set()


async def ensure_streams(settings: Settings, url: str) -> None:
    """Make every stream, durable consumer and bucket stand as this version wants them."""
    bus = await NatsBus.connect(url, name="evolvent-bootstrap")
    try:
        await bus.admin.ensure_all(
            ack_wait_seconds=settings.orchestrator.ack_wait_seconds,
            lock_ttl_seconds=settings.learning.lock_ttl_seconds,
        )
    finally:
        await bus.close()


def all_services(settings: Settings) -> list[str]:
    """Return the services that these settings want."""
    return [name for name in BUILDERS if name != "metrics" or settings.metrics.enabled]


def check_services(names: Sequence[str]) -> Sequence[str]:
    """Return the names.

    Raises:
        ConfigInvalid: there is no service of a name.
    """
    if unknown := [name for name in names if name not in BUILDERS]:
        raise ConfigInvalid(f"There is no service {unknown[0]!r}; there are {', '.join(BUILDERS)}.")
    return names


async def _model(settings: Settings, names: Sequence[str]) -> Model:
    if not settings.model.is_configured:
        return UnconfiguredModel()
    model = OpenAIModel(settings.model.base_url or _VENDOR_URL, settings.model.api_key or SecretStr(""))
    if "loader" in names:
        await model.prepare()
    return model
