"""Rows of the report: one JSON object each, with the same first fields in all; and the table for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.table import Table

Value = int | float | str | bool | None
Values = dict[str, Value]
SCHEMA = 1
_SHARES = ("saved", "share", "abstention", "prefetch")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the report.

    Attributes:
        section: What was done: cold, frozen, redrawn, semantic_cache, plan_cache, negatives, match, learner, shapes,
            free_language, target or note.
        mode: `offline` (the engine's law over the bed's tools, no platform) or `live` (through the bus).
        profile: pilot or default; empty where none applies.
        bed: The domain; empty where none applies.
        seed: What the order, the split or the drawing followed from.
    """

    section: str
    mode: str
    values: Values
    profile: str = ""
    bed: str = ""
    seed: int = 0
    details: dict[str, Value] = field(default_factory=dict)
    """Counts by kind, or texts, that a table leaves out."""

    def as_json(self) -> str:
        """The row as one line of JSON."""
        head = {"schema": SCHEMA, "kind": "target" if self.section == "target" else "figure", "section": self.section}
        place = {"mode": self.mode, "profile": self.profile, "bed": self.bed, "seed": self.seed}
        return json.dumps(head | place | self.values | ({"details": self.details} if self.details else {}))


def tables(rows: Sequence[Row]) -> list[Table]:
    """One table for each section, in order of appearance."""
    sections: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        sections.setdefault((row.section, row.mode), []).append(row)
    return [_table(f"{section} ({mode})", found) for (section, mode), found in sections.items()]


def _table(title: str, rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    table = Table(title=title, title_justify="left")
    for name in ("profile", "bed", "seed"):
        table.add_column(name)
    for name in names:
        table.add_column(name.replace("_", " "), justify="left" if name in ("note", "target") else "right")
    for row in rows:
        cells = [_text(name, row.values.get(name)) for name in names]
        table.add_row(row.profile or "-", row.bed or "-", str(row.seed), *cells)
    return table


def _text(name: str, value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1%}" if any(word in name for word in _SHARES) else f"{value:.3g}"
    return str(value)
