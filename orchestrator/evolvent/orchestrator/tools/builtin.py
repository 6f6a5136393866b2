"""Built-in tools that need no settings: JSON, numbers, and the machine's own load."""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from typing import Annotated, Any

import psutil
from pydantic import Field, JsonValue
from pydantic_core import from_json

from evolvent.orchestrator.tools.context import ToolContext
from evolvent.orchestrator.tools.decorator import tool
from evolvent.orchestrator.tools.refusals import BadArguments

_MOST_CHARACTERS = 200_000
_MOST_VALUES = 20_000
_CPU_SAMPLE_SECONDS = 0.1


@tool(category="data_processing", effect="pure", timeout_seconds=5)
async def json_parse(text: Annotated[str, Field(max_length=_MOST_CHARACTERS)]) -> Any:
    """Turn JSON text into data.

    Args:
        text: The JSON document.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise BadArguments(f"The text is not JSON: {error}. Correct it and call again.") from None


@tool(category="data_processing", effect="pure", timeout_seconds=5)
async def json_stringify(value: JsonValue, indent: Annotated[int | None, Field(ge=0, le=8)] = None) -> str:
    """Turn data into JSON text, with sorted keys.

    Args:
        value: Any JSON data.
        indent: Spaces for each level; none for one line.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=indent)


@tool(category="analysis", effect="pure", timeout_seconds=5)
async def calculate_metrics(
    values: Annotated[list[float], Field(min_length=1, max_length=_MOST_VALUES)],
) -> dict[str, float | int]:
    """Describe numbers: count, sum, mean, median, min, max, stdev (of a sample) and p95 (interpolated).

    Args:
        values: The numbers.
    """
    ordered = sorted(values)
    count, total = len(ordered), math.fsum(ordered)
    mean = total / count
    position = 0.95 * (count - 1)
    below = ordered[math.floor(position)]
    above = ordered[math.ceil(position)]
    squares = math.fsum((value - mean) ** 2 for value in ordered)
    return {
        "count": count,
        "sum": total,
        "mean": mean,
        "median": statistics.median(ordered),
        "min": ordered[0],
        "max": ordered[-1],
        "stdev": math.sqrt(squares / (count - 1)) if count > 1 else 0.0,
        "p95": below + (above - below) * (position - math.floor(position)),
    }


@tool(category="monitoring", effect="read", timeout_seconds=10)
def system_resources(*, ctx: ToolContext) -> dict[str, Any]:
    """Measure this machine: processors, memory, disk, load and uptime."""
    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(ctx.folders[0]) if ctx.folders else "/")
    return {
        "cpu_percent": psutil.cpu_percent(interval=_CPU_SAMPLE_SECONDS),
        "cpu_count": os.cpu_count(),
        "load_1m_5m_15m": [round(load, 2) for load in os.getloadavg()],
        "memory_total_bytes": memory.total,
        "memory_available_bytes": memory.available,
        "memory_percent": memory.percent,
        "disk_total_bytes": disk.total,
        "disk_free_bytes": disk.free,
        "disk_percent": disk.percent,
        "uptime_seconds": round(time.time() - psutil.boot_time()),
    }
