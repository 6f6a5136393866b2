"""Real runs of a model on 50 airline tasks, four each, as traces. No tools run; more than half of the runs are wrong.

They are dialogues, and a trace has one message: what the user said, joined by line ends. Outcomes stay hidden unless
asked for.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from support.learning_bed import public_data
from support.learning_bed.offline import START
from support.learning_bed.public_data import public_path

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect
from evolvent.platform.scripted_model.chat import parse_json

_FILE = "airline-runs/airline_gpt-4o_200runs.json.gz"
_PURE = frozenset({"calculate", "think"})
_READS = ("get_", "search_", "list_")
_IRREVERSIBLE = frozenset({"transfer_to_human_agents", "send_certificate"})
_STOP = "###STOP###"


@dataclass(frozen=True, slots=True)
class AirlineRun:
    """A recorded run: which task, which of its four trials, and whether it was right."""

    task_id: int
    trial: int
    is_right: bool
    trace: Trace


def is_there(data: Path | None = None) -> bool:
    """Say whether the data is here."""
    return public_data.is_there(_FILE, data)


def airline_runs(data: Path | None = None, *, with_outcomes: bool = False) -> tuple[AirlineRun, ...]:
    """Read all 200 runs.

    Raises:
        DataAbsent: If the data is not here.
    """
    with gzip.open(public_path(_FILE, data), "rt", encoding="utf-8") as file:
        return tuple(_run(raw, with_outcomes=with_outcomes) for raw in json.load(file))


def _run(raw: Mapping[str, Any], *, with_outcomes: bool) -> AirlineRun:
    messages = raw["traj"]
    results = {m["tool_call_id"]: m.get("content") or "" for m in messages if m["role"] == "tool"}
    calls = tuple(
        _call(call["function"], results.get(call["id"], ""))
        for message in messages
        for call in message.get("tool_calls") or ()
    )
    said = [m["content"] for m in messages if m["role"] == "user" and m.get("content") and _STOP not in m["content"]]
    answers = [m["content"] for m in messages if m["role"] == "assistant" and m.get("content")]
    prompt, completion, turns = _tokens(messages)
    is_right = raw["reward"] == 1.0
    number = 4 * raw["task_id"] + raw["trial"]
    user = str(raw["info"]["task"]["user_id"])
    trace = Trace(
        run_id=f"airline-{raw['task_id']:02d}-{raw['trial']}",
        message="\n".join(said),
        calls=calls,
        answer=answers[-1] if answers else None,
        outcome=is_right if with_outcomes else None,
        goal="airline",
        agent_id="airline",
        principal=user,
        user_id=user,
        session_id=f"airline-{number}",
        prompt_tokens=prompt,
        completion_tokens=completion,
        model_calls=turns,
        started_at=START + timedelta(minutes=number),
        ended_at=START + timedelta(minutes=number + 1),
    )
    return AirlineRun(raw["task_id"], raw["trial"], is_right, trace)


def _call(function: Mapping[str, Any], text: str) -> TracedCall:
    name, arguments = str(function["name"]), parse_json(function["arguments"])
    had_failed = text.startswith("Error")
    return TracedCall(
        name,
        arguments if isinstance(arguments, dict) else {},
        None if had_failed else parse_json(text),
        _effect(name),
        "tool.failed" if had_failed else None,
        content_hash([name]),
    )


def _effect(name: str) -> Effect:
    if name in _PURE:
        return Effect.PURE
    if name.startswith(_READS):
        return Effect.READ
    return Effect.IRREVERSIBLE if name in _IRREVERSIBLE else Effect.KEYED


def _tokens(messages: list[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Prompt tokens, completion tokens and model calls, by characters divided by four."""
    before = prompt = completion = turns = 0
    for message in messages:
        functions = [call["function"] for call in message.get("tool_calls") or ()]
        chars = len(message.get("content") or "") + sum(len(f["name"]) + len(f["arguments"]) for f in functions)
        if message["role"] == "assistant":
            turns += 1
            prompt += -(-before // 4)
            completion += -(-chars // 4)
        before += chars
    return prompt, completion, turns
