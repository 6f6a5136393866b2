"""Templates: a signature's words with typed slots, compiled from its clauses; and small talk, a closed vocabulary.

JSON in and out: `as_json`, `parse_template`. Values of examples stay out, but for closed lists of words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from evolvent.events.language.learning.contexts import settled
from evolvent.events.language.learning.examples import Clause
from evolvent.events.language.learning.signature_records import Signature
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.slot_types import SlotType, learn_slot, opened
from evolvent.events.language.learning.tokens import VALUE_KINDS, tokenize

MIN_RUNS = 3
"""In how many runs a word of small talk must have been said, without anything coming of it."""

_TURNING = (
    "not no don't dont doesn't didn't won't can't cannot never none nothing neither nor without unless if "
    "only except but instead when whenever until till otherwise however rather before after while "
    "provided assuming maybe perhaps should unlike although though wait ignore also additionally then "
    "nicht kein keine keinen keinem nie ohne wenn falls nur außer aber sondern statt bis sonst bevor "
    "nachdem pas ne jamais sans si sauf mais seulement avant après quand sinon nunca sin pero solo sólo "
    "cuando salvo excepto antes después hasta sino"
)
TURNING_WORDS = frozenset(_TURNING.split())
"""Words that turn the meaning of what stands near them: never small talk, and never inside a name."""

_ORDERS = (
    "stop cancel undo skip hold forget delete remove return send stopp storniere lösche annule annuler cancela borra"
)
ORDER_WORDS = frozenset(_ORDERS.split())
"""Words that ask for something: a sentence with one counts as small talk only beside what always had it."""

_SLOT = re.compile(r"(\S?)\{(\w+)\}(\S?)")


@dataclass(frozen=True, slots=True)
class Literal:
    """A word or sign that must stand here."""

    word: str


@dataclass(frozen=True, slots=True)
class SlotPart:
    """A value."""

    slot: str
    type: SlotType


@dataclass(frozen=True, slots=True)
class Repeat:
    """Parts that come once or more, with a separator; lists with commas have two things at least."""

    parts: tuple[Literal | SlotPart, ...]
    separator: str


Element = Literal | SlotPart | Repeat


@dataclass(frozen=True, slots=True)
class Template:
    """What requests of one signature look like.

    `needs`: one of these signatures must be in the request too, as in every run (somebody who says who they are).
    `required`: small talk that stood beside it in every run, so it may carry meaning; `known`: what stood beside it in
    some run. Other small talk stops the match unless it is neutral; `is_order` marks what must be required.
    `introduced_by`: steps of which another template must have one (`introduces`); who does nothing but introduce
    asks for nothing.
    """

    template_id: str
    skeleton: str
    scope: tuple[str, str]
    elements: tuple[Element, ...]
    signature: str = ""
    needs: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    is_filler: bool = False
    is_neutral: bool = False
    is_order: bool = False
    introduces: tuple[str, ...] = ()
    introduced_by: tuple[str, ...] = ()
    is_asking: bool = True

    @property
    def literals(self) -> frozenset[str]:
        """Words that every request of it has."""
        inner = [part for each in self.elements if isinstance(each, Repeat) for part in each.parts]
        return frozenset(each.word for each in (*self.elements, *inner) if isinstance(each, Literal))

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of its slots, in order."""
        inner = [each.parts if isinstance(each, Repeat) else (each,) for each in self.elements]
        return tuple(part.slot for parts in inner for part in parts if isinstance(part, SlotPart))


_TEMPLATE: TypeAdapter[Template] = TypeAdapter(Template)


def as_json(template: Template) -> dict[str, Any]:
    """Return a template as JSON data."""
    document: dict[str, Any] = _TEMPLATE.dump_python(template, mode="json")
    return document


def parse_template(document: object) -> Template:
    """Read a template back."""
    return _TEMPLATE.validate_python(document)


def compile_template(
    clauses: Sequence[Clause],
    template_id: str | None = None,
    *,
    names: Mapping[str, str] | None = None,
    proven: frozenset[str] = frozenset(),
    others: Iterable[tuple[str, str]] = (),
    alike: Sequence[Clause] = (),
) -> Template:
    """Compile the clauses of one signature. Disputed ones teach nothing of what a slot may hold.

    Args:
        clauses: The clauses.
        template_id: What the template is called; the signature by default.
        names: What its slots are called in the automation.
        proven: Slots, by those names, that a read has to confirm: they may hold words that were not seen.
        others: What the slots, by those names, held in other phrasings of the same work.
        alike: Clauses of the other phrasings: what was said beside them came to nothing either.
    """
    good = [clause for clause in clauses if not clause.example.is_disputed] or list(clauses)
    first = good[0]
    values: dict[str, list[str]] = {}
    for clause in good:
        for name, value in clause.example.slots.items():
            own = (names or {}).get(name, name)
            values.setdefault(own, []).extend([value] if isinstance(value, str) else value)
    for name, text in others:
        if name in values:
            values[name].append(text)
    beside = [frozenset(each.beside) for each in (*good, *alike) if not each.example.is_disputed]
    return Template(
        template_id or first.signature,
        first.skeleton,
        first.scope,
        _elements(first.skeleton, _Slots(values, names or {}, proven)),
        signature=first.signature,
        needs=_needs(good),
        required=tuple(sorted(frozenset.intersection(*beside))),
        known=tuple(sorted(frozenset.union(*beside))),
        introduces=tuple(sorted({step for clause in good for step in clause.introduces})),
        introduced_by=settled([clause.example for clause in good])[1],
        is_asking=_is_asking(good),
    )


