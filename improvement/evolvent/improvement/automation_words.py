"""Pure: an automation in words, so that a person can read what it does and judge whether it may.

Sections in the order of reading: what it understands, reads, checks, writes, answers, and what it stands on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evolvent.events.language.learning.automation import Automation, AutomationStep
from evolvent.events.language.learning.hints import hint_of
from evolvent.improvement.program_words import guard_in_words, in_words, label

_KINDS = {
    "full": "Serves by itself; no model is called.",
    "shrink": "Does the part that it understands; one small model call does the rest.",
    "hint": "Does nothing by itself: a line in the agent's prompt.",
}
_EFFECTS = {
    "pure": "works something out",
    "read": "only reads",
    "idempotent": "writes; twice is the same as once",
    "keyed": "writes; a key keeps it from happening twice",
    "irreversible": "does what cannot be undone",
}
_SHOWN_RUNS = 10


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its lines."""

    title: str
    lines: tuple[str, ...]


def sections_of(automation: Automation) -> tuple[Section, ...]:
    """Return the whole of an automation in words; sections without a line are left out."""
    parts = (
        ("What it is", _nature(automation)),
        ("Understands", _understands(automation)),
        ("Reads", _calls(automation, is_write=False)),
        ("Checks, or hands over to the agent before any write", _checks(automation)),
        ("Writes", _calls(automation, is_write=True)),
        ("Leaves to the model", _left(automation)),
        ("Answers", _answers(automation)),
        ("Stands on", _evidence(automation)),
        ("May call", _rights(automation)),
    )
    return tuple(Section(title, lines) for title, found in parts if (lines := tuple(found)))


def understood(automation: Automation) -> str:
    """Return the words of a request that it is for, with its slots in braces."""
    return str(automation.template.get("skeleton", "")) or "(no words of its own)"


def _nature(automation: Automation) -> Iterator[str]:
    yield f"{_KINDS[automation.kind]} At most it {_EFFECTS[automation.effect.value]}."
    whose = f"agent {automation.agent_id}" if automation.agent_id else "any agent"
    yield f"For requests to {whose}, goal {automation.goal}."
    if automation.needs_confirmation:
        yield "It writes although it does not look at every word, so each use should be confirmed."


def _understands(automation: Automation) -> Iterator[str]:
    yield f'"{understood(automation)}"'
    if hint := hint_of(automation):
        yield f"tells the agent: {hint.line}"
    for slot in automation.slots:
        many = ", one for each thing that is named" if slot.is_group else ""
        origin = automation.labels.get(slot.name, "user")
        known = "" if origin == "user" else f"; in past runs it stood in what a {origin} said, too"
        ignored = "; NOT LOOKED AT" if slot.name in automation.ignored_slots else ""
        yield f"{{{slot.name}}}: {slot.kind}{many}{known}{ignored}"
    for skeleton in automation.template.get("required", ()):
        yield f'only beside "{skeleton}"'
    if automation.links.requires:
        yield f"only together with one of {len(automation.links.requires)} other kinds of sentence"


def _calls(automation: Automation, *, is_write: bool) -> Iterator[str]:
    for step in automation.steps:
        if step.is_write == is_write:
            yield from _call(step)


def _call(step: AutomationStep) -> Iterator[str]:
    each = f", once for each {{{step.repeats}}}" if step.repeats else ""
    name = "" if step.step == step.tool else f" (called {label(step.step)} here)"
    late = ", after the rest" if step.is_late else ""
    yield f"{step.tool}{name}{each}{late}: {_EFFECTS[step.effect.value]}"
    for argument, program in step.bindings.items():
        yield f"    {argument} = {in_words(program)}"


def _checks(automation: Automation) -> Iterator[str]:
    for guard in automation.guards:
        yield guard_in_words(guard)
    for link in automation.links.links:
        for guard in link.guards:
            yield f"{guard_in_words(guard)} (where the other sentence is in the request)"


def _left(automation: Automation) -> Iterator[str]:
    for tool in automation.open_tools:
        yield f"{tool}: past runs do not say how its arguments come about"
    if automation.kind == "shrink" and automation.response is None:
        yield "the words of the answer"


def _answers(automation: Automation) -> Iterator[str]:
    if automation.response is not None:
        yield in_words(automation.response)


def _evidence(automation: Automation) -> Iterator[str]:
    runs, people = len(automation.run_ids), automation.principals
    yield (
        f"{runs} runs of {people} {'principal' if people == 1 else 'principals'} in {automation.sessions} sessions; "
        f"in {automation.agreement:.0%} of them it gives exactly what was done"
    )
    if automation.expected_tokens_saved:
        yield f"such a run took {automation.expected_tokens_saved} tokens on the mean"
    yield from automation.run_ids[:_SHOWN_RUNS]
    if runs > _SHOWN_RUNS:
        yield f"and {runs - _SHOWN_RUNS} more"


def _rights(automation: Automation) -> Iterator[str]:
    for name, schema_hash in sorted(automation.tools.items()):
        yield f"{name}, as of schema {schema_hash[:12] or 'unknown'}"


def as_text(sections: Sequence[Section]) -> str:
    """Return sections as they are printed."""
    return "\n\n".join("\n".join([section.title, *(f"  {line}" for line in section.lines)]) for section in sections)
