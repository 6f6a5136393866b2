"""How a template may read tokens: every way, lazily, with what its slots then hold. The matcher wants exactly one.

Reading costs steps, and steps are bounded: a text that can be read in very many ways is not read at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evolvent.events.errors import EvolventError
from evolvent.events.language.learning.skeletons import CONJUNCTIONS
from evolvent.events.language.learning.slot_types import SlotType
from evolvent.events.language.learning.templates import Element, Literal, Repeat, SlotPart
from evolvent.events.language.learning.tokens import Token

MAX_STEPS = 20_000
MAX_ITEMS = 50

Slots = dict[str, str | tuple[str, ...]]
_Bound = tuple[tuple[str, str], ...]


class TooManyReadingsError(EvolventError):
    """The text can be read in too many ways; the agent should read it."""


@dataclass
class Reader:
    """Reads one message. `forbidden`: words of templates and words that turn a meaning: no name holds them."""

    message: str
    tokens: Sequence[Token]
    forbidden: frozenset[str]
    patterns: Mapping[str, re.Pattern[str]]
    steps: int = field(default=0)

    def read(self, elements: Sequence[Element], start: int) -> Iterator[tuple[int, Slots]]:
        """Yield where the elements may end, and what the slots then hold."""
        for end, bound in self._sequence(elements, 0, start):
            slots: Slots = {}
            for name, value in bound:
                slots[name] = value
            yield end, slots

    def _sequence(
        self, elements: Sequence[Element], number: int, place: int
    ) -> Iterator[tuple[int, tuple[tuple[str, str | tuple[str, ...]], ...]]]:
        self._step()
        if number == len(elements):
            yield place, ()
            return
        element = elements[number]
        if isinstance(element, Literal):
            if place < len(self.tokens) and _is(self.tokens[place], element.word):
                yield from self._sequence(elements, number + 1, place + 1)
            return
        if isinstance(element, SlotPart):
            for end in self.ends(element.type, place):
                head = ((element.slot, self.text(place, end)),)
                for last, rest in self._sequence(elements, number + 1, end):
                    yield last, head + rest
            return
        for end, items in self._repeat(element, place):
            head_items = tuple(
                (part.slot, tuple(dict(item)[part.slot] for item in items))
                for part in element.parts
                if isinstance(part, SlotPart)
            )
            for last, rest in self._sequence(elements, number + 1, end):
                yield last, head_items + rest

    def _repeat(
        self, group: Repeat, place: int, count: int = 0, *, is_last: bool = False
    ) -> Iterator[tuple[int, tuple[_Bound, ...]]]:
        """Read the things of a group. In a list with commas the one after `and` is the last."""
        self._step()
        if count >= MAX_ITEMS:
            return
        for end, bound in self._item(group.parts, 0, place):
            if group.separator == ";":
                closed = end < len(self.tokens) and self.tokens[end].text == ";"
                if closed:
                    for last, more in self._repeat(group, end + 1, count + 1):
                        yield last, (bound, *more)
                yield (end + 1 if closed else end), (bound,)
                continue
            if count:
                yield end, (bound,)
            following = self._after_comma(end)
            if following > end and not is_last:
                for last, more in self._repeat(
                    group, following, count + 1, is_last=self.tokens[following - 1].text != ","
                ):
                    yield last, (bound, *more)

    def _item(self, parts: Sequence[Literal | SlotPart], number: int, place: int) -> Iterator[tuple[int, _Bound]]:
        self._step()
        if number == len(parts):
            yield place, ()
            return
        part = parts[number]
        if isinstance(part, Literal):
            if place < len(self.tokens) and _is(self.tokens[place], part.word):
                yield from self._item(parts, number + 1, place + 1)
            return
        for end in self.ends(part.type, place):
            for last, rest in self._item(parts, number + 1, end):
                yield last, ((part.slot, self.text(place, end)), *rest)

    def ends(self, kind: SlotType, place: int) -> Iterator[int]:
        """Yield where a slot that starts here may end."""
        if place >= len(self.tokens):
            return
        found: set[int] = set()
        token = self.tokens[place]
        if token.kind in kind.kinds and self._fits(kind.pattern, token):
            found.add(place + 1)
        for value in kind.values:
            words = value.split(" ")
            if token.folded == words[0] and [each.folded for each in self.tokens[place : place + len(words)]] == words:
                found.add(place + len(words))
        for columns in kind.phrases:
            if all(place + at + 1 in self.ends(column, place + at) for at, column in enumerate(columns)):
                found.add(place + len(columns))
        found.update(self._names(kind, place))
        found.update(self._open(kind, place))
        yield from sorted(found)

    def text(self, start: int, end: int) -> str:
        """Return what a slot over these tokens holds."""
        if end - start == 1:
            return self.tokens[start].value
        return self.message[self.tokens[start].start : self.tokens[end - 1].end]

    def _fits(self, pattern: str, token: Token) -> bool:
        if token.kind == "name" and token.folded in self.forbidden:
            return False
        return not pattern or self.patterns[pattern].fullmatch(token.value) is not None

    def _names(self, kind: SlotType, place: int) -> Iterator[int]:
        for at in range(place, min(place + kind.names, len(self.tokens))):
            token = self.tokens[at]
            if token.kind == "name" or (kind.has_numbers and token.kind in ("number", "id")):
                if token.folded in self.forbidden:
                    return
                yield at + 1
            elif at == place or token.folded not in kind.connectors:
                return

    def _open(self, kind: SlotType, place: int) -> Iterator[int]:
        for at in range(place, min(place + kind.words, len(self.tokens))):
            token = self.tokens[at]
            if token.folded in self.forbidden or token.kind not in ("word", "name", "number", "id", "punct"):
                return
            if token.kind != "punct":
                yield at + 1
            elif at == place or token.folded not in "-&+'/":
                return

    def _after_comma(self, place: int) -> int:
        if place < len(self.tokens) and self.tokens[place].text == ",":
            place += 1
        if place < len(self.tokens) and self.tokens[place].folded in CONJUNCTIONS:
            place += 1
        return place

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooManyReadingsError


def _is(token: Token, word: str) -> bool:
    """A stop inside a template is a full stop, whatever ends the sentence in the text."""
    return token.folded == word or (word == "." and token.kind == "stop")
