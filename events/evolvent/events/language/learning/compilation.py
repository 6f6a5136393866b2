"""From what was induced to an automation, if nothing static speaks against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.json_schemas import misfits
from evolvent.events.language.learning.automation import (
    Automation,
    AutomationSlot,
    AutomationStep,
    Kind,
    SlotKind,
    strongest,
)
from evolvent.events.language.learning.examples import Example
from evolvent.events.language.learning.guards import Guard, OneOf, programs_of
from evolvent.events.language.learning.induced import Induced, InducedStep, NotLearnt
from evolvent.events.language.learning.links import OTHER, Link, Links
from evolvent.events.language.learning.nodes import Const, Program, Text, parts_of, steps_of
from evolvent.events.language.learning.prediction import predict
from evolvent.events.language.learning.values import (
    clock_of,
    date_of,
    is_identity,
    is_word,
    leaves,
    literal_of,
    money_of,
    number_of,
)
from evolvent.events.language.tools import ToolSpec

MAX_CONSTANT = 200


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is compiled: a kind of clause, its template as matching reads it, and what is known of it beside programs.

    `labels` say of each slot where else its value was first seen: `user`, `tool` or `web`.
    """

    signature: str
    template: Mapping[str, Any] = field(default_factory=dict)
    scope: tuple[str, str] = ("default", "")
    labels: Mapping[str, str] = field(default_factory=dict)
    links: Links = field(default_factory=Links)
    tokens_saved: int = 0
    version: int = 1
    spec_hash: str = ""
    words: str = ""
    """The fixed words of all phrasings that taught it."""


def compile_automation(
    pattern: Pattern, examples: Sequence[Example], induced: Induced, *, tools: Mapping[str, ToolSpec] | None = None
) -> Automation | NotLearnt:
    """Return the automation of what was induced from these examples, or what speaks against it.

    Args:
        pattern: What the clause is.
        examples: What it was induced from.
        induced: The result.
        tools: The tools as they are now, by name; None leaves out the checks against them.
    """
    sources = [each for each in examples if each.run_id in induced.runs and not each.is_disputed]
    links, loose = _checkable(pattern.links, induced)
    why = loose or next(_objections(induced, sources, tools, _words(pattern)), None)
    if why is not None:
        return NotLearnt(why)
    called = {call.tool: call for each in sources for call in each.calls}
    done_by_model = sorted({c.tool for each in sources for c in each.calls if c.step in induced.open_steps})
    used = {step.tool: step.schema_hash for step in induced.steps}
    hashes = {**{name: called[name].schema_hash for name in done_by_model}, **used}
    effects = (*(step.effect for step in induced.steps), *(called[name].effect for name in done_by_model))
    return Automation(
        automation_id=f"auto-{content_hash([pattern.scope, pattern.signature])[:12]}",
        name=_name(induced, done_by_model),
        version=pattern.version,
        kind=_kind(induced),
        signature=pattern.signature,
        goal=pattern.scope[0],
        agent_id=pattern.scope[1],
        spec_hash=pattern.spec_hash,
        template=dict(pattern.template),
        slots=_slots(sources),
        steps=tuple(_step(step) for step in induced.steps),
        open_tools=tuple(done_by_model),
        guards=induced.guards,
        links=links,
        context=induced.context,
        response=induced.response,
        ignored_slots=induced.ignored_slots,
        effect=strongest(effects),
        tools=hashes,
        labels=dict(pattern.labels),
        run_ids=induced.runs,
        principals=len({each.principal for each in sources}),
        sessions=len({each.session_id or each.run_id for each in sources}),
        agreement=induced.agreement,
        expected_tokens_saved=pattern.tokens_saved,
    )


def _checkable(links: Links, induced: Induced) -> tuple[Links, str | None]:
    """Return the links without guards on steps that are not understood; and the objection if that leaves one empty."""
    if links.is_unsettled:
        return links, "Another clause was always beside it, and too few runs say whether it matters."
    known = {step.step for step in induced.steps if not step.is_late and not step.is_write}
    kept: list[Link] = []
    for link in links.links:
        guards = tuple(guard for guard in link.guards if _own_steps(guard) <= known)
        if not guards:
            return links, "What ties it to another clause rests on a step that is not understood."
        kept.append(Link(other=link.other, guards=guards))
    return links.model_copy(update={"links": tuple(kept)}), None


def _own_steps(guard: Guard) -> set[str]:
    return {step for program in programs_of(guard) for step in steps_of(program) if not step.startswith(OTHER)}


def _objections(
    induced: Induced, sources: Sequence[Example], tools: Mapping[str, ToolSpec] | None, words: str
) -> Iterator[str]:
    if not sources:
        yield "None of the source runs is at hand."
    wrote = {call.tool for each in sources for call in each.calls if call.is_write}
    for step in induced.steps:
        if step.is_write and step.tool not in wrote:
            yield f"It would call {step.tool}, which none of its source runs did."
    yield from _tainted(induced, sources, words)
    if tools is not None:
        for step in induced.steps:
            yield from _unfit(step, tools)
        yield from _mistyped(induced, sources, tools)


