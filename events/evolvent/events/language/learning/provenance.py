"""Where values come from: of each leaf of a trace, whether the request had it or which result showed it first.

Then the request with those values cut out: what is left are the words that say what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from evolvent.events.language.json_bounds import structured
from evolvent.events.language.learning.tokens import VALUE_KINDS, Token, chunks, fold, phrase, tokenize
from evolvent.events.language.learning.traces import Trace, TracedCall

Path = tuple[str | int, ...]
Label = Literal["user", "tool", "web"]
Origin = Literal["request", "result", "nowhere"]

_MAX_VALUE = 300
_EMPTY = "yes no true false none null not never and or the a an to of in on for by is it ok n/a"
_EMPTY_WORDS = frozenset(_EMPTY.split())


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value was first seen: in the request, in a call's result at a path, or nowhere."""

    origin: Origin
    call: int | None = None
    path: Path = ()
    label: Label = "user"


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `start` to `end` (not included) of the request that are one value. `is_free`: no call knows it."""

    start: int
    end: int
    value: str
    label: Label = "user"
    is_free: bool = False


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield path and text of each leaf that can be told from others; truth values and empty texts cannot."""
    if isinstance(value, str):
        if value and not value.isspace():
            yield path, value
    elif isinstance(value, dict | Mapping):
        for key, below in value.items():
            yield from leaves(below, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for place, below in enumerate(value):
            yield from leaves(below, (*path, place))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, str(value)


def is_telling(words: str) -> bool:
    """Say whether meeting this phrase again is no accident: not a single digit, not `yes`."""
    bare = words.strip()
    return len(bare) >= 2 and bare not in _EMPTY_WORDS and not (bare.isdigit() and len(bare) < 2)


@dataclass(frozen=True)
class ValueIndex:
    """A trace's values by phrase. Results are read once; arguments ask where theirs came from."""

    message: str
    calls: tuple[TracedCall, ...]
    results: tuple[Any, ...]
    answer: str = ""
    seen: dict[str, list[tuple[int, Path]]] = field(default_factory=dict)
    arguments: tuple[tuple[tuple[Path, str], ...], ...] = ()

    @cached_property
    def request(self) -> str:
        """The request as one phrase."""
        return phrase(self.message)

    def source(self, text: str, before: int) -> Source:
        """Tell where an argument of call number `before` came from; what the user said outranks results."""
        words = phrase(text)
        if words != "  " and words in self.request:
            return Source("request")
        for call, path in self.seen.get(words, ()):
            if call < before:
                return Source("result", call, path, self.calls[call].origin)
        for call in range(before):
            result = self.results[call]
            if isinstance(result, str) and is_telling(words) and words in phrase(result):
                return Source("result", call, (), self.calls[call].origin)
        return Source("nowhere")

    def label(self, text: str) -> Label:
        """Tell where a value of the request was seen beside it."""
        places = self.seen.get(phrase(text))
        return self.calls[places[0][0]].origin if places else "user"


def value_index(trace: Trace, calls: Sequence[TracedCall] | None = None) -> ValueIndex:
    """Index the values of a trace, or of those of its calls that are worth it."""
    kept = tuple(trace.calls if calls is None else calls)
    results = tuple(structured(call.result) for call in kept)
    index = ValueIndex(
        trace.message,
        kept,
        results,
        trace.answer or "",
        arguments=tuple(tuple(leaves(call.arguments)) for call in kept),
    )
    for number, result in enumerate(results):
        for path, text in leaves(result):
            if len(text) <= _MAX_VALUE:
                index.seen.setdefault(phrase(text), []).append((number, path))
    return index


def mask(index: ValueIndex) -> tuple[list[Token], list[Span]]:
    """Return the request's tokens, and the spans of them that are values: longest first, arguments before results."""
    tokens = tokenize(index.message)
    words = [chunks(token.text) if token.kind not in ("record", "punct", "stop") else [] for token in tokens]
    taken = [False] * len(tokens)
    spans: list[Span] = []
    known = frozenset(word for at in words for word in at)
    wanted = {phrase(text) for each in index.arguments for _, text in each if len(text) <= _MAX_VALUE}
    for values in (wanted, _selectors(index, known) - wanted):
        for words_of in sorted(values, key=lambda each: (-len(each), each)):
            for start, end in _places(words_of.split(), words, taken):
                if values is wanted or not _opens(tokens, start, end):
                    spans.append(_span(index, tokens, start, end))
                    taken[start:end] = [True] * (end - start)
    for start, end in _free_names(tokens, taken):
        spans.append(_span(index, tokens, start, end, is_free=True))
        taken[start:end] = [True] * (end - start)
    for place, token in enumerate(tokens):
        if not taken[place] and token.kind in VALUE_KINDS:
            spans.append(_span(index, tokens, place, place + 1, is_free=True))
    return tokens, sorted(spans, key=lambda span: span.start)


def _span(index: ValueIndex, tokens: list[Token], start: int, end: int, *, is_free: bool = False) -> Span:
    alone = end - start == 1
    text = tokens[start].value if alone else index.message[tokens[start].start : tokens[end - 1].end]
    return Span(start, end, text, index.label(text), is_free)


def _places(value: list[str], words: list[list[str]], taken: list[bool]) -> Iterator[tuple[int, int]]:
    if not value or (len(value) == 1 and (value[0] in _EMPTY_WORDS or (len(value[0]) < 2 and not value[0].isdigit()))):
        return
    for start, first in enumerate(words):
        if not first or first[0] != value[0]:
            continue
        found: list[str] = []
        end = start
        while end < len(words) and len(found) < len(value) and not taken[end]:
            found += words[end]
            end += 1
        if found == value:
            yield start, end


def _opens(tokens: list[Token], start: int, end: int) -> bool:
    """A single word at the start of a sentence says what to do, even where a result has the same word."""
    if end - start > 1 or tokens[start].kind not in ("word", "name"):
        return False
    if start == 0 or tokens[start - 1].kind == "stop" or tokens[start - 1].text == "?":
        return True
    ends = end == len(tokens) or tokens[end].kind in ("punct", "stop", "record")
    return tokens[start - 1].text in ";:" and not ends


def _free_names(tokens: list[Token], taken: list[bool]) -> Iterator[tuple[int, int]]:
    """Words with a capital inside a sentence that no call knows: most are names, and nothing depends on them."""
    place = 0
    while place < len(tokens):
        end = place
        while end < len(tokens) and tokens[end].kind == "name" and not taken[end] and len(tokens[end].text) > 1:
            end += 1
        if end > place and place and tokens[place - 1].kind != "stop" and tokens[place - 1].text not in ";:?":
            yield place, end
        place = max(end, place + 1)


def _selectors(index: ValueIndex, known: frozenset[str]) -> set[str]:
    """Values of results that may stand in the request: names, and lower-case words that select a list's element."""
    used = {phrase(text) for each in index.arguments for _, text in each}
    answer = phrase(index.answer)
    chosen: set[str] = set()
    for words, places in index.seen.items():
        bare = words.strip()
        if not bare or bare.split(" ", 1)[0] not in known or words not in index.request:
            continue
        if _is_name(index, places[0]) or any(_selects(index, place, words, used, answer) for place in places[:8]):
            chosen.add(words)
    return chosen


def _is_name(index: ValueIndex, place: tuple[int, Path]) -> bool:
    text = str(reach(index.results[place[0]], place[1]))
    return any(letter.isupper() for letter in text) and fold(text) != text and text[:1].isupper()


def _selects(index: ValueIndex, place: tuple[int, Path], words: str, used: set[str], answer: str) -> bool:
    call, path = place
    cuts = [at for at, step in enumerate(path) if isinstance(step, int)]
    if not cuts:
        return False
    element = reach(index.results[call], path[: cuts[-1] + 1])
    beside = (phrase(text) for _, text in leaves(element))
    telling = (other for other in beside if is_telling(other) and other not in index.request)
    return any(other in used or other in answer for other in telling)


def reach(value: Any, path: Path) -> Any:
    """Return what stands at a path."""
    for step in path:
        value = value[step]
    return value


def beside(index: ValueIndex, text: str, number: int) -> set[str]:
    """Phrases of the list element that a value was taken from."""
    source = index.source(text, number)
    cuts = [at for at, step in enumerate(source.path) if isinstance(step, int)]
    if source.call is None or not cuts:
        return set()
    element = reach(index.results[source.call], source.path[: cuts[-1] + 1])
    return {phrase(leaf) for _, leaf in leaves(element)}
