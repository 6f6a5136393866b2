"""The tool that the workflows of benchmarks call: it does nothing, so that what is left is the platform."""

from __future__ import annotations

from evolvent.orchestrator.tools import tool


@tool(access="public", effect="pure")
async def bench_nothing(number: int) -> int:
    """Return the number."""
    return number
