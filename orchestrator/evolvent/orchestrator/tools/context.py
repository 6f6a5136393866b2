"""What a tool may know of the call it serves, and what a reconcile hook answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Who asked, within which run, and under which key the call may be repeated.

    `folders`, `resources` and `started_at` are set by `call_tool`, from the registry and the injected clock.
    """

    run_id: str
    task_id: str
    call_id: str
    goal: str = "default"
    agent_id: str = ""
    user_id: str | None = None
    principal: str = "anonymous"
    idempotency_key: str | None = None
    shadow: bool = False
    """True where nothing may change in the world: only pure and read tools run."""
    folders: tuple[Path, ...] = ()
    """The only folders that file tools may look into."""
    started_at: datetime | None = None
    resources: Mapping[str, object] = field(default_factory=dict)
    """What the platform lends to tools, by name: the registry's `provide`. A tool checks what it takes."""


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """Whether an effect of unknown end took place: True with its result, False, or None where nobody can say."""

    happened: bool | None
    result: Any = None
