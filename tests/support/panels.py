"""Asking a real Prometheus for what every panel of a dashboard asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import yaml
from support.servers import free_port

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "evolvent.json"
VARIABLES = {"$__rate_interval": "1m", "$goal": ".*", "${goal}": ".*", "$__all": ".*"}


def tool(name: str) -> str | None:
    """Where a program of the Debian package `prometheus` is, or None."""
    return shutil.which(name) or next((str(p) for p in (Path("/usr/bin") / name,) if p.exists()), None)


def panel_queries(dashboard: Path = DASHBOARD) -> Iterator[tuple[str, str, str]]:
    """Every query of a dashboard as (panel title, expression as it stands there, legend)."""
    for panel in json.loads(dashboard.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


def filled(expr: str) -> str:
    """Put what a viewer would have chosen where the variables stand."""
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    return expr


def ask(prometheus_url: str, expr: str, *, at: float | None = None) -> list[dict[str, Any]]:
    """Return the result of an instant query, as of now or of a moment; an error of Prometheus raises."""
    query = urllib.parse.urlencode({"query": expr} if at is None else {"query": expr, "time": at})
    with urllib.request.urlopen(f"{prometheus_url}/api/v1/query?{query}", timeout=10) as reply:
        result: list[dict[str, Any]] = json.load(reply)["data"]["result"]
        return result


def run_every_panel(
    prometheus_url: str, dashboard: Path = DASHBOARD, *, labelled: bool = False, at: float | None = None
) -> dict[str, list[int]]:
    """Run every query of every panel; return by panel how many numbers each query gave (NaN is none).

    With `labelled`, only numbers that bear every label of the query's legend count, so that a zero which stands in
    for "nothing yet" is none.
    """
    found: dict[str, list[int]] = {}
    for title, expr, legend in panel_queries(dashboard):
        rows = [row for row in ask(prometheus_url, filled(expr), at=at) if math.isfinite(float(row["value"][1]))]
        if labelled:
            needed = set(re.findall(r"{{(\w+)}}", legend))
            rows = [row for row in rows if needed <= set(row["metric"])]
        found.setdefault(title, []).append(len(rows))
    return found


@contextlib.asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    """Run Prometheus with the shipped alerts, scraping one target every half second; yield its address."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(PROMETHEUS / "alerts.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        str(tool("prometheus")),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def until(url: str, expr: str) -> None:
    """Return when Prometheus answers a query with something."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                if await asyncio.to_thread(ask, url, expr):
                    return
            await asyncio.sleep(0.1)  # another process is waited for: nothing here can be awaited
