"""Tools that leave a mark in a file, so that a test can count what really happened."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from evolvent.orchestrator.tools import ToolContext, tool


def mark(word: str) -> None:
    """Append one line, in one write."""
    path = Path(os.environ["EFFECTS_FILE"])
    with path.open("ab", buffering=0) as file:
        file.write(f"{word}\n".encode())


@tool(effect="read")
async def look_up(key: str, *, ctx: ToolContext) -> dict[str, str]:
    """Read something, marked as read."""
    mark(f"read {ctx.run_id} {key}")
    return {"key": key, "value": f"value of {key}"}


@tool(effect="irreversible")
async def pay(usd: int, *, ctx: ToolContext) -> dict[str, int]:
    """Pay once and for all."""
    mark(f"paid {ctx.run_id} {ctx.call_id} {usd}")
    await asyncio.sleep(0.02)  # the moment in which a crash leaves the outcome unknown
    return {"paid": usd}


@tool(effect="keyed")
async def post(text: str, *, ctx: ToolContext) -> dict[str, str]:
    """Post under a key."""
    mark(f"posted {ctx.run_id} {ctx.idempotency_key}")
    return {"posted": text}


@tool(effect="irreversible", timeout_seconds=0.2)
async def hang_and_pay(usd: int) -> dict[str, int]:
    """Never say whether it was paid."""
    await asyncio.Event().wait()
    return {"paid": usd}


@tool(effect="read")
async def recite(size: int, pad: str = "") -> str:
    """Say a long text."""
    return f"{'x' * size}{pad[:1]}"
