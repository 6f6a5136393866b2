"""Reads that free language always begins with: an order's number in the text means that the order will be looked up.

Where no automation serves it, the ids and addresses in it still prove what will be read first. Those reads, never
a write, are made before the model is asked, and it starts from their results.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from evolvent.events.language.json_bounds import structured
from evolvent.events.language.learning.nodes import Const, Keys, Output, Program, as_json
from evolvent.events.language.learning.slot_types import SlotType, learn_slot
from evolvent.events.language.learning.tokens import MAX_TEXT, Token, phrase, tokenize
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.learning.values import leaves
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.language.workflow import Task, TaskKind, Workflow, single_agent

MIN_RUNS = 3
SHARE = 0.7
"""The share of the runs with such an id, or such a result, that must have read on from it."""
MAX_READS = 12
READ_SECONDS = 10.0
"""How long such a read may take, for the agent waits for it."""
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
    schemas: tuple[tuple[str, str], ...] = ()
    """Each tool with the hash of its schema when it was last called."""


_CHAINS = TypeAdapter(Chains)


@dataclass
class _Seen:
    texts: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    principals: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Wanted:
    runs: int
    principals: int


def learn_chains(
    traces: Iterable[Trace], scope: tuple[str, str], *, min_runs: int = MIN_RUNS, min_principals: int = 1
) -> Chains:
    """Learn from the successful runs of a scope which reads always follow from what stands in the request."""
    good = [each for each in traces if each.scope == scope and each.succeeded and each.outcome is not False]
    wanted = _Wanted(min_runs, min_principals)
    links = [*_said_links(good, wanted)]
    known = {link.tool for link in links}
    for _ in range(3):
        more = [link for link in _read_links(good, known, wanted) if link.tool not in known]
        if not more:
            break
        links += more
        known |= {link.tool for link in more}
    used = {link.tool for link in links}
    schemas = {call.name: call.schema_hash for trace in good for call in trace.calls if call.name in used}
    return Chains(scope, tuple(links), tuple(sorted(schemas.items())))


def usable(chains: Chains, tools: Mapping[str, ToolSpec]) -> Chains:
    """Return the chains without what tools no longer allow: gone, changed, no reads any more, or out of the web."""
    schemas = dict(chains.schemas)
    held: set[str] = set()
    for link in chains.links:
        spec, known = tools.get(link.tool), schemas.get(link.tool, "")
        if spec is None or spec.effect not in _READ or spec.origin != "tool" or known not in ("", spec.schema_hash):
            continue
        if link.said is not None or link.after in held:
            held.add(link.tool)
    return replace(chains, links=tuple(link for link in chains.links if link.tool in held))


def chains_as_json(chains: Chains) -> dict[str, Any]:
    """Return chains as JSON data."""
    document: dict[str, Any] = _CHAINS.dump_python(chains, mode="json")
    return document


def parse_chains(document: object) -> Chains:
    """Read chains back.

    Raises:
        ValidationError: they are none.
    """
    return _CHAINS.validate_python(document)


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
            tasks.append(_read(task_id, link.tool, bindings, needs))
            made[link.tool].append(task_id)
    if not tasks:
        return None
    agent_id = chains.scope[1]
    reads = tuple(task.task_id for task in tasks)
    (plain,) = single_agent(agent_id).tasks
    answer = plain.model_copy(update={"task_id": _ANSWER, "dependencies": reads, "is_primed": True})
    return Workflow(
        name="prefetch",
        tasks=(*tasks, answer),
        output=f"${{tasks.{_ANSWER}.output}}",
        takeover=plain.model_copy(update={"task_id": _TAKEOVER, "is_primed": True}),
    )


def _read(task_id: str, tool: str, bindings: dict[str, Any], needs: tuple[str, ...]) -> Task:
    """Return the task of one read. It is not tried again: the agent can, if it still wants it."""
    return Task(
        task_id=task_id,
        kind=TaskKind.TOOL,
        tool=tool,
        bindings=bindings,
        dependencies=needs,
        retry_count=0,
        timeout_seconds=READ_SECONDS,
    )


def _starts(link: Link, message: str, made: dict[str, list[str]]) -> Iterator[tuple[Program, tuple[str, ...]]]:
    if link.said is None:
        for source in list(made.get(link.after, ())):
            yield Output(step=source, path=link.path), (source,)
        return
    for token in {token.value: token for token in tokenize(message) if _fits(link.said, token)}.values():
        # The text is the user's own: it is copied into one typed argument, and nowhere else.
        yield Const(value=token.value), ()


def _said_links(traces: Sequence[Trace], wanted: _Wanted) -> Iterator[Link]:
    found: dict[tuple[str, str], _Seen] = defaultdict(_Seen)
    for trace in traces:
        tokens = {token.value for token in tokenize(trace.message[:MAX_TEXT]) if token.kind in _KINDS}
        for call, name, value in _single(trace):
            if value in tokens:
                seen = found[call.name, name]
                seen.texts.append(value)
                seen.runs.add(trace.run_id)
                seen.principals.add(trace.principal)
    for (tool, argument), seen in sorted(found.items()):
        said = learn_slot(seen.texts)
        if len(seen.runs) < wanted.runs or len(seen.principals) < wanted.principals or not said.kinds:
            continue
        having = [t for t in traces if any(_fits(said, token) for token in tokenize(t.message[:MAX_TEXT]))]
        if len(seen.runs) >= SHARE * len(having):
            yield Link(tool, argument, said)


def _read_links(traces: Sequence[Trace], known: set[str], wanted: _Wanted) -> list[Link]:
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
        if count >= max(wanted.runs, SHARE * having[link.after]):
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
