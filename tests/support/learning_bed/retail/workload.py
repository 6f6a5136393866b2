"""The public requests to the shop with what was recorded of them, the agents that carry them out, and their slips."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.learning_bed.agent import Log, ScriptedAgent, leaves
from support.learning_bed.database import Base
from support.learning_bed.requests import BedRequest, Closing, Script
from support.learning_bed.retail import tools, world
from support.learning_bed.retail.grammar import GRAMMAR, REASONS, plan_of
from support.learning_bed.world import Ask, World


def the_world(base: Base | None = None) -> World:
    """The shop.

    Raises:
        DataAbsent: If its data is not here.
    """
    policy = (world.data_folder() / "policy.md").read_text(encoding="utf-8")
    return World.of(world.NAME, base or world.base(), tools, policy)


@functools.cache
def public_requests(data: Path | None = None) -> tuple[BedRequest, ...]:
    """The public requests, with what is expected of them as published."""
    with gzip.open(world.data_folder(data) / "requests.jsonl.gz", "rt", encoding="utf-8") as file:
        raw = [json.loads(line) for line in file]
    return tuple(_public(each) for each in raw)


@functools.cache
def recorded_calls(data: Path | None = None) -> Mapping[str, tuple[Ask, ...]]:
    """The calls of each public request as they were recorded, by its id."""
    return {name: tuple(ask for ask, _ in steps) for name, steps in recordings(data).items()}


@functools.cache
def recordings(data: Path | None = None) -> Mapping[str, tuple[tuple[Ask, Any], ...]]:
    """The calls of each public request with their recorded results; a failed one has a text with `Error`."""
    with gzip.open(world.data_folder(data) / "requests.jsonl.gz", "rt", encoding="utf-8") as file:
        raw = [json.loads(line) for line in file]
    return {
        each["id"]: tuple((Ask(c["name"], c["arguments"]), _read(c["result"])) for c in each["scripted_trace"])
        for each in raw
    }


def _public(raw: Mapping[str, Any]) -> BedRequest:
    plan = plan_of(raw["request"], raw["user_id"])
    return BedRequest(
        raw["id"],
        raw["request"],
        {table: records for table, records in raw["gold_state_diff"].items() if records},
        plan,
        user_id=raw["user_id"],
        writes=len(raw["gold_actions"]),
        intents=tuple(clause.intent.name for clause in plan.clauses),
    )


def careful_agent() -> ScriptedAgent:
    """The agent that follows the policy, for every request of the grammar."""
    return ScriptedAgent(GRAMMAR.script, alternatives=slips)


def recording_agent(data: Path | None = None) -> ScriptedAgent:
    """The agent that repeats what was recorded for the public requests, with live values in place of recorded ones."""
    steps = recordings(data)
    return ScriptedAgent(lambda request: replayed(steps[request.request_id]), alternatives=slips)


def replayed(steps: Sequence[tuple[Ask, Any]]) -> Script:
    """Repeat recorded calls; where a live result has other values, they go on in place of the recorded ones."""
    bound: dict[str, Any] = {}
    for number, (recorded, result) in enumerate(steps):
        seen = yield Ask(recorded.name, _rebound(recorded.arguments, bound))
        had_failed = isinstance(result, str) and result.startswith("Error")
        if (seen.error is not None) != had_failed:
            text = "I could not finish this." if seen.error else "This is done."
            return Closing(text, f"call {number} ({recorded.name}) ended otherwise than recorded: {seen.message}")
        if not had_failed and seen.result != result and not _bind(result, seen.result, bound):
            return Closing("I could not finish this.", f"call {number} ({recorded.name}) returned another shape")
    return Closing("This is done.")


def slips(shop: World, call: Ask, name: str, log: Log) -> Sequence[Any]:
    """What a careless agent mixes up: the reason, the payment method, or an item."""
    tables = shop.base.tables
    order = tables["orders"].get(str(call.arguments.get("order_id")))
    value = call.arguments[name]
    if name == "reason":
        return REASONS
    if order is None:
        return ()
    if name == "payment_method_id":
        return sorted(tables["users"].get(order["user_id"], {}).get("payment_methods", ()))
    if name == "item_ids" and isinstance(value, list):
        others = [item["item_id"] for item in order["items"] if item["item_id"] not in value]
        return [[*value[:-1], other] for other in others]
    if name == "new_item_ids" and isinstance(value, list):
        seen = {leaf for _, each in log if isinstance(each.result, dict) for leaf in leaves(each.result)}
        variants = tables["products"].values()
        holder: dict[str, Any] = next((p["variants"] for p in variants if value[-1] in p["variants"]), {})
        return [[*value[:-1], other] for other in holder if other in seen]
    return ()


def _rebound(value: Any, bound: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _rebound(item, bound) for name, item in value.items()}
    if isinstance(value, list):
        return [_rebound(item, bound) for item in value]
    return bound.get(value, value) if isinstance(value, str) else value


def _bind(recorded: Any, live: Any, bound: dict[str, Any]) -> bool:
    """Note which live value stands where a recorded one stood; False where the shapes differ."""
    if isinstance(recorded, dict):
        if not isinstance(live, dict) or recorded.keys() != live.keys():
            return False
        return all(_bind(recorded[name], live[name], bound) for name in recorded)
    if isinstance(recorded, list):
        if not isinstance(live, list) or len(recorded) != len(live):
            return False
        return all(_bind(old, new, bound) for old, new in zip(recorded, live, strict=True))
    if isinstance(recorded, str) and recorded != live:
        bound[recorded] = live
    return True


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
