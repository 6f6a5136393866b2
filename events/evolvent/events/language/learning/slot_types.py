"""What a slot may hold, learnt from what it held: an outline of ids, numbers and dates; names; else what was seen.

One value seen teaches that value. Nothing ever widens to free words: a slot must not swallow what changes the meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evolvent.events.language.learning.tokens import VALUE_KINDS, Token, shape, tokenize

MAX_VALUES = 64
MAX_SHAPES = 4
DELIMITED_NAME = 4
"""Words a name may have between words that end it, though shorter ones were seen."""

_RUNS = re.compile(r"[A-Z]+|[a-z]+|\d+|[^\W\d_]+|.", re.DOTALL)
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True)
class SlotType:
    """What a slot may hold: a token of `kinds` fitting `pattern`, `names` words with capitals, or one of `values`.

    `words` of any spelling stand only where a read has to confirm them. `connectors` and numbers stand inside names
    only where they were seen to. Names themselves are not kept.
    """

    kinds: tuple[str, ...] = ()
    pattern: str = ""
    names: int = 0
    connectors: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    has_numbers: bool = False
    words: int = 0
    phrases: tuple[tuple[SlotType, ...], ...] = ()
    """Values of several tokens, one type for each, where words stand beside a number or an id: `invoice 512`."""


def learn_slot(texts: Iterable[str], *, is_quoted: bool = False, is_delimited: bool = True) -> SlotType:
    """Learn what a slot may hold. `is_delimited`: words stand on both sides of it, not other slots."""
    seen = sorted(set(texts))
    if is_quoted:
        return SlotType(("quoted",), _any_of(seen) if len(seen) == 1 else "")
    cut = {text: tokenize(text) for text in seen}
    if len(seen) == 1:
        return SlotType(values=(_key(cut[seen[0]]),))
    strong = [text for text in seen if len(cut[text]) == 1 and cut[text][0].kind in VALUE_KINDS]
    named = [text for text in seen if text not in strong and _is_name(cut[text])]
    rest = [text for text in seen if text not in strong and text not in named]
    if len(named) == 1:
        rest, named = [*rest, *named], []
    phrases, rest = _phrases(rest, cut)
    kinds = sorted({cut[text][0].kind for text in strong})
    longest = max((len(cut[text]) for text in named), default=0)
    if named and all(len(cut[text]) == 1 and text.isupper() for text in named):
        kinds, strong, named, longest = [*kinds, "name"], [*strong, *named], [], 0
    tokens = [token for text in named for token in cut[text]]
    return SlotType(
        kinds=tuple(kinds),
        pattern=_pattern(strong, set(kinds)) if strong else "",
        names=max(longest, DELIMITED_NAME) if longest and is_delimited else longest,
        connectors=tuple(sorted({token.folded for token in tokens if token.kind in ("word", "punct")})),
        values=tuple(sorted(_key(cut[text]) for text in rest)[:MAX_VALUES]),
        has_numbers=any(token.kind in ("number", "id") for token in tokens),
        phrases=phrases,
    )


def _phrases(
    texts: Sequence[str], cut: Mapping[str, list[Token]]
) -> tuple[tuple[tuple[SlotType, ...], ...], list[str]]:
    """Learn values of several tokens column by column, where a column has numbers or ids; and return the others."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for text in texts:
        kinds = tuple(token.kind if token.kind in VALUE_KINDS else "word" for token in cut[text])
        alike.setdefault(kinds, []).append(text)
    fit = {
        kinds: held
        for kinds, held in alike.items()
        if 2 <= len(kinds) <= DELIMITED_NAME and len(held) > 1 and "word" in kinds and set(kinds) != {"word"}
    }
    columns = [
        tuple(_token_type([cut[text][at] for text in held]) for at in range(len(kinds)))
        for kinds, held in sorted(fit.items())
    ]
    return tuple(columns), [text for kinds, held in alike.items() if kinds not in fit for text in held]


def _token_type(tokens: Sequence[Token]) -> SlotType:
    if tokens[0].kind not in VALUE_KINDS:
        return SlotType(values=tuple(sorted({token.folded for token in tokens})[:MAX_VALUES]))
    return SlotType((tokens[0].kind,), _pattern([token.text for token in tokens], {tokens[0].kind}))


def opened(learnt: SlotType, texts: Iterable[str]) -> SlotType:
    """Open a slot to words that were not seen, as many as were seen together, because a read has to confirm them."""
    worded = [tokens for tokens in map(tokenize, texts) if any(token.kind in ("word", "name") for token in tokens)]
    return replace(learnt, words=max(map(len, worded))) if worded else learnt


