"""Every benchmark runs to its end with a few requests, and loses none. How fast it was is asserted nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
TINY = ("--rounds", "1", "--seconds", "0.5", "--most", "20", "--durability", "process", "--json")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evolvent.platform.cli", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


@pytest.mark.parametrize("case", ["evolvent_http"])
def test_a_tiny_round_beside_the_floor_loses_no_run(case: str) -> None:
    done = bench("requests", *TINY, "--cases", f"floor_j,{case}")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    results = {line["case"]: line for line in lines if line["kind"] == "result"}
    assert set(results) == {"floor_j", case}
    assert all(line["recorded"] == line["requests"] > 20 for line in results.values())
    ratios = {line["case"]: line for line in lines if line["kind"] == "ratios"}
    assert ratios["floor_j"]["latency_ratio"] == 1.0
    assert ratios[case]["throughput_ratio"] > 0


def test_small_workflows_of_every_shape_run_to_their_end_beside_the_floor() -> None:
    done = bench("workflows", "--sizes", "3,12", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    runs = {(line["shape"], line["tasks"]) for line in lines if line["kind"] == "workflow"}
    assert runs == {(shape, size) for shape in ("floor", "wide", "deep", "diamond") for size in (3, 12)}
    assert all(line["plan_ms"] > 0 for line in lines if line["kind"] == "engine")


def test_the_benchmarks_are_listed() -> None:
    assert {"builtin_workflows", "floor_j", "requests", "workflows"} <= set(bench("--list").stdout.split())


def test_a_benchmark_that_is_not_there_is_named_in_the_refusal() -> None:
    done = bench("warp")
    assert done.returncode == 2
    assert "'warp'" in done.stderr and "requests" in done.stderr
