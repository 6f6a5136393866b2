"""The same thing in several forms: numbers, amounts, dates, times and durations as people write them."""

from __future__ import annotations

import random
from datetime import date, timedelta

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TODAY = date(2026, 3, 2)
FIRST_NAMES = [
    "Ada",
    "Bruno",
    "Carla",
    "Dmitri",
    "Elif",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Katya",
    "Leon",
    "Mira",
    "Nils",
    "Olga",
    "Pavel",
    "Qi",
    "Rosa",
    "Sven",
    "Tilda",
    "Uma",
    "Viktor",
    "Wanda",
    "Xenia",
    "Yannick",
    "Zora",
]
LAST_NAMES = [
    "Albrecht",
    "Baptiste",
    "Castellano",
    "Dahl",
    "Eriksen",
    "Fournier",
    "Grimaldi",
    "Hofer",
    "Ivanova",
    "Jankowski",
    "Keller",
    "Lindqvist",
    "Moreau",
    "Novak",
    "Okafor",
    "Petrov",
    "Quist",
    "Rinaldi",
    "Schuster",
    "Takala",
    "Urban",
    "Vogel",
    "Weiss",
    "Yilmaz",
    "Zeller",
]


def number(value: int, draw: random.Random) -> str:
    """6 or six."""
    return _WORDS[value] if value < len(_WORDS) and draw.random() < 0.5 else str(value)


def amount(cents: int, draw: random.Random) -> str:
    """€1,250.00, 1250.00 EUR, EUR 1,250.00, 1.250,00 €; whole amounts also as 1250 euros."""
    units, rest = divmod(cents, 100)
    grouped = f"{units:,}.{rest:02d}"
    continental = grouped.replace(",", " ").replace(".", ",").replace(" ", ".")
    forms = [f"€{grouped}", f"{units}.{rest:02d} EUR", f"EUR {grouped}", f"{continental} €"]
    return draw.choice([*forms, f"{units} euros"] if rest == 0 else forms)


def day(value: date, draw: random.Random) -> str:
    """2026-03-09, 9 March 2026, March 9, 2026, 09.03.2026, 9th of March 2026."""
    forms = (
        value.isoformat(),
        f"{value.day} {value:%B} {value.year}",
        f"{value:%B} {value.day}, {value.year}",
        f"{value:%d.%m.%Y}",
        f"{value.day}{_ending(value.day)} of {value:%B} {value.year}",
    )
    return draw.choice(forms)


def clock(value: str, draw: random.Random) -> str:
    """15:30 or 3:30 pm."""
    hour, minute = (int(part) for part in value.split(":"))
    half = "am" if hour < 12 else "pm"
    twelve = (hour - 1) % 12 + 1
    return draw.choice((value, f"{twelve}:{minute:02d} {half}" if minute else f"{twelve} {half}"))


def duration(minutes: int, draw: random.Random) -> str:
    """90 minutes, 2 hours."""
    forms = [f"{minutes} minutes", f"{minutes} min"]
    if minutes % 60 == 0:
        hours = minutes // 60
        forms += [f"{hours} hours" if hours > 1 else "one hour", f"{hours}h"]
    return draw.choice(forms)


def listed(parts: tuple[str, ...]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def later(draw: random.Random, *, days: int = 60) -> date:
    """A day in the weeks to come."""
    return TODAY + timedelta(days=draw.randint(1, days))


def names(draw: random.Random, count: int) -> list[str]:
    """Distinct names of people."""
    both = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    return draw.sample(both, count)


def _ending(number_of_day: int) -> str:
    if number_of_day in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number_of_day % 10, "th")
