"""The dashboard on the demo: a real Prometheus scrapes it, and every panel has something to show."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import pytest
from support.panels import ask, prometheus, run_every_panel, tool
from support.processes import environment, wait_for

pytestmark = pytest.mark.long


def last_scrape(url: str) -> float | None:
    """When the running demo was last scraped with success, as Prometheus knows it."""
    found = ask(url, "timestamp(evolvent_build_info)")
    return float(found[0]["value"][1]) if found else None


@pytest.mark.skipif(tool("prometheus") is None, reason="prometheus is not installed")
async def test_a_scraped_demo_run_gives_every_panel_data(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    demo = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "evolvent.platform.cli",
        "demo",
        "--json",
        "--data-dir",
        str(data_dir),
        cwd=tmp_path,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    connection = data_dir / "client.json"
    await wait_for("the demo's platform", lambda: connection.exists() or demo.returncode is not None)
    target = json.loads(connection.read_text())["metrics_url"].removeprefix("http://").removesuffix("/metrics")
    async with prometheus(tmp_path, target) as url:
        ended = asyncio.create_task(demo.communicate())
        scraped_at = None
        while not ended.done():
            with contextlib.suppress(OSError):  # Prometheus is not up yet
                scraped_at = await asyncio.to_thread(last_scrape, url) or scraped_at
            await asyncio.wait([ended], timeout=0.3)
        numbers = json.loads((await ended)[0])
        assert demo.returncode == 0
        assert scraped_at is not None
        found = await asyncio.to_thread(run_every_panel, url, at=scraped_at)
        # The demo's workflows come in its last seconds: too late for a rate.
        found.pop("Duration of a task", None)
        assert {title: counts for title, counts in found.items() if 0 in counts} == {}
        runs = await asyncio.to_thread(ask, url, "sum(evolvent_runs_ended_total)", at=scraped_at)
        assert 0 < float(runs[0]["value"][1]) <= numbers["summary"]["runs"]