def _key(tokens: Sequence[Token]) -> str:
    return " ".join(token.folded for token in tokens)


def _is_name(tokens: Sequence[Token]) -> bool:
    """Words with capitals; between them what names have: `of`, `-`, numbers. At least one word with a capital."""
    if not tokens or tokens[-1].kind in ("word", "punct", "stop"):
        return False
    inner = all(token.kind in ("name", "word", "number", "id") or token.text in "-&+'," for token in tokens)
    capitals = sum(token.kind == "name" for token in tokens)
    return inner and tokens[0].kind in ("name", "number") and capitals * 2 >= len(tokens)


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(re.escape(text) for text in texts)


def _pattern(texts: Sequence[str], kinds: set[str]) -> str:
    """Return a regular expression for values of a kind, as narrow as what was seen allows."""
    if kinds <= {"email", "url", "record"}:
        return ""
    if kinds == {"number"}:
        return _number(texts)
    if kinds <= {"money", "duration"}:
        return "|".join(sorted({_measure(text) for text in texts}))
    if kinds <= {"date", "time"}:
        return "|".join(sorted({_calendar(text) for text in texts}))
    by_shape: dict[str, list[str]] = {}
    for text in texts:
        by_shape.setdefault(shape(text), []).append(text)
    if len(by_shape) <= MAX_SHAPES:
        return "|".join(_outline(each, _RUNS) for _, each in sorted(by_shape.items()))
    by_signs: dict[str, list[str]] = {}
    for text in texts:
        by_signs.setdefault(re.sub(r"[^\W_]+", "x", text), []).append(text)
    coarse = re.compile(r"[^\W_]+|.", re.DOTALL)
    return "|".join(_outline(each, coarse) for _, each in sorted(by_signs.items()))


def _calendar(text: str) -> str:
    """A date or time in the way it was written; words such as `tomorrow` stand for themselves."""
    if not any(letter.isdigit() for letter in text):
        return re.escape(text)
    marks = {"9": r"\d{1,4}", "A": r"[^\W\d_]+", "a": r"[^\W\d_]+"}
    parts = (marks.get(mark, re.escape(mark)) for mark in shape(text))
    return "".join(parts).replace(r"[^\W\d_]+" * 2, r"[^\W\d_]+")


def _measure(text: str) -> str:
    """An amount in the currency or unit it was written with: what it is measured in is never open."""
    parts = re.split(r"(\d+(?:[.,]\d+)*)", text)
    return "".join(r"\d+(?:[.,]\d+)*" if part[:1].isdigit() else f"(?i:{re.escape(part)})" for part in parts)


def _number(texts: Sequence[str]) -> str:
    """Numbers that all have as many digits are codes (a zip, an account); others are amounts."""
    figures = [text for text in texts if text[-1:].isdigit()]
    if len(figures) < len(texts):
        return r"[^\W\d_]+|" + (_number(figures) if figures else r"\d{1,15}")
    lengths = {len(text) for text in texts}
    if all(text.isdigit() for text in texts) and len(lengths) == 1 and max(lengths) >= 4:
        return rf"\d{{{max(lengths)}}}"
    sign = "[+-]?" if any(text[0] in "+-" for text in texts) else ""
    if all(_WHOLE.fullmatch(text) for text in texts):
        return sign + r"\d{1,15}"
    return sign + r"(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:[.,]\d{1,4})?"


def _outline(texts: Sequence[str], runs: re.Pattern[str]) -> str:
    """Lay values with the same outline side by side; where letters are the same in all they stay, digits never do."""
    columns = zip(*(runs.findall(text) for text in texts), strict=False)
    return "".join(_column(list(column)) for column in columns)


def _column(parts: list[str]) -> str:
    if not any(part.isalnum() for part in parts):
        return re.escape(parts[0])
    if len(set(parts)) == 1 and not any(letter.isdigit() for letter in parts[0]):
        return re.escape(parts[0])
    every = "".join(parts)
    letters = ("A-Z" if any(each.isupper() for each in every) else "") + (
        "a-z" if any(each.islower() for each in every) else ""
    )
    other = r"\w" if any(each.isalpha() and not each.isascii() for each in every) else ""
    digits = "0-9" if any(each.isdigit() for each in every) else ""
    low, high = min(map(len, parts)), max(map(len, parts))
    if low == high and (digits or letters == "A-Z"):
        return f"[{letters}{digits}{other}]{{{low}}}"
    return (
        f"[{letters}{digits}{other}]{{{low},{high}}}" if not letters else f"[{letters}{digits}{other}]{{1,{2 * high}}}"
    )
