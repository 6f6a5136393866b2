"""Values as learning compares them: what a text means as a number, date or record, and when two values are the same."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from evolvent.events.language.json_bounds import structured
from evolvent.events.language.json_paths import Path
from evolvent.events.language.learning.tokens import NUMBER_WORDS

MAX_LITERAL = 20_000
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_CONTINENTAL = re.compile(r"\d{1,3}(?:\.\d{3})+,\d{1,2}|\d+,\d{1,2}")
_MONEY = re.compile(
    r"(?:[$€£¥]|[A-Z]{3}|CHF)?\s*"
    r"([-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\d{1,3}(?:\.\d{3})+,\d{1,2}|\d+,\d{1,2}))"
    r"\s*(?:[$€£¥]|[A-Za-z]{3,8})?"
)
_DURATION = re.compile(r"(\d+(?:[.,]\d+)?|[^\W\d]+)\s?([^\W\d]+)")
_CURRENCIES = (
    *(("€", "EUR"), ("eur", "EUR"), ("$", "USD"), ("usd", "USD"), ("dollar", "USD"), ("£", "GBP"), ("gbp", "GBP")),
    *(("pound", "GBP"), ("chf", "CHF"), ("franc", "CHF"), ("¥", "JPY"), ("jpy", "JPY")),
)
_SIZES = (
    *((start, 604_800) for start in ("week", "woche", "semaine", "semana")),
    *((start, 86_400) for start in ("day", "tag", "jour", "día")),
    *((start, 1) for start in ("sec", "sek", "seg")),
    *((start, 60) for start in ("min",)),
    *((start, 3600) for start in ("h", "stunde")),
)
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%B %d %Y", "%b %d %Y", "%d.%m.%Y")
_WORD = re.compile(r"[A-Za-z][A-Za-z_\-]{0,30}(?: [A-Za-z()_\-]{1,20}){0,2}")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")
_OF = re.compile(r" (?:of|de) ", re.IGNORECASE)
_CLOCKS = ("%H:%M", "%I:%M %p", "%I %p", "%I:%M%p", "%I%p")
_AMOUNTS = {"amount", "price", "total", "sum", "cost", "fee", "balance", "quantity", "qty", "money", "budget", "value"}
_IDENTITIES = {"id", "ids", "key", "token", "email", "account", "iban", "phone", "uuid", "user", "owner", "number"}


def number_of(text: str) -> int | float | None:
    """Return the number that a text is, in figures or as a word; None if it is none."""
    plain = text.strip()
    if len(plain) > 40 or not _NUMBER.fullmatch(plain):
        return NUMBER_WORDS.get(plain.casefold()) if len(plain) <= 12 else None
    return float(plain.replace(",", "")) if "." in plain else int(plain.replace(",", ""))


@lru_cache(maxsize=8192)
def money_of(text: str) -> int | float | None:
    """Return the amount in a text such as `$1,200.50`, `30 EUR` or `1.250,00 €`; None if it is none."""
    match = _MONEY.fullmatch(text.strip()) if len(text) <= 60 else None
    plain = match.group(1) if match else ""
    if _CONTINENTAL.fullmatch(plain):
        plain = plain.replace(".", "").replace(",", ".")
    return number_of(plain) if plain else None


def decimal_of(text: str) -> str | None:
    """Return the amount in a text as it is written with a point and two decimals; None if it is none."""
    amount = money_of(text)
    return None if amount is None else f"{amount:.2f}"


def currency_of(text: str) -> str | None:
    """Return the code of the currency in an amount; None where it names none."""
    if money_of(text) is None:
        return None
    plain = text.strip().casefold()
    return next((code for mark, code in _CURRENCIES if mark in plain), None)


@lru_cache(maxsize=8192)
def seconds_of(text: str) -> int | float | None:
    """Return how many seconds a duration such as `90 minutes` or `one hour` is; None if it is none."""
    match = _DURATION.fullmatch(text.strip().casefold()) if len(text) <= 40 else None
    if match is None:
        return None
    count = 1 if match.group(1) in ("a", "an") else number_of(match.group(1).replace(",", "."))
    unit = next((size for start, size in _SIZES if match.group(2).startswith(start)), None)
    return None if count is None or unit is None else count * unit


def duration_in(unit: int) -> Callable[[str], int | float | None]:
    """Return what reads a duration in whole units of so many seconds."""

    def read(text: str) -> int | float | None:
        seconds = seconds_of(text)
        return None if seconds is None or seconds % unit else int(seconds // unit)

    return read


@lru_cache(maxsize=8192)
def date_of(text: str) -> str | None:
    """Return the ISO form of a whole date in a text; a date that can be read in two ways is none."""
    plain = _OF.sub(" ", _ORDINAL.sub("", " ".join(text.split()))) if len(text) <= 40 else ""
    for form in _DATES:
        try:
            return date.fromisoformat(datetime.strptime(plain, form).date().isoformat()).isoformat()  # noqa: DTZ007
        except ValueError:
            continue
    return None


@lru_cache(maxsize=8192)
def clock_of(text: str) -> str | None:
    """Return the time of day in a text as HH:MM; None if it is none."""
    plain = " ".join(text.upper().replace(".", "").split()) if len(text) <= 12 else ""
    for form in _CLOCKS:
        try:
            return datetime.strptime(plain, form).strftime("%H:%M")  # noqa: DTZ007 - a time of day has no zone
        except ValueError:
            continue
    return None


def literal_of(text: str) -> Any:
    """Return the record or list that a text spells, as JSON or as a Python literal; None if it spells none."""
    plain = text.strip()
    if plain[:1] not in ("{", "[") or len(plain) > MAX_LITERAL:
        return None
    found = structured(plain)
    if isinstance(found, str):
        try:
            found = ast.literal_eval(plain)
            json.dumps(found, allow_nan=False)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
    return found if isinstance(found, dict | list) else None


def same(left: object, right: object, *, loose: bool = False) -> bool:
    """Say whether two JSON values are the same; `loose` ignores case, outer blanks, and numbers written as text."""
    try:
        return bool(key_of(left, loose=loose) == key_of(right, loose=loose))
    except (RecursionError, TypeError, ValueError):
        return False


def key_of(value: object, *, loose: bool = False) -> Any:
    """Return something hashable that two values share exactly if they are the same."""
    match value:
        case bool() | None:
            return ("w", value)
        case int() | float():
            return ("n", value)
        case str():
            return _text_key(value) if loose else ("t", value)
        case dict():
            return ("d", frozenset((str(name), key_of(child, loose=loose)) for name, child in value.items()))
        case list() | tuple():
            return ("l", tuple(key_of(child, loose=loose) for child in value))
        case _:
            return ("?", repr(value))


def _text_key(text: str) -> Any:
    plain = text.strip().casefold()
    # Leading zeros matter: the postcode 01234 is not the number 1234.
    is_plain_number = plain[:1].isdigit() and (plain[0] != "0" or len(plain) == 1 or plain[1] == ".")
    number = number_of(plain) if is_plain_number and "," not in plain else None
    return ("t", plain) if number is None else ("n", number)


def leaves(value: object, *, limit: int = 4000) -> Iterator[tuple[Path, Any]]:
    """Yield every part of a value that is no record and no list, with its path."""
    stack: list[tuple[Path, object]] = [((), structured(value))]
    while stack and limit > 0:
        path, part = stack.pop()
        if isinstance(part, dict) and len(path) < 12:
            stack.extend(((*path, str(name)), child) for name, child in reversed(list(part.items())))
        elif isinstance(part, list | tuple) and len(path) < 12:
            stack.extend(((*path, index), child) for index, child in reversed(list(enumerate(part))))
        else:
            limit -= 1
            yield path, part


def words_of_name(name: str) -> set[str]:
    """Return the words of an argument's or field's name: `order_id`, `orderId` and `order-id` have the same."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)}


def is_identity(name: str, value: object) -> bool:
    """Say whether a value looks as if it named one thing or person: such a value never becomes a constant."""
    if isinstance(value, str) and (re.search(r"\d", value) or "@" in value):
        return True
    return bool(words_of_name(name) & _IDENTITIES) and isinstance(value, str | int) and not isinstance(value, bool)


def is_amount(name: str, value: object) -> bool:
    """Say whether a value looks like an amount: such a value never becomes a constant."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return isinstance(value, str) and money_of(value) is not None
    return isinstance(value, float) or bool(words_of_name(name) & _AMOUNTS)


def is_word(value: object) -> bool:
    """Say whether a value is a flag or one short word as states are: all that a guard ever learns by heart."""
    return isinstance(value, bool) or (isinstance(value, str) and _WORD.fullmatch(value) is not None)