def _is_asking(clauses: Sequence[Clause]) -> bool:
    """Say whether something came of it by itself: a write, or a part of an answer."""
    return any(clause.example.answer or any(call.is_write for call in clause.example.calls) for clause in clauses)


def _needs(clauses: Sequence[Clause]) -> tuple[str, ...]:
    """Return what always stood beside it, one of them at least, not counting what only introduced somebody."""
    if any(clause.introduces for clause in clauses):
        return ()
    sets = [set(each.companions) - set(each.introductions) for each in clauses]
    return tuple(sorted({name for each in sets for name in each})) if all(sets) else ()


def compile_small_talk(store: SignatureStore, scope: tuple[str, str], min_runs: int = MIN_RUNS) -> list[Template]:
    """Compile what was said in enough runs and never came to anything: closed sentences, and lists of closed words.

    Small talk is neutral if it stood beside two different requests at least, and none of them always needed it.
    """
    needed: set[str] = set()
    beside: dict[str, set[str]] = {}
    acting: set[str] = set()
    families: dict[str, list[Signature]] = {}
    for name in store.signatures(scope):
        signature = store[name]
        acting.add(signature.skeleton)
        families.setdefault(signature.work, []).append(signature)
        for skeleton in signature.small_talk:
            beside.setdefault(skeleton, set()).add(signature.skeleton)
    for family in families.values():
        if sum(len(each.backings) for each in family) >= min_runs:
            needed |= frozenset.intersection(*(each.companions for each in family))
    found: list[Template] = []
    for name in store.small_talk(scope):
        signature = store[name]
        if signature.skeleton in acting or store.support(name).runs < min_runs:
            continue
        elements = _small_talk(store.clauses(name), min_runs)
        if elements:
            neutral = signature.skeleton not in needed and len(beside.get(signature.skeleton, ())) >= 2
            found.append(
                Template(
                    name,
                    signature.skeleton,
                    scope,
                    elements,
                    is_filler=True,
                    is_neutral=neutral,
                    is_order=not ORDER_WORDS.isdisjoint(signature.skeleton.split(" ")),
                )
            )
    return found


def _small_talk(clauses: Sequence[Clause], min_runs: int) -> tuple[Element, ...]:
    good = [clause for clause in clauses if not clause.example.is_disputed]
    runs: dict[str, set[str]] = {}
    for clause in good:
        for value in clause.example.slots.values():
            if isinstance(value, str):
                return ()
            for word in value:
                runs.setdefault(word, set()).add(clause.example.run_id)
    words = sorted(word for word, by in runs.items() if len(by) >= min_runs and word not in TURNING_WORDS)
    slots = {name for clause in good for name in clause.example.slots}
    if not good or (slots and not words):
        return ()
    elements = _elements(good[0].skeleton, _Slots(fixed=SlotType(values=tuple(words))))
    said = {each.word for each in elements if isinstance(each, Literal)}
    return () if said & (TURNING_WORDS | {"?"}) else elements


@dataclass(frozen=True, slots=True)
class _Slots:
    """What is known of a template's slots; small talk has one type for all."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    proven: frozenset[str] = frozenset()
    fixed: SlotType | None = None

    def held(self, word: str) -> Sequence[str]:
        """Return what a slot of the skeleton held."""
        return self.values.get(self.names.get(word, word), ())


def _elements(skeleton: str, slots: _Slots) -> tuple[Element, ...]:
    words = skeleton.split(" ") if skeleton else []
    elements: list[Element] = []
    inner: list[Literal | SlotPart] | None = None
    for place, word in enumerate(words):
        if word == "(":
            inner = []
        elif word == ")+" and inner is not None:
            separator = inner.pop()
            elements.append(Repeat(tuple(inner), separator.word if isinstance(separator, Literal) else ","))
            inner = None
        else:
            (elements if inner is None else inner).append(_part(words, place, slots))
    return tuple(elements)


def _part(words: Sequence[str], place: int, slots: _Slots) -> Literal | SlotPart:
    word = words[place]
    slot = _SLOT.fullmatch(word)
    if slot is None or word[0] == "\\":
        return Literal(word[1:] if word[0] == "\\" else word)
    own = slot.group(2)
    name = slots.names.get(own, own)
    if slots.fixed is not None:
        return SlotPart(name, slots.fixed)
    around = [words[at] for at in (place - 1, place + 1) if 0 <= at < len(words)]
    is_delimited = not any(_blurs(each, slots) for each in around)
    is_quoted = bool(slot.group(1))
    learnt = learn_slot(slots.held(own), is_quoted=is_quoted, is_delimited=is_delimited)
    return SlotPart(name, opened(learnt, slots.held(own)) if name in slots.proven and not is_quoted else learnt)


def _blurs(word: str, slots: _Slots) -> bool:
    """Say whether a neighbour leaves open where a name ends: it is a slot that may hold words itself."""
    slot = None if word[0] == "\\" else _SLOT.fullmatch(word)
    return slot is not None and not all(tokenize(each)[0].kind in VALUE_KINDS for each in slots.held(slot.group(2)))
