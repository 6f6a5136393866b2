"""The query language: the part of SPL that both log sources understand alike. Pure.

    query   = ["search"] [all] {"|" command}        command = "stats count" ["by" place {"," place}] | "head" N
    all     = any {["AND"] any}                     place   = "index" | "sourcetype" | "source" | "host"
    any     = one {"OR" one}
    one     = "NOT" one | "(" all ")" | word | "a phrase" | name=value | name="a value"

OR binds more tightly than AND, as in Splunk. A `*` may end a word or value, and stands anywhere in the value of a
place. Commands that write, subsearches and macros do not exist here, so no query can change anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evolvent.orchestrator.tools.refusals import QueryInvalid
from evolvent.storage.log_query import (
    PLACES,
    AllOf,
    AnyOf,
    Condition,
    Everything,
    FieldIs,
    LogQuery,
    Not,
    Phrase,
    Place,
    PlacedIn,
)

MOST_CHARACTERS: Final = 2_000
MOST_TERMS: Final = 100
MOST_DEPTH: Final = 16
MOST_HEAD: Final = 10_000
_TOKEN = re.compile(r'\s*(?:([()|,])|((?:[^\s()|",]*)"(?:[^"\\]|\\.)*")|([^\s()|",]+))')
_FIELD = re.compile(r"([A-Za-z_][\w.:-]*?)=(.*)", re.DOTALL)
_COMPARED = re.compile(r"[\w.]+(!=|<=|>=|<|>)")
_LANGUAGE = (
    'words, "phrases", AND, OR, NOT, parentheses, index=, sourcetype=, field=value, '
    "`| stats count by index|sourcetype|source|host`, `| head N`"
)


def parsed(text: str) -> LogQuery:
    """Return what a query asks.

    Raises:
        QueryInvalid: If it is not in the language; the message says what is, and nothing was searched.
    """
    if len(text) > MOST_CHARACTERS or "\0" in text:
        raise QueryInvalid(f"A query may have {MOST_CHARACTERS} characters at most, and no NUL.")
    stages = _stages(_tokens(text))
    words = stages[0]
    if words and words[0].text.lower() == "search" and not words[0].is_quoted:
        words = words[1:]
    query = LogQuery(_Parser(words).whole() if words else Everything())
    for stage in stages[1:]:
        query = _with_command(query, stage)
    return query


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    is_quoted: bool = False

    def is_word(self, *words: str) -> bool:
        return not self.is_quoted and self.text in words


class _Parser:
    """One reading of the tokens, from left to right."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = list(tokens)
        self._at = 0
        self._terms = 0

    def whole(self) -> Condition:
        found = self._all(0)
        if self._at < len(self._tokens):
            raise QueryInvalid(f"{self._tokens[self._at].text!r} stands alone; balance the parentheses.")
        return found

    def _all(self, depth: int) -> Condition:
        if depth > MOST_DEPTH:
            raise QueryInvalid(f"Parentheses and NOT may be nested {MOST_DEPTH} deep at most.")
        parts = [self._any(depth)]
        while (token := self._next()) is not None and not token.is_word(")"):
            if token.is_word("AND"):
                self._at += 1
            parts.append(self._any(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _any(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while (token := self._next()) is not None and token.is_word("OR"):
            self._at += 1
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _one(self, depth: int) -> Condition:
        token = self._next()
        if token is None or token.is_word("AND", "OR", ")", ","):
            missing = "The query ends" if token is None else f"{token.text!r} stands"
            raise QueryInvalid(f"{missing} where a word is expected; write one, or quote it. Known are: {_LANGUAGE}.")
        self._at += 1
        if token.is_word("NOT"):
            if depth >= MOST_DEPTH:
                raise QueryInvalid(f"Parentheses and NOT may be nested {MOST_DEPTH} deep at most.")
            return Not(self._one(depth + 1))
        if token.is_word("("):
            inner = self._all(depth + 1)
            closing = self._next()
            if closing is None or not closing.is_word(")"):
                raise QueryInvalid("A parenthesis is not closed; balance the parentheses.")
            self._at += 1
            return inner
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise QueryInvalid(f"A query may have {MOST_TERMS} terms at most.")
        return _term(token)

    def _next(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryInvalid("A quotation mark is not closed; close it.")
        sign, quoted, word = match.groups()
        if word and word[0] in "[`]":
            raise QueryInvalid(f"Subsearches and macros are not known here; there are: {_LANGUAGE}.")
        found.append(_Token(sign or quoted or word, is_quoted=quoted is not None))
        at = match.end()
    return found


def _stages(tokens: list[_Token]) -> list[list[_Token]]:
    stages: list[list[_Token]] = [[]]
    for token in tokens:
        if token.is_word("|"):
            stages.append([])
        else:
            stages[-1].append(token)
    return stages


def _term(token: _Token) -> Condition:
    before, quote, inside = token.text.partition('"') if token.is_quoted else (token.text, "", "")
    phrase = re.sub(r"\\(.)", r"\1", inside[:-1], flags=re.DOTALL)
    if compared := _COMPARED.match(before):
        raise QueryInvalid(f"{compared[1]!r} is not known here; write `NOT field=value`, or search for words.")
    if field := _FIELD.fullmatch(before):
        return _field(field[1], phrase if quote else field[2], is_quoted=bool(quote))
    if before and quote:
        raise QueryInvalid(f"{token.text[:60]!r} cannot be read; put a space before the quotation mark.")
    if quote:
        return Phrase(_searchable(phrase))
    return Everything() if before == "*" else Phrase(*_open_ended(before))


def _field(name: str, value: str, *, is_quoted: bool) -> Condition:
    lowered = name.lower()
    if lowered in ("earliest", "latest"):
        raise QueryInvalid(f"{name!r} is no part of the query; give the time range beside it.")
    if not value:
        raise QueryInvalid(f"{name}= has no value; write {name}=value.")
    for place in PLACES:
        if lowered == place:
            return PlacedIn(place, value)
    if is_quoted:
        return FieldIs(name, _searchable(value))
    return FieldIs(name, *_open_ended(value))


def _open_ended(word: str) -> tuple[str, bool]:
    stem = word.removesuffix("*")
    if "*" in stem:
        raise QueryInvalid(f"In {word[:60]!r} a `*` stands before the end; it may only end a word, as in `fail*`.")
    return _searchable(stem), stem != word


def _searchable(text: str) -> str:
    if not any(sign.isalnum() for sign in text):
        raise QueryInvalid(f"{text[:60]!r} holds no letter and no digit, so it cannot be searched for.")
    return text


def _with_command(query: LogQuery, stage: Sequence[_Token]) -> LogQuery:
    words = [token.text for token in stage if not token.is_word(",")]
    match words:
        case ["head", number] if number.isdecimal() and 0 < int(number) <= MOST_HEAD and query.head is None:
            return LogQuery(query.condition, query.count_by, int(number))
        case ["stats", "count"] if query.count_by is None and query.head is None:
            return LogQuery(query.condition, (), None)
        case ["stats", "count", "by", *names] if names and query.count_by is None and query.head is None:
            return LogQuery(query.condition, _places(names), None)
        case _:
            shown = " ".join(words)[:80]
            raise QueryInvalid(f"`| {shown}` is not known here, or not in this place; there are: {_LANGUAGE}.")


def _places(names: Sequence[str]) -> tuple[Place, ...]:
    found = [place for name in names for place in PLACES if place == name.lower()]
    if len(found) != len(names) or len(set(found)) != len(found):
        raise QueryInvalid(f"Events are counted by {', '.join(PLACES)}, each once; not by {', '.join(names)[:80]!r}.")
    return tuple(found)
