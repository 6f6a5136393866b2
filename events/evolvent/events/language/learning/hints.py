"""Hints: what runs with the same words usually did, as one line for the agent where no program could be learnt.

A line is made of tool names, their usual order, names of arguments and the words that users of several principals
said; never of what a tool or the web returned. It changes no rights: the agent may call what it could call before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.examples import Clause
from evolvent.events.language.learning.induced import NotLearnt
from evolvent.events.language.learning.tokens import MAX_TEXT, tokenize
from evolvent.events.language.tools import Effect, ToolSpec

MAX_LINE = 240
MAX_STEPS = 6
MAX_LINES = 3
USUAL = 0.5
"""The share of the runs that must have called the same tools in the same order."""
LIKE = 0.6
"""The share of a hint's words that a request must have."""
_SLOT = re.compile(r"\{(\w+)\}")
_WORDS = re.compile(r"[\w '&,.:;?()+-]*")
_NAME = re.compile(r"\w[\w.-]{0,63}", re.ASCII)
Scope = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Hint:
    """A line that an agent may be told; `label` is its ID@VERSION."""

    label: str
    line: str
    words: frozenset[str]
    tools: Mapping[str, str]


def hint_id(scope: Scope, signature: str) -> str:
    """Return the automation_id of the hint of a signature."""
    return f"hint-{content_hash([scope, signature])[:12]}"


def compile_hint(clauses: Sequence[Clause], *, min_runs: int, min_principals: int) -> Automation | NotLearnt:
    """Return the hint that the clauses of one signature give, or why there is none."""
    good = [each for each in clauses if not each.example.is_disputed and each.example.calls]
    principals = {each.example.principal for each in good}
    runs = sorted({each.example.run_id for each in good})
    if len(runs) < min_runs or len(principals) < min_principals:
        return NotLearnt("Too few runs, or too few principals, for a line that others are told.")
    orders = Counter(_order(each) for each in good)
    order, count = min(orders.items(), key=lambda item: (-item[1], item[0]))
    if count < USUAL * len(good) or len(order) > MAX_STEPS or not all(map(_NAME.fullmatch, order)):
        return NotLearnt("No short order of calls is usual.")
    latest = good[-1]
    words = _named(latest.skeleton, good)
    if len(words) > MAX_LINE // 2 or not _WORDS.fullmatch(_SLOT.sub("", words)) or not _key_words(words):
        return NotLearnt("Its words cannot be told in a line.")
    schemas = {call.tool: call.schema_hash for each in good for call in each.example.calls if call.tool in order}
    goal, agent_id = latest.scope
    return Automation(
        automation_id=hint_id(latest.scope, latest.signature),
        name=f"hint: {order[-1]}",
        kind="hint",
        signature=latest.signature,
        goal=goal,
        agent_id=agent_id,
        template={"skeleton": words, "order": list(order)},
        effect=Effect.READ,
        tools=dict(sorted(schemas.items())),
        run_ids=tuple(runs),
        principals=len(principals),
        sessions=len({each.example.session_id or each.example.run_id for each in good}),
        agreement=round(count / len(good), 4),
    )


def hint_of(automation: Automation) -> Hint | None:
    """Return what an agent is told of a hint; None for other automations, and for one that nothing can be said of."""
    words, order = automation.template.get("skeleton"), automation.template.get("order")
    if automation.kind != "hint" or not isinstance(words, str) or not isinstance(order, list) or not order:
        return None
    line = f"For requests like `{words}`: usually {' -> '.join(map(str, order))}."
    # What is told may hold no reference of a workflow's instructions.
    if len(line) > MAX_LINE or "$" in line:
        return None
    label = f"{automation.automation_id}@{automation.version}"
    return Hint(label, line, _key_words(words), dict(automation.tools))


def hints_by_scope(automations: Iterable[Automation]) -> dict[Scope, tuple[Hint, ...]]:
    """Return the hints among automations, by whose they are."""
    found: dict[Scope, list[Hint]] = {}
    for automation in automations:
        hint = hint_of(automation)
        if hint is not None:
            found.setdefault(automation.scope, []).append(hint)
    return {scope: tuple(sorted(hints, key=lambda each: each.label)) for scope, hints in found.items()}


def best_hints(hints: Iterable[Hint], message: str, tools: Mapping[str, ToolSpec]) -> tuple[Hint, ...]:
    """Return the few hints whose words a request has, most of them first; all their tools must be there unchanged."""
    if len(message) > MAX_TEXT:
        return ()
    said = {token.folded for token in tokenize(message)}
    scored = [(len(hint.words & said) / len(hint.words), hint) for hint in hints if _holds(hint, tools)]
    fit = sorted((each for each in scored if each[0] >= LIKE), key=lambda each: (-each[0], each[1].label))
    return tuple(hint for _, hint in fit[:MAX_LINES])


def _holds(hint: Hint, tools: Mapping[str, ToolSpec]) -> bool:
    now = {name: spec.schema_hash for name, spec in tools.items()}
    return all(name in now and known in ("", now[name]) for name, known in hint.tools.items())


def _order(clause: Clause) -> tuple[str, ...]:
    """Return the tools of a clause as they were called first."""
    return tuple(dict.fromkeys(call.tool for call in clause.example.calls))


def _named(skeleton: str, clauses: Sequence[Clause]) -> str:
    """Return the words with each slot named after the argument that usually took it; else `{value}`."""
    takers: dict[str, Counter[str]] = {}
    for clause in clauses:
        for call in clause.example.calls:
            for argument, value in call.arguments.items():
                for slot, text in clause.example.slots.items():
                    if value == text and _NAME.fullmatch(argument):
                        takers.setdefault(slot, Counter())[argument] += 1
    names = {slot: min(counts.items(), key=lambda item: (-item[1], item[0]))[0] for slot, counts in takers.items()}
    return _SLOT.sub(lambda found: "{" + names.get(found[1], "value") + "}", skeleton)


def _key_words(words: str) -> frozenset[str]:
    return frozenset(token.folded for token in tokenize(_SLOT.sub(" ", words)) if token.kind in ("word", "name"))
