"""The workflow engine: planning, the engine alone, and whole runs through the bus, for DAGs of 10, 100 and 1,000 tasks.

`evolvent bench workflows --sizes 10,100,1000 --rounds 3`. Tasks call a tool that does nothing. The floor appends the
same number of events by hand, each under the fence of the one before, and records them. What a task costs must not
grow with the size of its workflow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence

from benchmarks.parts.pure_engine import engine_us, plan_ms, started_state
from benchmarks.parts.shapes import SHAPES
from benchmarks.parts.workflow_rounds import FLOOR, Series, WorkflowResult, as_json, run_series
from rich.console import Console
from rich.table import Table

from evolvent.events.language.workflow import Workflow

ENGINE_TIMES = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, and print what came out; a run that is lost ends it with an error."""
    given = _parser().parse_args(arguments)
    sizes = [int(size) for size in given.sizes.split(",")]
    console = Console(stderr=given.json, width=None if sys.stdout.isatty() else 140)
    pure = Table(title="engine alone, CPU")
    for column in ("shape", "tasks", "plan ms", "engine µs/task"):
        pure.add_column(column, justify="left" if column == "shape" else "right")
    for shape, made in SHAPES.items():
        for size in sizes:
            workflow = made(size)
            planned, engine = plan_ms(workflow), _engine_us(workflow)
            pure.add_row(shape, str(size), f"{planned:.2f}", f"{engine:.0f}")
            if given.json:
                found = {"shape": shape, "tasks": size, "plan_ms": round(planned, 4), "engine_us": round(engine, 2)}
                print(json.dumps({"kind": "engine", **found}), flush=True)
    console.print(pure)

    def tell(result: WorkflowResult) -> None:
        if given.json:
            print(as_json(result), flush=True)

    results = run_series(Series(sizes, given.rounds, given.durability), tell)
    console.print(_table(results, sizes))
    return 0


def _engine_us(workflow: Workflow) -> float:
    """Return the least of several measurements: neighbours only ever add to it."""
    return min(engine_us(workflow, started_state(workflow)) for _ in range(ENGINE_TIMES))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evolvent bench workflows", description=__doc__)
    parser.add_argument("--sizes", default="10,100,1000", help="tasks of a workflow")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--durability", default="process", choices=("process", "power"))
    parser.add_argument("--json", action="store_true", help="JSON Lines instead of tables")
    return parser


def _table(results: Sequence[WorkflowResult], sizes: Sequence[int]) -> Table:
    table = Table(title=f"through the bus, medians of the rounds; x = ratio to the {FLOOR} of the same round and size")
    for column in ("shape", "tasks", "run s", "ms/task", "x", "CPU ms/task", "recorded after s"):
        table.add_column(column, justify="left" if column == "shape" else "right")
    floors = {(r.round, r.tasks): r.task_ms for r in results if r.shape == FLOOR}
    for shape in (FLOOR, *SHAPES):
        for size in sizes:
            found = [r for r in results if (r.shape, r.tasks) == (shape, size)]
            ratio = statistics.median(r.task_ms / floors[r.round, size] for r in found)
            table.add_row(
                shape,
                str(size),
                f"{statistics.median(r.seconds for r in found):.3f}",
                f"{statistics.median(r.task_ms for r in found):.2f}",
                f"{ratio:.2f}",
                f"{statistics.median(r.task_cpu_ms for r in found):.2f}",
                f"{statistics.median(r.recorded_after_s for r in found):.2f}",
            )
    return table


if __name__ == "__main__":
    sys.exit(main())
