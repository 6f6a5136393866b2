"""What learning saves, and what it gets wrong: requests of several domains, in order, with a judge that knows the end.

`evolvent bench learning --data ../shared/data --json`. Two modes: `offline` goes through the engine's own law over
the beds' tools, without a platform; `live` goes through a whole platform with a scripted model server and the real
learner. Without the public data only the project's own domains are measured.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

SECTIONS = ("cold", "frozen", "redrawn", "baselines", "negatives", "costs", "recorded", "live")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 where a request that was served ended wrong."""
    given = _parser().parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    if given.data:
        # Benchmarks run in the project's folder; a path is meant from where the person stands.
        os.environ["EVOLVENT_DATA"] = str((Path(os.environ.get("PWD", ".")) / given.data).resolve())
    from benchmarks.parts.learning.report import report

    return report(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evolvent bench learning", description=__doc__)
    parser.add_argument("--data", help="folder with the public data: retail/ and airline-runs/")
    parser.add_argument("--profile", choices=("pilot", "default", "both"), default="both")
    parser.add_argument("--mode", choices=("offline", "live", "both"), default="both")
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"some of {', '.join(SECTIONS)}")
    parser.add_argument("--beds", help="some of public_retail, retail, ops, bank, calendar")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="requests of each bed")
    parser.add_argument("--shuffles", type=int, help="orders of the public requests")
    parser.add_argument("--splits", type=int, help="halvings of the public requests")
    parser.add_argument("--runs", help="sizes at which the learner is measured, such as 10000,100000,1000000")
    parser.add_argument("--live", type=int, help="requests of each bed through a platform")
    parser.add_argument("--quick", action="store_true", help="less of everything: under a minute")
    parser.add_argument("--json", action="store_true", help="JSON Lines instead of tables")
    return parser


if __name__ == "__main__":
    sys.exit(main())
