"""What a run is driven with: the seams of one orchestrator process, handed to every run actor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from evolvent.events.clock import Clock
from evolvent.events.journal import Journal
from evolvent.events.language.tools import ToolSpec
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.settings import OrchestratorSettings
from evolvent.orchestrator.tools import ToolRegistry


@dataclass(frozen=True, slots=True)
class RunParts:
    """The collaborators of a run. `spawn` keeps a task for as long as the service lives."""

    bus: NatsBus
    journal: Journal
    tools: ToolRegistry
    clock: Clock
    settings: OrchestratorSettings
    owner: str
    spawn: Callable[[Coroutine[Any, Any, Any]], Any]

    def catalog(self) -> dict[str, ToolSpec]:
        """Return every tool that this process knows, by name."""
        return {spec.name: spec for spec in self.tools.specs()}
