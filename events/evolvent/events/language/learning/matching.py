"""Which learnt templates a request consists of: an exact cover, read in exactly one way, or nothing.

Every token of the request must be a template's word, a slot's value, or small talk from a closed vocabulary. Any doubt
is an abstention with its reason, and the agent does the work.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evolvent.events.language.learning.readings import Reader, Slots, TooManyReadingsError
from evolvent.events.language.learning.slot_types import SlotType
from evolvent.events.language.learning.templates import TURNING_WORDS, Literal, Repeat, SlotPart, Template
from evolvent.events.language.learning.tokens import MAX_TEXT, Token, tokenize

MAX_READINGS = 8
"""Ways to read a rest of the request that are followed; two that survive are one too many already."""


@dataclass(frozen=True, slots=True)
class Part:
    """A clause of the request: its template and what the slots hold."""

    template_id: str
    slots: Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Match:
    """The request as learnt clauses, in their order; `small_talk` names the sentences that ask for nothing."""

    parts: tuple[Part, ...]
    small_talk: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Abstained:
    """The request is not known for sure, and why; `code` is the kind of reason, one of a few."""

    reason: str
    code: str = field(default="unsure", compare=False)


@dataclass(frozen=True, slots=True)
class _Scope:
    """The templates of one scope: by their rarest word, and those that have none."""

    by_word: Mapping[str, tuple[Template, ...]]
    wordless: tuple[Template, ...]
    forbidden: frozenset[str]
    patterns: Mapping[str, re.Pattern[str]]
    required: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class MatchIndex:
    """Templates ready to be matched. Made once from all live templates, never changed."""

    scopes: Mapping[tuple[str, str], _Scope]
    size: int = 0


_Reading = tuple[tuple[Template, Slots], ...]


@dataclass
class _Search:
    """One search: the reader, candidates by their first word, and what the rests of the text were read as."""

    reader: Reader
    by_first: dict[str, list[Template]]
    others: list[Template]
    known: dict[int, list[_Reading]] = field(default_factory=dict)
    furthest: int = 0


def build_index(templates: Iterable[Template]) -> MatchIndex:
    """Index templates, of requests and of small talk, by scope and rarest word."""
    by_scope: dict[tuple[str, str], list[Template]] = {}
    for template in templates:
        by_scope.setdefault(template.scope, []).append(template)
    scopes = {scope: _scope(each) for scope, each in by_scope.items()}
    return MatchIndex(scopes, sum(len(each) for each in by_scope.values()))


def _scope(templates: list[Template]) -> _Scope:
    literals = {template.template_id: template.literals for template in templates}
    frequency = Counter(word for words in literals.values() for word in words)
    by_word: dict[str, list[Template]] = {}
    wordless: list[Template] = []
    for template in templates:
        words = literals[template.template_id]
        if words:
            by_word.setdefault(min(words, key=lambda word: (frequency[word], word)), []).append(template)
        else:
            wordless.append(template)
    acting = {word for each in templates if not each.is_filler for word in literals[each.template_id]}
    patterns = {kind.pattern: re.compile(kind.pattern) for each in templates for kind in _types(each) if kind.pattern}
    return _Scope(
        {word: tuple(each) for word, each in by_word.items()},
        tuple(wordless),
        TURNING_WORDS | {word for word in acting if word[0].isalpha()},
        patterns,
        {each: words - {"."} for each, words in literals.items()},
    )


def _types(template: Template) -> Iterator[SlotType]:
    for element in template.elements:
        for part in element.parts if isinstance(element, Repeat) else (element,):
            if isinstance(part, SlotPart):
                yield part.type
                yield from (column for columns in part.type.phrases for column in columns)


def match(index: MatchIndex, message: str, scope: tuple[str, str]) -> Match | Abstained:
    """Read a request as learnt clauses, or say why not."""
    templates = index.scopes.get(scope)
    if templates is None:
        return Abstained("nothing is learnt for this goal and agent", "nothing_learnt")
    if len(message) > MAX_TEXT:
        return Abstained("the request is too long", "too_long")
    tokens = tokenize(message)
    search = _search(templates, Reader(message, tokens, templates.forbidden, templates.patterns), tokens)
    try:
        readings = _readings(search, 0)
    except (TooManyReadingsError, RecursionError):
        return Abstained("the request can be read in too many ways", "ambiguous")
    if not readings:
        return Abstained(_why(search, tokens), "unread")
    if len(readings) >= MAX_READINGS:
        return Abstained("the request can be read in too many ways", "ambiguous")
    return _decide(readings)


def _search(templates: _Scope, reader: Reader, tokens: list[Token]) -> _Search:
    words = {token.folded for token in tokens}
    search = _Search(reader, {}, [])
    chosen = [each for word in words for each in templates.by_word.get(word, ())]
    if any(token.kind == "stop" for token in tokens):
        chosen += templates.by_word.get(".", ())
    for template in sorted({each.template_id: each for each in chosen}.values(), key=lambda each: each.template_id):
        if templates.required[template.template_id] <= words:
            first = template.elements[0]
            (search.by_first.setdefault(first.word, []) if isinstance(first, Literal) else search.others).append(
                template
            )
    search.others += templates.wordless
    return search


def _readings(search: _Search, place: int) -> list[_Reading]:
    """Return the ways to read the text from here to its end, a few at most."""
    tokens = search.reader.tokens
    while place < len(tokens) and tokens[place].kind == "stop":
        place += 1
    if place == len(tokens):
        return [()]
    if place in search.known:
        return search.known[place]
    search.furthest = max(search.furthest, place)
    found: list[_Reading] = []
    for template in (*search.by_first.get(tokens[place].folded, ()), *search.others):
        for end, slots in search.reader.read(template.elements, place):
            if _may_end(tokens, end):
                found += [((template, slots), *rest) for rest in _readings(search, end)]
            if len(found) >= MAX_READINGS:
                break
        if len(found) >= MAX_READINGS:
            break
    search.known[place] = found[:MAX_READINGS]
    return search.known[place]


def _may_end(tokens: Sequence[Token], end: int) -> bool:
    """A clause ends with the text, at a stop, or behind a `?`, `;` or `:` of its own."""
    return end == len(tokens) or tokens[end].kind == "stop" or tokens[end - 1].text in ("?", ";", ":")


def _decide(readings: list[_Reading]) -> Match | Abstained:
    acting = [reading for reading in readings if any(not template.is_filler for template, _ in reading)]
    if not acting:
        return Abstained("the request is small talk only", "small_talk")
    complete = [reading for reading in acting if _missing(reading) is None]
    if not complete:
        return Abstained(str(_missing(acting[0])), "company")
    if len(complete) > 1:
        return Abstained("the request can be read in more than one way", "ambiguous")
    parts = tuple(Part(template.template_id, slots) for template, slots in complete[0] if not template.is_filler)
    if any(part in parts[:place] for place, part in enumerate(parts)):
        return Abstained("the request says the same twice", "said_twice")
    return Match(parts, tuple(template.template_id for template, _ in complete[0] if template.is_filler))


def _missing(reading: _Reading) -> str | None:
    """Say what keeps a reading from being known: small talk it always had is missing, or is new beside it."""
    present = Counter(template.signature for template, _ in reading)
    said = {template.skeleton for template, _ in reading if template.is_filler}
    known: set[str] = set()
    required: set[str] = set()
    for template, _ in reading:
        lacking = set(template.required) - said
        if lacking:
            return f"it was never asked for without `{min(lacking)}`"
        if template.needs and not any(present[each] > (each == template.signature) for each in template.needs):
            return f"`{template.skeleton}` was never asked for alone"
        if template.introduced_by and not _is_introduced(template, reading):
            return f"`{template.skeleton}` was never asked for without saying more"
        known.update(template.known)
        required.update(template.required)
    if not any(template.is_asking for template, _ in reading if not template.is_filler):
        return "nothing is asked for"
    for template, _ in reading:
        allowed = required if template.is_order else known
        if (
            template.is_filler
            and not (template.is_neutral and not template.is_order)
            and template.skeleton not in allowed
        ):
            return f"`{template.skeleton}` was never said beside it"
    return None


def _is_introduced(template: Template, reading: _Reading) -> bool:
    wanted = set(template.introduced_by)
    return any(wanted & set(other.introduces) for other, _ in reading if other is not template)


def _why(search: _Search, tokens: list[Token]) -> str:
    if not tokens:
        return "the request is empty"
    rest = " ".join(token.text for token in tokens[search.furthest : search.furthest + 6])
    return f"no learnt clause reads `{rest[:80]}`"
