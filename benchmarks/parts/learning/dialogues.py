"""Recorded dialogues in free language: how much of them repeats, and what fetching reads beforehand could save.

No tool runs here and no model answers: what a saving is estimated from is told row by row.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from benchmarks.parts.learning.rows import Row, Values
from support.learning_bed.airline import airline_runs
from support.learning_bed.public_data import public_path

from evolvent.events.language.learning.clauses import SCRATCH_TOOLS
from evolvent.events.language.learning.induced import NotLearnt
from evolvent.events.language.learning.learner import LearningRules, propose
from evolvent.events.language.learning.library import Library, Served
from evolvent.events.language.learning.run_shapes import (
    collapsed_sequence,
    effect_slice,
    provenance_shares,
    raw_sequence,
    repeated_share,
    write_set,
)
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.templates import compile_small_talk
from evolvent.events.language.learning.traces import Trace
from evolvent.events.language.tools import Effect

_FILE = "airline-runs/airline_gpt-4o_200runs.json.gz"
_READS = ("get_", "search_", "list_")
_MIN_RUNS = 3
_HAND_OVER = "transfer_to_human_agents"
_MIN_SHARE = 0.5
Message = Mapping[str, Any]
Rule = tuple[str, str, str, str]
"""After tool A, for each value at this path of its result, tool B with that value as this argument."""


def shapes() -> Row:
    """How many of the recorded runs do what others did, by four notions of the same; where arguments came from."""
    traces = [_without_handing_over(run.trace) for run in airline_runs()]
    said, read, nowhere = provenance_shares(traces, SCRATCH_TOOLS | {_HAND_OVER})
    values: Values = {
        "runs": len(traces),
        "raw_share": round(repeated_share(traces, raw_sequence), 3),
        "collapsed_share": round(repeated_share(traces, collapsed_sequence), 3),
        "effect_slice_share": round(repeated_share(traces, effect_slice), 3),
        "write_set_share": round(repeated_share(traces, write_set), 3),
        "arguments_from_request_share": round(said, 3),
        "arguments_from_results_share": round(read, 3),
        "arguments_from_nowhere_share": round(nowhere, 3),
    }
    return Row("shapes", "offline", values, bed="airline")


def _without_handing_over(trace: Trace) -> Trace:
    """The trace with what changes no record as no write: to call a person."""
    calls = (replace(call, effect=Effect.READ) if call.name == _HAND_OVER else call for call in trace.calls)
    return replace(trace, calls=tuple(calls))


def full_serves() -> Row:
    """Learn from half of the dialogues, whatever came of them, and offer the other half: what would be served whole?

    Tasks are dealt to the halves, not runs, and nothing tells which runs were wrong: every serve would be a guess.
    """
    runs = airline_runs()
    store, rules = SignatureStore(), LearningRules(window=timedelta(days=3650), min_principals_writes=1)
    learnt = [run.trace for run in runs if run.task_id % 2 == 0]
    asked = [run.trace for run in runs if run.task_id % 2]
    for trace in learnt:
        store.add(trace)
    found = [propose(store, name, rules, now=learnt[-1].ended_at or airline_start()) for name in store.signatures()]
    live = [each.automation for each in found if not isinstance(each, NotLearnt)]
    library = Library.of(live, compile_small_talk(store, learnt[0].scope))
    served = [trace for trace in asked if isinstance(library.serve(trace.message, trace.scope), Served)]
    values: Values = {"learnt_from": len(learnt), "asked": len(asked), "automations": len(live), "served": len(served)}
    return Row("free_language", "offline", values | {"wrong": len(served)}, bed="airline")


def airline_start() -> Any:
    """When the first recorded run is said to have begun."""
    return airline_runs()[0].trace.started_at


def prefetching() -> Row:
    """What fetching reads beforehand could save, learnt from half of the tasks and counted on the others.

    A rule says: after tool A, call B for each value at a path of A's result; learnt where in three runs or more, and
    in half of those with A, B was called with such a value. Saved is a model call that asked only for reads that were
    fetched already; every result fetched and never asked for is paid in each prompt after it. Ceiling: all model
    calls after a tool's result that asked only for reads.
    """
    with gzip.open(public_path(_FILE), "rt", encoding="utf-8") as file:
        raw = json.load(file)
    rules = learnt_rules([each["traj"] for each in raw if each["task_id"] % 2 == 0])
    total = ceiling = saved = paid = skipped = fetched = used = 0
    for each in raw:
        if each["task_id"] % 2 == 0:
            continue
        run = _Run(each["traj"], rules)
        total += run.total
        ceiling += run.ceiling
        saved += run.saved
        paid += run.paid
        skipped += run.skipped
        fetched += run.fetched
        used += run.used
    values: Values = {
        "rules": len(rules),
        "tokens": total,
        "read_after_tool_share": round(ceiling / total, 4),
        "model_calls_saved": skipped,
        "fetched": fetched,
        "fetched_and_used": used,
        "tokens_saved": round((saved - paid) / total, 4),
    }
    return Row("prefetch", "offline", values, bed="airline", details={"estimated": True, "tokens_paid": paid})


def learnt_rules(dialogues: Sequence[Sequence[Message]]) -> frozenset[Rule]:
    """Which reads follow which, with which of their values."""
    had: Counter[str] = Counter()
    shown: Counter[Rule] = Counter()
    for messages in dialogues:
        steps = list(_steps(messages))
        had.update({name for name, _, _ in steps})
        found: set[Rule] = set()
        for at, (name, arguments, _) in enumerate(steps):
            if name.startswith(_READS) and len(arguments) == 1:
                ((argument, value),) = arguments.items()
                for before, _, result in steps[:at]:
                    found |= {(before, path, name, argument) for path, leaf in _leaves(result) if leaf == value}
        shown.update(found)
    return frozenset(rule for rule, count in shown.items() if count >= _MIN_RUNS and count >= _MIN_SHARE * had[rule[0]])


class _Run:
    """One dialogue gone through again with reads fetched beforehand."""

    def __init__(self, messages: Sequence[Message], rules: frozenset[Rule]) -> None:
        self.total = self.ceiling = self.saved = self.paid = self.skipped = self.fetched = self.used = 0
        results = {(name, json.dumps(arguments)): result for name, arguments, result in _steps(messages)}
        by_id = _results(messages)
        known: dict[tuple[str, str], int] = {}
        mean = sum(len(json.dumps(each)) for each in results.values()) // max(1, len(results))
        chars = waste = 0
        follows_tool = False
        for message in messages:
            size = _size(message)
            if message["role"] == "assistant":
                cost = -(-chars // 4) - (-size // 4)
                self.total += cost
                calls = [_call(call) for call in message.get("tool_calls") or ()]
                reads_only = bool(calls) and all(name.startswith(_READS) for name, _ in calls)
                wanted = [(name, json.dumps(arguments)) for name, arguments in calls]
                self.ceiling += cost if reads_only and follows_tool else 0
                if reads_only and all(each in known for each in wanted):
                    self.saved += cost
                    self.skipped += 1
                else:
                    self.paid += waste // 4
                for each in wanted:
                    if each in known:
                        self.used += 1
                        waste -= known.pop(each)
            elif message["role"] == "tool":
                for each in _fetches(by_id[message["tool_call_id"]], rules):
                    if each not in known:
                        known[each] = len(json.dumps(results[each])) if each in results else mean
                        waste += known[each]
                        self.fetched += 1
            follows_tool = message["role"] == "tool"
            chars += size


def _fetches(step: tuple[str, Any], rules: frozenset[Rule]) -> set[tuple[str, str]]:
    name, result = step
    wanted: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for before, path, tool, argument in rules:
        if before == name:
            wanted[path].append((tool, argument))
    return {
        (tool, json.dumps({argument: leaf}))
        for path, leaf in _leaves(result)
        for tool, argument in wanted.get(path, ())
    }


def _steps(messages: Sequence[Message]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    answers = {m["tool_call_id"]: _parsed(m.get("content") or "") for m in messages if m["role"] == "tool"}
    for message in messages:
        for call in message.get("tool_calls") or ():
            name, arguments = _call(call)
            yield name, arguments, answers.get(call["id"])


def _results(messages: Sequence[Message]) -> dict[str, tuple[str, Any]]:
    names = {c["id"]: c["function"]["name"] for m in messages for c in m.get("tool_calls") or ()}
    return {
        m["tool_call_id"]: (names[m["tool_call_id"]], _parsed(m.get("content") or ""))
        for m in messages
        if m["role"] == "tool"
    }


def _call(call: Message) -> tuple[str, dict[str, Any]]:
    arguments = _parsed(call["function"]["arguments"])
    return str(call["function"]["name"]), arguments if isinstance(arguments, dict) else {}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values of a result with their paths; places in lists are all called `*`."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{path}.*")
    elif isinstance(value, str):
        yield path, value


def _size(message: Message) -> int:
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    return len(message.get("content") or "") + sum(len(f["name"]) + len(f["arguments"]) for f in functions)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
