"""What was aimed at, and what came out: one row for each target, worked out from the other rows."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.parts.learning.rows import Row

Number = int | float


def judged(rows: Sequence[Row]) -> list[Row]:
    """Say of every target that these rows speak of whether it was met. `live` counts for G1 where it was run."""
    found = [*_cost(rows, "live"), *_cost(rows, "offline"), *_safety(rows), *_overhead(rows), *_free(rows)]
    return [row for row in found if row is not None]


def _cost(rows: Sequence[Row], mode: str) -> list[Row | None]:
    here = [row for row in rows if row.mode == mode and row.profile == "pilot" and row.bed == "public_retail"]
    cold = [row for row in here if row.section == "cold"]
    frozen = [row for row in here if row.section == "frozen"]
    caches = [row for row in rows if row.section == "plan_cache" and row.bed == "public_retail"]
    return [
        _target("G1 tokens saved overall", mode, _median(cold, "tokens_saved"), at_least=0.75),
        _target("G1 tokens saved, second half", mode, _median(cold, "tokens_saved_second_half"), at_least=0.88),
        _target("G1 unseen requests served", mode, _median(frozen, "served_of_learnt_kinds_share"), at_least=0.9),
        _target(
            "G1 more saved than by a plan cache at its best (cost)",
            mode,
            _median(cold, "tokens_saved") if caches else None,
            at_least=max((float(row.values["cost_saved"] or 0) for row in caches), default=0.0),
        ),
    ]


def _safety(rows: Sequence[Row]) -> list[Row | None]:
    found: list[Row | None] = []
    for mode in ("live", "offline"):
        serving = [row for row in rows if row.section in ("cold", "frozen", "redrawn") and row.mode == mode]
        found += [
            _target(f"G2 requests served ({mode})", mode, _sum(serving, "served"), at_least=2000),
            _target(f"G2 wrong among served ({mode})", mode, _sum(serving, "wrong"), at_most=0),
        ]
    edited = [row for row in rows if row.section == "negatives"]
    return [
        *found,
        _target("G2 negatives offered", "offline", _sum(edited, "negatives"), at_least=3000),
        _target("G2 negatives served", "offline", _sum(edited, "wrong"), at_most=0),
        _target(
            "G2 of these, where nothing looks at the edited word", "offline", _sum(edited, "wrong_unlooked"), at_most=0
        ),
    ]


def _overhead(rows: Sequence[Row]) -> list[Row | None]:
    matching = [row for row in rows if row.section == "match"]
    learner = [row for row in rows if row.section == "learner"][-1:]
    few = [row for row in matching if int(row.values["templates"] or 0) <= 100]
    many = [row for row in matching if int(row.values["templates"] or 0) >= 10_000]
    return [
        _target("G8 match p99 at 100 templates, ms", "offline", _median(few, "p99_ms"), at_most=1),
        _target("G8 match p99 at 10,000 templates, ms", "offline", _median(many, "p99_ms"), at_most=5),
        _target("G8 bytes per template", "offline", _median(matching[-1:], "bytes_per_template"), at_most=2048),
        _target("G8 learner CPU per run, ms", "offline", _median(learner, "cpu_ms_per_run_amortised"), at_most=5),
    ]


def _free(rows: Sequence[Row]) -> list[Row | None]:
    prefetch = [row for row in rows if row.section == "prefetch"]
    served = [row for row in rows if row.section == "free_language"]
    return [
        _target(
            "G9 tokens saved by prefetching (estimated)", "offline", _median(prefetch, "tokens_saved"), at_least=0.15
        ),
        _target("G9 free language served whole", "offline", _sum(served, "wrong"), at_most=0),
    ]


def _target(
    name: str, mode: str, measured: Number | None, *, at_least: Number | None = None, at_most: Number | None = None
) -> Row | None:
    if measured is None:
        return None
    is_met = measured >= at_least if at_least is not None else measured <= (at_most or 0)
    bound: dict[str, int | float | str | bool | None] = (
        {"at_least": at_least} if at_least is not None else {"at_most": at_most}
    )
    return Row("target", mode, {"target": name, "measured": measured, **bound, "is_met": is_met})


def _median(rows: Sequence[Row], name: str) -> float | None:
    found = [float(value) for row in rows if (value := row.values.get(name)) is not None]
    return round(median(found), 4) if found else None


def _sum(rows: Sequence[Row], name: str) -> int | None:
    return sum(int(row.values.get(name) or 0) for row in rows) if rows else None
