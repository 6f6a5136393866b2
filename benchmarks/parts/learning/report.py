"""The report: which sections are run, and how they are told."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.parts.learning import live, sections
from benchmarks.parts.learning.profiles import PROFILES
from benchmarks.parts.learning.rows import Row, tables
from benchmarks.parts.learning.sections import Plan
from benchmarks.parts.learning.targets import judged
from rich.console import Console


def report(given: argparse.Namespace) -> int:
    """Measure what was asked for; 1 where an automation's end was wrong."""
    console = Console(stderr=True)
    began = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.0f} s  {text}", highlight=False)

    plan = _plan(given)
    if sections.PUBLIC not in sections.there():
        tell("The public data is not here (--data): only the project's own domains are measured, and not G1.")
    rows: list[Row] = []
    for row in _rows(plan, set(given.sections.split(",")), given.mode, tell):
        rows.append(row)
        if given.json:
            print(row.as_json(), flush=True)
    targets = judged(rows)
    if given.json:
        for row in targets:
            print(row.as_json(), flush=True)
    else:
        out = Console(width=None if sys.stdout.isatty() else 200)
        for table in tables([*rows, *targets]):
            out.print(table)
    wrong = sum(int(row.values.get("wrong") or 0) for row in rows if row.profile)
    if wrong:
        tell(f"{wrong} requests ended wrong by automations.")
    return 1 if wrong else 0


def _rows(plan: Plan, wanted: set[str], mode: str, tell: sections.Tell) -> Iterator[Row]:
    if mode != "live":
        yield from _offline(plan, wanted, tell)
    if mode != "offline" and "live" in wanted:
        yield from live.rows(plan, tell)


def _offline(plan: Plan, wanted: set[str], tell: sections.Tell) -> Iterator[Row]:
    if "cold" in wanted:
        yield from sections.cold(plan, tell)
    if "frozen" in wanted:
        yield from sections.frozen(plan, tell)
    if "redrawn" in wanted:
        yield from sections.redrawn(plan, tell)
    if "baselines" in wanted:
        yield from sections.others(plan, tell)
    replays = list(sections.taught(plan, tell)) if wanted & {"negatives", "costs"} else []
    if "negatives" in wanted:
        yield from sections.negatives(plan, replays, tell)
    if "costs" in wanted:
        yield from sections.costs(plan, replays, tell)
    if "recorded" in wanted:
        yield from sections.recorded(tell)


def _plan(given: argparse.Namespace) -> Plan:
    profiles = tuple(PROFILES.values()) if given.profile == "both" else (PROFILES[given.profile],)
    names = tuple(given.beds.split(",")) if given.beds else sections.there()
    plan = Plan(profiles, names, given.seed, given.count)
    if given.quick:
        plan = plan.quick()
        if given.beds:
            plan = replace(plan, beds=names)
    told: dict[str, Any] = {name: getattr(given, name) for name in ("shuffles", "splits", "live")}
    if given.runs:
        told["runs"] = tuple(int(each) for each in given.runs.split(","))
    return replace(plan, **{name: value for name, value in told.items() if value is not None})
