"""A shop's tools over a file that a test may change: orders are looked up, cancelled and refunded, each under a key."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from support.effects import mark
from support.runs import NOW

from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.learner import LearningRules, Proposal, propose
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.orchestrator.tools import ToolContext, ToolRegistry, tool

ORDERS: dict[str, dict[str, Any]] = {
    f"o-{number}": {"order_id": f"o-{number}", "status": "open", "total": 10 + number, "desk": f"desk-{number % 4}"}
    for number in range(40)
}


def world(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what the shop knows, after changing it."""
    path = Path(os.environ["EFFECTS_FILE"]).with_suffix(".json")
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"orders": ORDERS}
    if changes:
        known |= changes
        path.write_text(json.dumps(known))
    return known


@tool(effect="read")
async def find_order(order_id: str, *, ctx: ToolContext) -> dict[str, Any]:
    """Find an order."""
    mark(f"read {ctx.run_id} {order_id}")
    found: dict[str, Any] | None = world()["orders"].get(order_id)
    if found is None:
        raise LookupError(f"There is no order {order_id}.")
    return found


@tool(effect="keyed")
async def cancel_order(order_id: str, *, ctx: ToolContext) -> dict[str, str]:
    """Cancel an order."""
    mark(f"cancelled {ctx.run_id} {order_id} {ctx.idempotency_key}")
    await asyncio.sleep(0.02)  # the moment in which a crash leaves the outcome unknown
    return {"order_id": order_id, "status": "cancelled"}


@tool(effect="keyed")
async def refund(order_id: str, usd: int, *, ctx: ToolContext) -> dict[str, Any]:
    """Pay an order back."""
    if world().get("till") == "closed":
        raise RuntimeError("The till is closed.")
    mark(f"refunded {ctx.run_id} {order_id} {usd} {ctx.idempotency_key}")
    await asyncio.sleep(0.02)
    return {"order_id": order_id, "refunded": usd}


def registry() -> ToolRegistry:
    """Return a registry with these tools."""
    made = ToolRegistry()
    made.load_modules(["support.orders"])
    return made


def cancelling(number: int, *, spec_hash: str = "", agent_id: str = "clerk", **more: Any) -> Trace:
    """Return a run in which the agent cancelled an order and paid it back."""
    order = ORDERS[f"o-{number}"]
    name, usd = order["order_id"], order["total"]
    done = {"order_id": name, "status": "cancelled"}
    calls = (
        _call("find_order", {"order_id": name}, order),
        _call("cancel_order", {"order_id": name}, done),
        _call("refund", {"order_id": name, "usd": usd}, {"order_id": name, "refunded": usd}),
    )
    answer = f"Order {name} is cancelled and {usd} USD are paid back."
    return _trace(number, f"Please cancel order {name} and pay it back.", calls, answer, agent_id, spec_hash, **more)


def asking(number: int, *, spec_hash: str = "", agent_id: str = "clerk", **more: Any) -> Trace:
    """Return a run in which the agent told where an order is."""
    order = ORDERS[f"o-{number}"]
    calls = (_call("find_order", {"order_id": order["order_id"]}, order),)
    answer = f"Order {order['order_id']} is at {order['desk']}."
    return _trace(number, f"Where is order {order['order_id']}?", calls, answer, agent_id, spec_hash, **more)


def learnt(*traces: Trace, tools: dict[str, ToolSpec] | None = None) -> list[Automation]:
    """Return what these runs teach."""
    store = SignatureStore()
    for trace in traces:
        store.add(trace)
    rules = LearningRules(min_principals_writes=1)
    found = [propose(store, each, rules, now=NOW, tools=tools) for each in store.signatures()]
    return [each.automation for each in found if isinstance(each, Proposal)]


def _call(name: str, arguments: dict[str, Any], result: Any) -> TracedCall:
    spec = registry().get(name).spec
    return TracedCall(name, arguments, result, Effect(spec.effect), schema_hash=spec.schema_hash)


def _trace(
    number: int, message: str, calls: tuple[TracedCall, ...], answer: str, agent_id: str, spec_hash: str, **more: Any
) -> Trace:
    return Trace(
        run_id=f"{number:08d}-0000-4000-8000-{len(calls):012d}",
        message=message,
        calls=calls,
        answer=answer,
        agent_id=agent_id,
        spec_hash=spec_hash,
        principal=f"person-{number}",
        session_id=f"session-{number}",
        started_at=NOW,
        **more,
    )
