"""What a search of the log index may ask, as data, and the SQL that it comes to. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

Place = Literal["index", "sourcetype", "source", "host"]
PLACES: tuple[Place, ...] = ("index", "sourcetype", "source", "host")
COLUMNS: dict[Place, str] = {
    "index": "f.index_name",
    "sourcetype": "f.sourcetype",
    "source": "f.path",
    "host": "e.host",
}


@dataclass(frozen=True, slots=True)
class Everything:
    """Every event."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that follow each other in the text. With `is_prefix`, the last may go on."""

    text: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class FieldIs:
    """`name=value`, `name: value` or `"name": "value"` in the text."""

    name: str
    value: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class PlacedIn:
    """Events of an index, sourcetype, source or host; `*` in the value stands for anything."""

    place: Place
    value: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """All conditions hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the conditions holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    part: Condition


Condition: TypeAlias = Everything | Phrase | FieldIs | PlacedIn | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A condition, and what is made of the events that meet it."""

    condition: Condition
    count_by: tuple[Place, ...] | None = None
    """Count events by these instead of returning them; () counts them all."""
    head: int | None = None
    """Take only the latest so many events, or the first so many rows."""


def condition_sql(condition: Condition) -> tuple[str, list[str]]:
    """Return an expression over events `e`, and its parameters."""
    if (words := _words(condition)) is not None:
        return "e.id IN (SELECT rowid FROM words WHERE words MATCH ?)", [words]
    match condition:
        case FieldIs(name=name, value=value, is_prefix=is_prefix):
            near, found = condition_sql(Phrase(f"{name} {value}", is_prefix))
            return f"({near} AND has_field(e.text, ?, ?, {int(is_prefix)}))", [*found, name, value]
        case PlacedIn(place="host", value=value):
            return "lower(e.host) GLOB ?", [_glob(value)]
        case PlacedIn(place=place, value=value):
            column = COLUMNS[place].replace("f.", "")
            return f"e.file_id IN (SELECT id FROM files WHERE lower({column}) GLOB ?)", [_glob(value)]  # noqa: S608
        case AllOf(parts=parts):
            return _joined(_gathered(parts), " AND ")
        case AnyOf(parts=parts):
            return _joined(parts, " OR ")
        case Not(part=part):
            inner, values = condition_sql(part)
            return f"NOT ({inner})", values
        case _:
            return "1", []


@lru_cache(maxsize=64)
def field_pattern(name: str, value: str, is_prefix: int) -> re.Pattern[str]:
    """Return what finds a field with a value in a text. It takes linear time."""
    end = "" if is_prefix else r"(?![.-]?\w)"
    return re.compile(rf"(?<!\w){re.escape(name)}\"?\s?[=:]\s?\"?{re.escape(value)}{end}", re.IGNORECASE)


def _words(condition: Condition) -> str | None:
    """Return a condition on text alone in the language of the full-text index; None if it is more, or less."""
    match condition:
        case Phrase(text=text, is_prefix=is_prefix):
            return '"' + text.replace('"', " ") + '"' + ("*" if is_prefix else "")
        case AnyOf(parts=parts):
            found = [_words(part) for part in parts]
            return None if None in found else "(" + " OR ".join(filter(None, found)) + ")"
        case AllOf(parts=parts):
            wanted = [_words(part) for part in parts if not isinstance(part, Not)]
            unwanted = [_words(part.part) for part in parts if isinstance(part, Not)]
            if not wanted or None in wanted or None in unwanted:
                return None
            together = "(" + " AND ".join(filter(None, wanted)) + ")"
            return "(" + " NOT ".join([together, *filter(None, unwanted)]) + ")"
        case _:
            return None


def _gathered(parts: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Put the parts that are text alone into one, so that the full-text index is asked once for all of them."""
    texts = [part for part in parts if _words(part) is not None]
    if not texts:
        return parts
    texts += [part for part in parts if isinstance(part, Not) and _words(part.part) is not None]
    return (AllOf(tuple(texts)), *(part for part in parts if part not in texts))


def _joined(parts: tuple[Condition, ...], word: str) -> tuple[str, list[str]]:
    found = [condition_sql(part) for part in parts]
    return "(" + word.join(sql for sql, _ in found) + ")", [value for _, values in found for value in values]


def _glob(value: str) -> str:
    return re.sub(r"[\[?]", r"[\g<0>]", value.lower())
