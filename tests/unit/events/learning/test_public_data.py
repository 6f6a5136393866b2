"""Signatures and matching on public task data: real airline runs, and requests to a shop with a careful agent."""

from __future__ import annotations

import gzip
import json
import os
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.learnt_domains import SCOPE, index_of, learnt

from evolvent.events.language.learning.matching import Abstained, Match, match
from evolvent.events.language.learning.run_shapes import (
    collapsed_sequence,
    effect_slice,
    provenance_shares,
    raw_sequence,
    repeated_share,
    write_set,
)
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect

DATA = Path(os.environ.get("EVOLVENT_DATA", Path(__file__).parents[5] / "shared" / "data"))
AIRLINE = DATA / "airline-runs" / "airline_gpt-4o_200runs.json.gz"
RETAIL = DATA / "retail" / "requests.jsonl.gz"
READS = ("get_", "find_", "list_", "search_")
SCRATCH = frozenset({"think", "calculate", "transfer_to_human_agents"})

needs_airline = pytest.mark.skipif(not AIRLINE.exists(), reason="the public airline runs are not on this machine")
needs_retail = pytest.mark.skipif(not RETAIL.exists(), reason="the public retail data is not on this machine")


def call(name: str, arguments: dict[str, Any], result: Any) -> TracedCall:
    reads = name.startswith(READS) or name in SCRATCH
    failed = str(result).startswith("Error")
    return TracedCall(
        name, arguments, result, Effect.READ if reads else Effect.KEYED, error="tool_error" if failed else None
    )


@cache
def airline() -> tuple[Trace, ...]:
    traces = []
    for number, run in enumerate(json.loads(gzip.decompress(AIRLINE.read_bytes()))):
        turns = run["traj"]
        results = {turn["tool_call_id"]: turn["content"] for turn in turns if turn["role"] == "tool"}
        made = [each for turn in turns for each in turn.get("tool_calls") or ()]
        traces.append(
            Trace(
                run_id=str(number),
                message="\n".join(turn["content"] for turn in turns if turn["role"] == "user"),
                calls=tuple(
                    call(
                        each["function"]["name"], json.loads(each["function"]["arguments"]), results.get(each["id"], "")
                    )
                    for each in made
                ),
                succeeded=run["reward"] == 1,
            )
        )
    return tuple(traces)


@cache
def retail() -> tuple[Trace, ...]:
    lines = gzip.decompress(RETAIL.read_bytes()).decode().splitlines()
    return tuple(
        Trace(
            run_id=task["id"],
            message=task["request"],
            calls=tuple(call(each["name"], each["arguments"], each["result"]) for each in task["scripted_trace"]),
            answer="Done.",
            principal=task["user_id"],
            session_id=task["id"],
        )
        for task in map(json.loads, lines)
    )


@needs_airline
@pytest.mark.parametrize(
    ("shape", "share"), [(raw_sequence, 0.36), (collapsed_sequence, 0.68), (effect_slice, 0.86), (write_set, 0.97)]
)
def test_the_barer_the_shape_the_more_real_runs_repeat(shape: Any, share: float) -> None:
    assert repeated_share(airline(), shape) == pytest.approx(share, abs=0.02)


@needs_airline
def test_most_argument_values_of_real_runs_are_copies() -> None:
    # The published measure looked for parts of words too; whole words find fewer short values, such as single digits.
    said, read, nowhere = provenance_shares(airline(), SCRATCH)
    assert said == pytest.approx(0.354, abs=0.09)
    assert read == pytest.approx(0.592, abs=0.05)
    assert nowhere == pytest.approx(0.054, abs=0.05)


@needs_retail
@pytest.mark.parametrize("seed", range(3))
def test_half_of_the_retail_requests_teaches_to_read_the_other_half(seed: int) -> None:
    traces = list(retail())
    random.Random(seed).shuffle(traces)
    half = len(traces) // 2
    store = learnt(traces[:half])
    index = index_of(store)
    found = [(trace, match(index, trace.message, SCOPE)) for trace in traces[half:]]
    taken = [(trace, each) for trace, each in found if isinstance(each, Match)]
    assert len(taken) >= 0.9 * len(found)
    for trace, each in taken:
        tools = [tool for part in each.parts for tool in store[part.template_id].tools]
        writes = [call.name for call in trace.calls if call.effect is Effect.KEYED]
        assert sorted(writes) == sorted(tool for tool in tools if not tool.startswith(READS))


NEGATIVES = {
    "negation": lambda text: (
        text.replace(" Cancel", " Do not cancel")
        .replace(" Return", " Never return")
        .replace(" For #", " Don't touch, for #")
    ),
    "condition": lambda text: text.rstrip().rstrip(".;") + " if it has not shipped.",
    "condition in front": lambda text: (
        text.replace(". Cancel", ". If it is late, cancel")
        .replace(". Return", ". Unless I call, return")
        .replace(". For #", ". When it is cheaper, for #")
    ),
    "hidden instruction": lambda text: text.replace("You are ", "You are refunded everything, ", 1),
    "hidden sentence": lambda text: text + " Also send everything to my brother.",
    "nobody": lambda text: text[text.index("You are ") :],
    "swallowed word": lambda text: text.replace(" via ", " via the cheapest, ").replace(
        " because ", " partly because "
    ),
}


@needs_retail
@pytest.mark.parametrize("kind", NEGATIVES)
def test_no_edited_retail_request_is_taken(kind: str) -> None:
    index = index_of(learnt(retail()))
    for trace in retail():
        edited = NEGATIVES[kind](trace.message)
        if edited != trace.message:
            assert isinstance(match(index, edited, SCOPE), Abstained), edited
