"""One durable request, beside floor J in the same round: latency alone, throughput at 64 in flight, CPU.

`evolvent bench requests --rounds 5 --seconds 5`. Every case starts anew on an empty data folder, asks one at a time,
then 64 at a time; in the end its recorded runs are counted and must be as many as were asked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.parts.cases import AGENT_TASKS, CASES, RAISED
from benchmarks.parts.rounds import Load, Ratios, Result, as_json, run_rounds, summed_up
from rich.console import Console
from rich.table import Table

DURABILITIES = ("power", "process")
REFERENCE = "floor_j"


def main(arguments: Sequence[str] | None = None) -> int:
    return measure(["floor_j", "evolvent"], arguments)


def measure(cases: Sequence[str], arguments: Sequence[str] | None = None) -> int:
    """Run the cases, print what came out; 1 where a run was lost."""
    given = _parser(cases).parse_args(arguments)
    names = list(CASES) if "all" in given.cases.split(",") else given.cases.split(",")
    chosen = [CASES[name] for name in names]
    console = Console(stderr=given.json, width=None if sys.stdout.isatty() else 140)
    console.print(f"caps raised: {_caps()}; agent.max_concurrent_tasks={AGENT_TASKS}", highlight=False)

    def tell(result: Result) -> None:
        if given.json:
            print(as_json(result), flush=True)
        else:
            console.print(_line(result), highlight=False)

    load = Load(given.seconds, given.most)
    results = run_rounds(chosen, given.durability.split(","), rounds=given.rounds, load=load, tell=tell)
    ratios = summed_up(results, REFERENCE)
    if given.json:
        for ratio in ratios:
            print(as_json(ratio), flush=True)
    else:
        console.print(_table(ratios))
    lost = [result for result in results if result.recorded != result.requests]
    for result in lost:
        console.print(f"LOST: {result.case}: {result.requests} asked, {result.recorded} recorded")
    return 1 if lost else 0


def _parser(cases: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evolvent bench requests", description=__doc__)
    parser.add_argument("--cases", default=",".join(cases), help=f"all, or some of {', '.join(CASES)}")
    parser.add_argument("--durability", default=",".join(DURABILITIES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each phase")
    parser.add_argument("--most", type=int, default=1_000_000, help="requests in each phase")
    parser.add_argument("--json", action="store_true", help="JSON Lines instead of a table")
    return parser


def _caps() -> str:
    found = [f"{part}.{name}={value}" for part, caps in RAISED.items() for name, value in caps.items()]
    return ", ".join(found)


def _line(result: Result) -> str:
    return (
        f"round {result.round} {result.durability:8}{result.case:20} p50 {result.p50_ms:6.2f} ms"
        f"  {result.per_second:6.0f}/s at 64 (p99 {result.p99_at_64_ms:.0f} ms)  {result.cpu_ms:.2f} ms CPU"
        f"  recorded {result.recorded}/{result.requests} after {result.record_lag_s:.1f} s"
    )


def _table(ratios: Sequence[Ratios]) -> Table:
    table = Table(title="medians; x = ratio to floor_j of the same round")
    for column in ("durability", "case", "p50 ms", "x", "p99 ms", "req/s at 64", "x", "p99 at 64", "CPU ms", "x"):
        table.add_column(column, justify="left" if column in ("durability", "case") else "right")
    for row in ratios:
        table.add_row(
            row.durability,
            row.case,
            f"{row.p50_ms:.2f}",
            _times(row.latency_ratio),
            f"{row.p99_ms:.2f}",
            f"{row.per_second:.0f}",
            _times(row.throughput_ratio),
            f"{row.p99_at_64_ms:.1f}",
            f"{row.cpu_ms:.2f}",
            _times(row.cpu_ratio),
        )
    return table


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
