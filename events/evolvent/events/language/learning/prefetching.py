"""Reads that free language always begins with: an order's number in the text means that the order will be looked up.

Where no automation serves it, the ids and addresses in it still prove what will be read first. Those reads, never
a write, are made before the model is asked, and it starts from their results.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.language.json_bounds import structured
from evolvent.events.language.learning.nodes import Const, Keys, Output, Program, as_json
from evolvent.events.language.learning.slot_types import SlotType, learn_slot
from evolvent.events.language.learning.tokens import MAX_TEXT, Token, phrase, tokenize
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.learning.values import leaves
from evolvent.events.language.tools import Effect
from evolvent.events.language.workflow import WORKFLOW_TIMEOUT_SECONDS, Task, TaskKind, Workflow

MIN_RUNS = 3
SHARE = 0.7
"""The share of the runs with such an id, or such a result, that must have read on from it."""
MAX_READS = 12
_KINDS = frozenset({"id", "email"})
_READ = frozenset({Effect.PURE, Effect.READ})
_ANSWER, _TAKEOVER = "answer", "takeover"


@dataclass(frozen=True, slots=True)
class Link:
    """A read with one argument. It comes from a token of the request (`said`), or from a part of another read."""

    tool: str
    argument: str
    said: SlotType | None = None
    after: str = ""
    path: Keys = ()


@dataclass(frozen=True, slots=True)
class Chains:
    """The reads that the runs of a scope began with, each after those it needs."""

    scope: tuple[str, str]
    links: tuple[Link, ...] = ()


@dataclass
class _Seen:
    texts: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)


def learn_chains(traces: Iterable[Trace], scope: tuple[str, str]) -> Chains:
    """Learn from the successful runs of a scope which reads always follow from what stands in the request."""
    good = [each for each in traces if each.scope == scope and each.succeeded and each.outcome is not False]
    links = [*_said_links(good)]
    known = {link.tool for link in links}
    for _ in range(3):
        more = [link for link in _read_links(good, known) if link.tool not in known]
        if not more:
            break
        links += more
        known |= {link.tool for link in more}
    return Chains(scope, tuple(links))


def prefetch(chains: Chains, message: str) -> Workflow | None:
    """Return the workflow that reads what the request's ids prove and then asks the agent; None if they prove none."""
    if len(message) > MAX_TEXT:
        return None
    tasks: list[Task] = []
    made: dict[str, list[str]] = defaultdict(list)
    for link in chains.links:
        for program, needs in _starts(link, message, made):
            if len(tasks) == MAX_READS:
                break
            task_id = f"r{len(tasks)}_{link.tool}"
            bindings = {link.argument: as_json(program)}
            tasks.append(
                Task(task_id=task_id, kind=TaskKind.TOOL, tool=link.tool, bindings=bindings, dependencies=needs)
            )
            made[link.tool].append(task_id)
    if not tasks:
        return None
    agent_id = chains.scope[1]
    reads = tuple(task.task_id for task in tasks)
    answer = Task(
        task_id=_ANSWER,
        agent_id=agent_id,
        dependencies=reads,
        timeout_seconds=WORKFLOW_TIMEOUT_SECONDS,
        is_primed=True,
    )
    return Workflow(
        name="prefetch",
        tasks=(*tasks, answer),
        output=f"${{tasks.{_ANSWER}.output}}",
        takeover=Task(task_id=_TAKEOVER, agent_id=agent_id, timeout_seconds=WORKFLOW_TIMEOUT_SECONDS, is_primed=True),
    )


def _starts(link: Link, message: str, made: dict[str, list[str]]) -> Iterator[tuple[Program, tuple[str, ...]]]:
    if link.said is None:
        for source in list(made.get(link.after, ())):
            yield Output(step=source, path=link.path), (source,)
        return
    for token in {token.value: token for token in tokenize(message) if _fits(link.said, token)}.values():
        # The text is the user's own: it is copied into one typed argument, and nowhere else.
        yield Const(value=token.value), ()


def _said_links(traces: Sequence[Trace]) -> Iterator[Link]:
    found: dict[tuple[str, str], _Seen] = defaultdict(_Seen)
    for trace in traces:
        tokens = {token.value for token in tokenize(trace.message[:MAX_TEXT]) if token.kind in _KINDS}
        for call, name, value in _single(trace):
            if value in tokens:
                seen = found[call.name, name]
                seen.texts.append(value)
                seen.runs.add(trace.run_id)
    for (tool, argument), seen in sorted(found.items()):
        said = learn_slot(seen.texts)
        if len(seen.runs) < MIN_RUNS or not said.kinds:
            continue
        having = [t for t in traces if any(_fits(said, token) for token in tokenize(t.message[:MAX_TEXT]))]
        if len(seen.runs) >= SHARE * len(having):
            yield Link(tool, argument, said)


def _read_links(traces: Sequence[Trace], known: set[str]) -> list[Link]:
    made: Counter[Link] = Counter()
    having: Counter[str] = Counter()
    for trace in traces:
        mine: set[Link] = set()
        results = [(call.name, structured(call.result)) for call in trace.calls if call.error is None]
        having.update({name for name, _ in results if name in known})
        for call, name, value in _single(trace):
            places = ((source, path) for source, result in results if source in known for path in _paths(result, value))
            mine |= {Link(call.name, name, None, source, path) for source, path in places if source != call.name}
        made.update(mine)
    ranked = sorted(made.items(), key=lambda item: (-item[1], len(item[0].path), repr(item[0])))
    first: dict[str, Link] = {}
    for link, count in ranked:
        if count >= max(MIN_RUNS, SHARE * having[link.after]):
            first.setdefault(link.tool, link)
    return list(first.values())


def _paths(result: Any, value: str) -> list[Keys]:
    found = leaves(result, limit=200)
    return [path for path, leaf in found if leaf == value and not any(isinstance(step, int) for step in path)][:4]


def _single(trace: Trace) -> Iterator[tuple[TracedCall, str, str]]:
    """Yield the reads with exactly one argument, a text; what the web says is no place to begin."""
    for call in trace.calls:
        if call.error is None and call.effect in _READ and call.origin == "tool" and len(call.arguments) == 1:
            name, value = next(iter(call.arguments.items()))
            if isinstance(value, str) and phrase(value).strip():
                yield call, name, value


def _fits(said: SlotType, token: Token) -> bool:
    return token.kind in said.kinds and (not said.pattern or re.fullmatch(said.pattern, token.value) is not None)
