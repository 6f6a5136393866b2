"""Text as tokens: words, names, and the things that are values wherever they stand (ids, numbers, dates, records …).

Learning and matching cut text with the same knife: what was one token when it was learnt is one when it is matched.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

VALUE_KINDS = frozenset({"id", "number", "money", "duration", "email", "url", "date", "time", "quoted", "record"})
"""Kinds that are a slot wherever they stand; `word` and `name` become one by provenance only."""

MAX_TEXT = 8_000
"""Longer requests are neither learnt from nor matched: nobody repeats them."""

_MONTHS = (
    "jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|février|mar(?:ch|s|zo)?|märz|apr(?:il)?|avril|abril|may|mai|mayo|"
    "june?|juni|juin|junio|july?|juli|juillet|julio|aug(?:ust)?|août|agosto|sept?(?:ember|embre|iembre)?|"
    "oct(?:ober|obre|ubre)?|okt(?:ober)?|nov(?:ember|embre|iembre)?|dec(?:ember)?|dez(?:ember)?|décembre|diciembre|"
    "enero|febrero"
)
_DAYS = (
    "(?:mon|tues|wednes|thurs|fri|satur|sun)day|today|tomorrow|yesterday|"
    "montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|heute|morgen|gestern|"
    "lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|demain|mañana"
)
NUMBER_WORDS = {
    word: number
    for words in (
        "zero one two three four five six seven eight nine ten eleven twelve",
        "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze",
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
    )
    for number, word in enumerate(words.split())
}
"""Numbers as words. `one` and its like are often no number: they count only before a unit."""
_ONES_LISTED = "one null eins un uno once neuf dix"
_ONES = frozenset(_ONES_LISTED.split())
_COUNTS = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_CURRENCIES = "EUR|USD|GBP|CHF|JPY|euros?|dollars?|francs?|pounds?"
_UNITS = (
    "seconds?|secs?|minutes?|mins?|hours?|hrs?|h|days?|weeks?|sekunden?|minuten|stunden?|tagen?|wochen?|"
    "secondes?|heures?|jours?|semaines?|segundos?|minutos?|horas?|días?|semanas?"
)
_PATTERN = re.compile(
    r"""
    (?P<stop>\n+|[。\uff01])
    |(?P<record>\{\s*\}|\{(?=[^{}'":]*+['":])(?:[^{}]++|\{[^{}]*+\})*+\}|\[(?=[^\[\]'",\d]*+['",\d])(?:[^\[\]]++|\[[^\[\]]*+\])*+\])
    |(?P<quoted>"[^"\n]{1,300}"|“[^”\n]{1,300}”|«[^»\n]{1,300}»|„[^“”\n]{1,300}[“”]|`[^`\n]{1,300}`
      |(?<![\w'])'[^'\n]{1,300}'(?!\w)|(?<!\w)\u2018[^\u2019\n]{1,300}\u2019(?!\w))
    |(?P<url>https?://[^\s<>"']*[\w/])
    |(?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)
    |(?P<money>(?:[$€£¥]\s?|(?<!\w)(?:EUR|USD|GBP|CHF|JPY)\s)\d+(?:[.,]\d+)*(?!\w)
      |(?<![\w#@.,/-])\d+(?:[.,]\d+)*\s?(?:[$€£¥](?!\w)|(?:CURRENCIES)(?![\w-])))
    |(?P<duration>(?<![\w#@.,/:-])(?:\d+(?:[.,]\d+)?\s?|(?:COUNTS|an?)\s)(?:UNITS)(?![\w-]))
    |(?P<time>\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]m\b)?(?![\w:])|\d{1,2}\s?[ap]m\b)
    |(?P<date>\d{4}-\d{2}-\d{2}(?:[T\s]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?!\w)
      |\d{1,2}/\d{1,2}/\d{2,4}(?!\w)|\d{1,2}\.\d{1,2}\.\d{4}(?!\w)
      |\b(?:MONTHS)\.?\s\d{1,2}(?:st|nd|rd|th)?(?:,?\s\d{4})?(?!\w)
      |\d{1,2}(?:st|nd|rd|th|\.)?\s(?:of\s|de\s)?(?:MONTHS)\b(?:\s(?:de\s)?\d{4})?
      |\b(?:DAYS)\b)
    |(?P<number>(?<![A-Z0-9_#@])[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![A-Z0-9_])|(?<![A-Z0-9_#@])[+-]?\d+(?:[.,]\d+)?(?![A-Z0-9_]|-\w))
    |(?P<cjk>[\u3040-\u30ff\u3400-\u9fff])
    |(?P<chunk>[#@]?[^\W\u3040-\u30ff\u3400-\u9fff]+(?:[.:/'\u2019&-][^\W\u3040-\u30ff\u3400-\u9fff]+)*)
    |(?P<punct>\S)
    """.replace("MONTHS", _MONTHS)
    .replace("DAYS", _DAYS)
    .replace("CURRENCIES", _CURRENCIES)
    .replace("COUNTS", _COUNTS)
    .replace("UNITS", _UNITS),
    re.VERBOSE | re.IGNORECASE,
)
_LETTER = r"[^\W\u3040-\u30ff\u3400-\u9fff]"
_CHUNK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[#@]?LETTER+(?:[._/:@+'\u2019-]LETTER+)*".replace("LETTER", _LETTER))
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_ABBREVIATIONS_LISTED = "mr mrs ms dr st vs prof approx nr hr fr etc inc ltd"
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_LISTED.split())


class Token(NamedTuple):
    """A piece of text. `value` is what a slot of it holds: quoted text without its quotes, otherwise the text."""

    text: str
    kind: str
    start: int
    end: int
    folded: str
    value: str


def fold(text: str) -> str:
    """Return a text as it is compared: without case, with one kind of apostrophe."""
    return text.casefold().replace("\u2019", "'")


def tokenize(text: str) -> list[Token]:
    """Cut a text into tokens; nothing but blanks is left out."""
    tokens: list[Token] = []
    for found in _PATTERN.finditer(text):
        kind = _kind(str(found.lastgroup), found.group())
        word = found.group()
        if kind == "punct" and word in ".!…":
            kind = "punct" if word == "." and _abbreviates(tokens, found.start()) else "stop"
        value = word[1:-1] if kind == "quoted" else word
        tokens.append(Token(word, kind, found.start(), found.end(), fold(word), value))
    return tokens


def _kind(group: str, word: str) -> str:
    if group == "cjk":
        return "word"
    if group != "chunk":
        return group
    if word.casefold() in NUMBER_WORDS and word.casefold() not in _ONES:
        return "number"
    if word[0] in "#@" or "_" in word or any(letter.isdigit() for letter in word):
        return "id"
    return "name" if word[0].isupper() else "word"


def _abbreviates(tokens: list[Token], start: int) -> bool:
    return bool(tokens) and tokens[-1].end == start and tokens[-1].folded in _ABBREVIATIONS


def chunks(text: str) -> list[str]:
    """Return the words of a text in the form values are compared in; 120.50 and 120.5 are the same."""
    return [_plain(word) for word in _CHUNK.findall(fold(text))]


def _plain(word: str) -> str:
    if not word[0].isdigit() or not _NUMBER.fullmatch(word) or (word[0] == "0" and len(word) > 1 and word[1] != "."):
        return word
    return word.rstrip("0").rstrip(".") if "." in word else word


@lru_cache(maxsize=4096)
def phrase(text: str) -> str:
    """Return the words of a text between blanks: of two such, `in` compares whole words."""
    return f" {' '.join(chunks(text))} "


def shape(text: str) -> str:
    """Return the outline of a value: letters as A or a, digits as 9, each run once; signs as they are."""
    outline: list[str] = []
    for letter in text:
        mark = "9" if letter.isdigit() else letter
        if letter.isalpha():
            mark = "A" if letter.isupper() else "a"
        if not outline or outline[-1] != mark or mark not in "9Aa":
            outline.append(mark)
    return "".join(outline)
