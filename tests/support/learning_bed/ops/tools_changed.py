"""The tools of the operations world after a change: restarting takes a number of seconds to drain for."""

from __future__ import annotations

from typing import Literal

from support.learning_bed.database import Record
from support.learning_bed.ops import tools
from support.learning_bed.ops.tools import (
    find_service,
    list_alerts,
    retire_service,
    rotate_secret,
    scale_service,
    silence_alert,
    vendor_bulletin,
    whois,
)

from evolvent.orchestrator.tools import ToolContext, tool

__all__ = [
    "find_service",
    "list_alerts",
    "restart_service",
    "retire_service",
    "rotate_secret",
    "scale_service",
    "silence_alert",
    "vendor_bulletin",
    "whois",
]


@tool(effect="keyed")
async def restart_service(
    service_id: str, mode: Literal["rolling", "immediate"], drain_seconds: int = 0, *, ctx: ToolContext
) -> Record:
    """Restart a service, one replica after the other or all at once, after draining it."""
    del drain_seconds
    return await tools.restart_service(service_id, mode, ctx=ctx)
