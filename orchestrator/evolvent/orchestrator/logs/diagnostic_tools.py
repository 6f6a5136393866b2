"""Tools by which agents look into logs. They speak to whatever log source the platform lends them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from evolvent.events.errors import Category, EvolventError
from evolvent.orchestrator.logs.source import RESOURCE, LogEvent, LogSource
from evolvent.orchestrator.logs.time_range import time_range
from evolvent.orchestrator.tools.context import ToolContext
from evolvent.orchestrator.tools.decorator import tool

MOST_EVENTS = 1_000
_MOST_TEXT = 1_000
_Time = Annotated[str, Field(min_length=1, max_length=60)]


class NoLogSource(EvolventError):
    """There is no log source; the operator names one in `tools.logs`. Nothing was searched."""

    code, category = "logs.no_source", Category.RESOURCE


# Lines of logs hold what strangers sent: they are never taken for instructions, nor learned from.
@tool(category="diagnosis", effect="read", timeout_seconds=45, origin="web")
async def run_oneshot_search(
    query: Annotated[str, Field(max_length=2_000)],
    earliest: _Time = "-24h",
    latest: _Time = "now",
    limit: Annotated[int, Field(ge=1, le=MOST_EVENTS)] = 100,
    *,
    ctx: ToolContext,
) -> dict[str, Any]:
    """Search logs once, and return the latest events or the rows of `stats`; `total` counts every match.

    Args:
        query: Words (all must match), "phrases", OR, NOT, parentheses, index=, sourcetype=, host=, source=,
            field=value, then `| stats count by index|sourcetype|source|host` or `| head N`.
        earliest: From when on: `-2h`, `-7d@d`, `@h`, or an ISO time.
        latest: Until when: `now`, or as above.
        limit: How many events to return.
        ctx: Set by the platform.
    """
    source = _source(ctx)
    between = time_range(earliest, latest, now=ctx.started_at or datetime.now(UTC))
    found = await source.search(query, earliest=between.earliest, latest=between.latest, limit=limit)
    return {
        "earliest": between.earliest,
        "latest": between.latest,
        "total": found.total,
        "complete": found.is_complete,
        "events": [_shown(event) for event in found.events],
        "rows": list(found.rows),
    }


@tool(category="diagnosis", effect="read", timeout_seconds=45)
async def list_indexes(*, ctx: ToolContext) -> dict[str, Any]:
    """List the indexes that logs are kept in: number of events, earliest and latest time, size, disabled or not."""
    return {"indexes": await _source(ctx).indexes()}


@tool(category="diagnosis", effect="read", timeout_seconds=45)
async def list_sourcetypes(
    index: Annotated[str, Field(min_length=1, max_length=200)], *, ctx: ToolContext
) -> dict[str, Any]:
    """List the kinds of events in an index: number, earliest and latest time.

    Args:
        index: The index, as `list_indexes` names it.
        ctx: Set by the platform.
    """
    return {"index": index, "sourcetypes": await _source(ctx).sourcetypes(index)}


@tool(category="diagnosis", effect="read", timeout_seconds=30)
async def get_current_user(*, ctx: ToolContext) -> dict[str, Any]:
    """Say as whom logs are read: name, roles, capabilities and, where known, the indexes open to that user."""
    return {"user": await _source(ctx).current_user()}


@tool(category="diagnosis", effect="read", timeout_seconds=45)
async def log_source_health(*, ctx: ToolContext) -> dict[str, Any]:
    """Say whether the log source can be reached, and how each of its own checks came out."""
    health = await _source(ctx).health()
    return {"source": health.source, "is_ok": health.is_ok, "version": health.version, "checks": health.checks}


@tool(category="diagnosis", effect="read", timeout_seconds=30)
async def check_license(*, ctx: ToolContext) -> dict[str, Any]:
    """Say under which licence and edition the log source works, and whether it needs one at all."""
    health = await _source(ctx).health()
    return {"source": health.source, "version": health.version, "license": health.license}


def _source(ctx: ToolContext) -> LogSource:
    source = ctx.resources.get(RESOURCE)
    if not isinstance(source, LogSource):
        raise NoLogSource
    return source


def _shown(event: LogEvent) -> dict[str, object]:
    return {
        "time": event.time,
        "index": event.index,
        "sourcetype": event.sourcetype,
        "source": event.source,
        "host": event.host,
        "text": event.text[:_MOST_TEXT],
    }
