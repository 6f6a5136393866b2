r"""Skeletons: a clause's words, its values cut out, its lists folded: `for {a} , swap ( {b} to {c} ; )+ via {d}`.

Words are folded; signs are words; `(`, `)`, `{` and `\` of the text itself are escaped. Names of slots go by order; a
quoted value keeps its quotes, as `"{a}"`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from evolvent.events.language.learning.provenance import Label, Span
from evolvent.events.language.learning.tokens import Token

_CONJUNCTIONS_LISTED = "and & und et y e och og en i"
CONJUNCTIONS = frozenset(_CONJUNCTIONS_LISTED.split())
"""Words between the last two things of a list. A list with `or` is a choice, and no list."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A word of a clause, or a value in it (then `word` is None). `uses`: the argument places that took it."""

    word: str | None
    value: str = ""
    token: int = 0
    label: Label = "user"
    uses: frozenset[tuple[str, ...]] = frozenset()
    is_capital: bool = False
    is_name_or_word: bool = False
    quotes: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A repeated part: the words between its values, and the values of each repetition."""

    pattern: tuple[str | None, ...]
    items: tuple[tuple[Piece, ...], ...]
    separator: str


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A rendered clause: its text, its slots' values and labels, and which slots belong to a group."""

    text: str
    slots: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    grouped: tuple[str, ...] = ()
    repetitions: int = 0


def pieces_of(
    tokens: Sequence[Token], spans: Sequence[Span], uses: dict[str, frozenset[tuple[str, ...]]]
) -> list[Piece]:
    """Lay out a request as words and values."""
    starts = {span.start: span for span in spans}
    pieces: list[Piece] = []
    place = 0
    while place < len(tokens):
        span = starts.get(place)
        token = tokens[place]
        if span is None:
            worded = token.kind in ("word", "name")
            word = "\n" if token.kind == "stop" else token.folded
            pieces.append(Piece(word, token=place, is_capital=token.kind == "name", is_name_or_word=worded))
            place += 1
        else:
            taken = uses.get(span.value, frozenset())
            quotes = token.text[0] + token.text[-1] if token.kind == "quoted" and span.end - place == 1 else ""
            pieces.append(Piece(None, span.value, place, span.label, taken, quotes=quotes))
            place = span.end
    return pieces