def _unfit(step: InducedStep, tools: Mapping[str, ToolSpec]) -> Iterator[str]:
    spec = tools.get(step.tool)
    if spec is None:
        yield f"The tool {step.tool} is gone."
    elif step.schema_hash and spec.schema_hash != step.schema_hash:
        yield f"The tool {step.tool} has changed since the runs that this was learnt from."
    elif spec.effect != step.effect:
        yield f"The tool {step.tool} is now {spec.effect}, and was {step.effect}."
    elif missing := set(spec.parameters.get("required", ())) - step.bindings.keys():
        yield f"The tool {step.tool} wants {', '.join(sorted(missing))}, which nothing gives."


def _mistyped(induced: Induced, sources: Sequence[Example], tools: Mapping[str, ToolSpec]) -> Iterator[str]:
    for example in sources[:10]:
        for tool, arguments in predict(induced.steps, (), example).writes:
            wrong = misfits(tools[tool].parameters, arguments) if tool in tools else []
            if wrong:
                yield f"The tool {tool} does not take what the program gives: {wrong[0]:.200}"


def _tainted(induced: Induced, sources: Sequence[Example], words: str) -> Iterator[str]:
    """Yield every text in the document that came from a tool: it is only ever compared as one short word."""
    bound = [program for step in induced.steps for program in step.bindings.values()]
    guarded = [program for guard in induced.guards for program in programs_of(guard)]
    fixed = [text for program in [*bound, *guarded] for text in _constants(program)]
    # What a write returned repeats what it was asked to do.
    calls = (call for each in sources for call in (*each.calls, *each.context) if not call.is_write)
    read = [part.casefold() for call in calls for part in _texts(call.result)]
    for text in fixed:
        is_foreign = text.casefold() not in words and any(text.casefold() in part for part in read)
        if len(text) > MAX_CONSTANT or is_foreign:
            yield f"The constant {text!r:.60} also came from a tool."
    for guard in induced.guards:
        if isinstance(guard, OneOf) and not all(is_word(value) or not isinstance(value, str) for value in guard.values):
            yield "A guard compares with more than a word."


def _words(pattern: Pattern) -> str:
    """Return the fixed words of the request: what stands there came from the user."""
    return " ".join([pattern.words, *_texts(dict(pattern.template))]).casefold()


def _constants(program: Program) -> Iterator[str]:
    for part in parts_of(program):
        if isinstance(part, Const):
            yield from (text for text in _texts(part.value) if text)
        elif isinstance(part, Text):
            yield from (text.strip() for text in part.parts if isinstance(text, str) and len(text.strip()) > 3)


def _texts(value: Any) -> Iterator[str]:
    return (part for _, part in leaves(value) if isinstance(part, str))


def _kind(induced: Induced) -> Kind:
    if not induced.open_steps and induced.response is not None:
        return "full"
    return "shrink" if any(not step.is_late for step in induced.steps) else "hint"


def _name(induced: Induced, done_by_model: Sequence[str]) -> str:
    writes = [step.tool for step in induced.writes]
    names = writes or list(done_by_model) or [step.tool for step in induced.steps]
    return " + ".join(dict.fromkeys(names))


def _step(step: InducedStep) -> AutomationStep:
    return AutomationStep(
        step=step.step,
        tool=step.tool,
        effect=step.effect,
        schema_hash=step.schema_hash,
        bindings=dict(step.bindings),
        repeats=step.repeats,
        is_late=step.is_late,
    )


def _slots(sources: Sequence[Example]) -> tuple[AutomationSlot, ...]:
    names = sorted({name for each in sources for name in each.slots})
    return tuple(_slot(name, [each.slots[name] for each in sources if name in each.slots]) for name in names)


def _slot(name: str, seen: Sequence[str | tuple[str, ...]]) -> AutomationSlot:
    texts = [text for each in seen for text in (each if isinstance(each, tuple) else (each,))]
    kinds = Counter(_kind_of(text) for text in texts)
    kind: SlotKind = next(iter(kinds)) if len(kinds) == 1 else "text"
    return AutomationSlot(name=name, kind=kind, is_group=any(isinstance(each, tuple) for each in seen))


def _kind_of(text: str) -> SlotKind:
    readings: tuple[tuple[SlotKind, object], ...] = (
        ("record", literal_of(text)),
        ("number", number_of(text)),
        ("date", date_of(text)),
        ("clock", clock_of(text)),
        ("money", money_of(text)),
        ("identity", is_identity("", text) or None),
    )
    return next((kind for kind, value in readings if value is not None), "text")
