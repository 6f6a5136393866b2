"""An automation in words: what people read before they approve it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.learnt_domains import learnt, operations

from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.guards import Between, Distinct, Equal, Exists, Guard, HasShape, NotError, OneOf
from evolvent.events.language.learning.learner import LearningRules, Proposal, propose
from evolvent.events.language.learning.nodes import (
    Branch,
    Case,
    Condition,
    Const,
    Each,
    Find,
    Items,
    Lookup,
    Map,
    Output,
    Override,
    Program,
    Record,
    Slot,
    Text,
)
from evolvent.improvement.automation_words import as_text, sections_of
from evolvent.improvement.program_words import guard_in_words, in_words

A, ORDER = Slot(name="a"), Output(step="get_order")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (Const(value="no longer needed"), 'always "no longer needed"'),
        (Slot(name="a", normal=("lower", "date")), "{a} (as lower, date)"),
        (Slot(name="a", strip="#", put="W"), '{a} without "#" after "W"'),
        (Slot(name="a", index=1), "number 2 of {a}"),
        (Slot(name="a", literal=True, path=("size",)), "`size` of the record that {a} spells"),
        (Slot(name="other:b"), "{b} of the other sentence"),
        (Output(step="get_order", path=("items", 0, "id")), "`items.0.id` of what get_order returned"),
        (Find(step="get_order", name="zip"), "the only `zip` in what get_order returned"),
        (
            Lookup(rows=ORDER, where=(Condition(path=("name",), equals=A),), take=("id",)),
            "`id` of the only row where `name` is {a}, in what get_order returned",
        ),
        (
            Lookup(rows=ORDER, where=(Condition(path=(), equals=A),), take=("@key",)),
            "its key of the only row where it is {a}, in what get_order returned",
        ),
        (Map(rows=ORDER, take=("id",)), "`id` of every row, in what get_order returned"),
        (Each(slot="a", body=A), "for each {a}: {a}"),
        (Override(old=ORDER, new=A), "what get_order returned, replaced as far as stated by {a}"),
        (Record(fields={"x": A, "y": Const(value=1)}), "a record of (x: {a}; y: always 1)"),
        (Items(items=(A, Const(value=True))), "a list of ({a}; always true)"),
        (Text(parts=("Done: ", A, ".")), "Done: [{a}]."),
        (Branch(on=A, cases=(Case(values=("x", "y"), then=A),)), 'depending on {a} ("x" or "y": {a})'),
    ],
)
def test_every_operation_has_words(program: Program, words: str) -> None:
    assert in_words(program) == words


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        (Equal(left=A, right=ORDER, why="the owner asks"), "{a} is what get_order returned (the owner asks)"),
        (Equal(left=A, right=ORDER, loose=True), "{a} is, but for spelling, what get_order returned"),
        (OneOf(value=A, values=("x", 2)), '{a} is "x" or 2'),
        (OneOf(value=A, values=tuple(range(14))), f"{{a}} is {' or '.join(map(str, range(12)))} or one of 2 more"),
        (HasShape(value=A, shapes=("text", "null")), "{a} is a text or a null"),
        (Between(value=A, low=1, high=2.5), "{a} lies between 1 and 2.5"),
        (Distinct(value=A), "no value stands twice in {a}"),
        (Exists(value=ORDER), "there is what get_order returned"),
        (NotError(value=ORDER), "what get_order returned is no error"),
    ],
)
def test_every_guard_has_words(guard: Guard, words: str) -> None:
    assert guard_in_words(guard) == words


def learnt_automation() -> Automation:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    store = learnt(operations())
    (signature,) = store.signatures()
    rules = LearningRules(window=now - datetime(1960, 1, 1, tzinfo=UTC))
    found = propose(store, signature, rules, now=now)
    assert isinstance(found, Proposal)
    return found.automation


def test_a_learnt_automation_can_be_read_from_top_to_bottom() -> None:
    automation = learnt_automation()
    text = as_text(sections_of(automation))
    titles = [section.title for section in sections_of(automation)]
    assert titles[:3] == ["What it is", "Understands", "Reads"]
    assert '"restart service {a} in {b}"' in text
    assert "    name = {a}" in text
    assert "restart: writes; twice is the same as once" in text
    assert "    region = {b}" in text
    assert '`state` of what get_service returned is "up"' in text
    assert "5 runs of 5 principals in 5 sessions; in 100% of them it gives exactly what was done" in text
    assert "run-0" in text


def test_what_nobody_looks_at_is_said_aloud() -> None:
    automation = learnt_automation().model_copy(update={"ignored_slots": ("b",), "labels": {"a": "web"}})
    text = as_text(sections_of(automation))
    assert "NOT LOOKED AT" in text
    assert "each use should be confirmed" in text
    assert "stood in what a web said" in text


def test_of_many_runs_some_are_shown() -> None:
    automation = learnt_automation().model_copy(update={"run_ids": tuple(f"r{n}" for n in range(14))})
    assert "  and 4 more" in as_text(sections_of(automation))


def test_what_the_model_still_does_is_named() -> None:
    changed = {"kind": "shrink", "open_tools": ("post",), "response": None}
    text = as_text(sections_of(learnt_automation().model_copy(update=changed)))
    assert "post: past runs do not say how its arguments come about" in text
    assert "the words of the answer" in text
    assert "one small model call does the rest" in text
