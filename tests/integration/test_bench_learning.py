"""The benchmark of learning runs to its end on a few requests, says what it measured, and is the same twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
FIRST = ["schema", "kind", "section", "mode", "profile", "bed", "seed"]


def bench(*arguments: str, data: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "evolvent.platform.cli", "bench", "learning", "--json", "--data", str(data)]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_without_public_data_a_tiny_run_reports_every_section_on_an_own_domain_and_the_same_twice(
    tmp_path: Path,
) -> None:
    tiny = ("--quick", "--mode", "offline", "--count", "30", "--beds", "ops", "--runs", "50")
    rows = bench(*tiny, data=tmp_path)
    assert all(list(row)[: len(FIRST)] == FIRST for row in rows)
    sections = {row["section"] for row in rows}
    assert sections == {"cold", "frozen", "semantic_cache", "plan_cache", "negatives", "match", "learner", "target"}
    (cold,) = (row for row in rows if row["section"] == "cold" and row["profile"] == "pilot")
    assert cold["requests"] == cold["served"] + cold["abstained"] + cold["deoptimized"] == 30
    assert cold["tokens_spent"] <= cold["tokens_baseline"]
    again = bench(*tiny, "--sections", "cold,baselines", data=tmp_path)
    assert [_timeless(row) for row in again if row["section"] != "target"] == [
        _timeless(row) for row in rows if row["section"] in ("cold", "semantic_cache", "plan_cache")
    ]


@pytest.mark.timeout(115)
def test_a_few_requests_through_a_platform_end_right_and_learning_costs_no_more_than_none(tmp_path: Path) -> None:
    rows = bench("--mode", "live", "--live", "24", "--beds", "ops", "--profile", "pilot", data=tmp_path)
    (cold,) = (row for row in rows if row["section"] == "cold")
    assert (cold["mode"], cold["profile"], cold["requests"]) == ("live", "pilot", 24)
    assert cold["wrong"] == cold["agent_wrong"] == cold["baseline_wrong"] == 0
    assert 0 < cold["tokens_spent"] <= cold["tokens_baseline"]


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "learner_ms_per_run"}