def split(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Cut a request into clauses: at the end of sentences, and after a `;` or `:` before a word with a capital."""
    clauses: list[list[Piece]] = [[]]
    for place, piece in enumerate(pieces):
        if piece.word == "\n":
            clauses.append([])
            continue
        clauses[-1].append(piece)
        following = pieces[place + 1] if place + 1 < len(pieces) else None
        if piece.word == "?" or (piece.word in (";", ":") and following is not None and following.is_capital):
            clauses.append([])
    return [clause for clause in clauses if clause]


def render(clause: Sequence[Piece], *, lists: bool, single: bool) -> Skeleton:
    """Fold a clause's lists and name its slots. `single`: lists of one thing count; `lists`: comma lists of words."""
    folded = fold_commas(fold_semicolons(clause, single=single), words=lists)
    names = _names()
    slots: dict[str, str | tuple[str, ...]] = {}
    labels: dict[str, Label] = {}
    grouped: list[str] = []
    text: list[str] = []
    repetitions = 0
    for part in folded:
        if isinstance(part, Piece):
            if part.word is not None:
                text.append(escape(part.word))
                continue
            name = next(names)
            slots[name], labels[name] = part.value, part.label
            text.append(_slot(name, part.quotes))
            continue
        repetitions = max(repetitions, len(part.items))
        text.append("(")
        place = 0
        for word in part.pattern:
            if word is not None:
                text.append(escape(word))
                continue
            name = next(names)
            grouped.append(name)
            slots[name] = tuple(item[place].value for item in part.items)
            labels[name] = _worst(item[place].label for item in part.items)
            text.append(_slot(name, part.items[0][place].quotes))
            place += 1
        text += [part.separator, ")+"]
    return Skeleton(" ".join(text), slots, labels, tuple(grouped), repetitions)


def _slot(name: str, quotes: str) -> str:
    return f"{quotes[:1]}{{{name}}}{quotes[1:]}"


def escape(word: str) -> str:
    """Write a word of the text so that it is no sign of the skeleton."""
    return "\\" + word if word[0] in "(){}\\" else word


def _worst(labels: Iterator[Label]) -> Label:
    seen = set(labels)
    return "web" if "web" in seen else "tool" if "tool" in seen else "user"


def _names() -> Iterator[str]:
    for round_ in range(1000):
        for letter in string.ascii_lowercase:
            yield letter * (round_ + 1) if round_ < 3 else f"{letter}{round_}"


def fold_semicolons(clause: Sequence[Piece], *, single: bool) -> list[Piece | Group]:
    """Fold `A to B; C to D;`: parts that end with `;`, start with a value and have the same words."""
    segments = _segments(clause)
    if len(segments) < 2:
        return list(clause)
    head = segments[0]
    repeated = segments[1] if segments[1] and segments[1][0].word is None else []
    unit = _words(repeated) if repeated and _ends_with(head, repeated) else _last_unit(head) if single else ()
    if not unit:
        return list(clause)
    count = 1
    while count < len(segments) - 1 and _words(segments[count]) == unit:
        count += 1
    if len(segments) - 1 == count and _words(segments[count]) == unit:
        count += 1
    start = len(head) - len(unit)
    items = [head[start:], *segments[1:count]]
    values = tuple(tuple(piece for piece in item if piece.word is None) for item in items)
    parts: list[Piece | Group] = [*head[:start], Group(unit, values, ";")]
    for place, segment in enumerate(segments[count:]):
        parts += ([Piece(";")] if place else []) + list(segment)
    return parts


def _segments(clause: Sequence[Piece]) -> list[list[Piece]]:
    segments: list[list[Piece]] = [[]]
    for piece in clause:
        if piece.word == ";":
            segments.append([])
        else:
            segments[-1].append(piece)
    return segments


def _words(segment: Sequence[Piece]) -> tuple[str | None, ...]:
    return tuple(piece.word for piece in segment)


def _ends_with(head: Sequence[Piece], unit: Sequence[Piece]) -> bool:
    return len(head) >= len(unit) and _words(head[len(head) - len(unit) :]) == _words(unit)


def _last_unit(head: Sequence[Piece]) -> tuple[str | None, ...]:
    """The part from the first value after the last `,` or `:` to the end."""
    cut = max((place for place, piece in enumerate(head) if piece.word in (",", ":")), default=-1)
    for place in range(cut + 1, len(head)):
        if head[place].word is None:
            return _words(head[place:])
    return ()


def fold_commas(parts: Sequence[Piece | Group], *, words: bool) -> list[Piece | Group]:
    """Fold `A, B and C` where all go to the same place of a call; where `words`, single words of small talk too."""
    folded: list[Piece | Group] = []
    place = 0
    while place < len(parts):
        items, end = _run(parts, place, words=words)
        if len(items) >= 2:
            folded.append(Group((None,), tuple((item,) for item in items), ","))
            place = end
        else:
            folded.append(parts[place])
            place += 1
    return folded


def _run(parts: Sequence[Piece | Group], start: int, *, words: bool) -> tuple[list[Piece], int]:
    items: list[Piece] = []
    place = end = start
    while place < len(parts):
        item = parts[place]
        if not isinstance(item, Piece) or not _is_item(item, items, words=words):
            break
        items.append(item if item.word is None else Piece(None, item.word, item.token))
        end = place + 1
        place = _after_separator(parts, end)
        if place == end:
            break
    return items, end


def _is_item(piece: Piece, items: list[Piece], *, words: bool) -> bool:
    if piece.word is not None:
        return words and piece.is_name_or_word and not piece.is_capital and piece.word not in CONJUNCTIONS
    return not words and bool(piece.uses) and (not items or piece.uses == items[0].uses)


def _after_separator(parts: Sequence[Piece | Group], place: int) -> int:
    def word(at: int) -> str | None:
        part = parts[at] if at < len(parts) else None
        return part.word if isinstance(part, Piece) else None

    if word(place) == ",":
        place += 1
    return place + 1 if word(place) in CONJUNCTIONS else place
