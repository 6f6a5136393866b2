"""What `deploy/` asks of the metrics: every name exists, every query answers, every alert fires when it should."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.metric_feed import messages
from support.metric_findings import MISSION, Improvement
from support.metric_services import Loader, Orchestrator, Resources
from support.panels import DASHBOARD, DEPLOY, ask, filled, panel_queries, prometheus, run_every_panel, tool, until

from evolvent.events.nats_bus import NatsBus
from evolvent.platform.metric_names import METRICS, exposed_names
from evolvent.platform.metrics import Metrics
from evolvent.platform.settings import MetricsSettings

PROMETHEUS = DEPLOY / "prometheus"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))
ALERT_TESTS = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text("utf-8"))
RULES = {rule["alert"]: rule for group in ALERTS["groups"] for rule in group["rules"]}
LEARNING = DASHBOARD.with_name("learning.json")
BOARDS: dict[Path, dict[str, Any]] = {path: json.loads(path.read_text("utf-8")) for path in (DASHBOARD, LEARNING)}
NAME = re.compile(r"\b((?:evolvent|process)_[a-z0-9_]+)\b")
each_board = pytest.mark.parametrize("path", list(BOARDS), ids=lambda path: path.stem)
needs_promtool = pytest.mark.skipif(tool("promtool") is None, reason="promtool is not installed (package prometheus)")
needs_prometheus = pytest.mark.skipif(tool("prometheus") is None, reason="prometheus is not installed")


def panels_of(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in BOARDS[path]["panels"] if panel["type"] != "row"]


def names_in(expr: str) -> set[str]:
    return set(NAME.findall(expr))


def test_the_committed_dashboards_are_what_their_builder_makes() -> None:
    spec = importlib.util.spec_from_file_location("build_dashboard", DEPLOY / "grafana" / "build_dashboard.py")
    assert spec is not None and spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    try:
        spec.loader.exec_module(builder)
    finally:
        sys.path[:] = path
    assert DASHBOARD.read_text("utf-8") == builder.text()
    assert LEARNING.read_text("utf-8") == builder.learning_text()


@each_board
def test_every_metric_that_a_panel_asks_for_exists(path: Path) -> None:
    asked = {name for _, expr, _ in panel_queries(path) for name in names_in(expr)}
    assert asked - exposed_names() == set()


def test_every_metric_that_an_alert_asks_for_exists() -> None:
    asked = {name for rule in RULES.values() for name in names_in(rule["expr"])}
    assert len(asked) > 15
    assert asked - exposed_names() == set()


def test_every_metric_of_the_platform_is_on_a_dashboard() -> None:
    asked = {name for path in BOARDS for _, expr, _ in panel_queries(path) for name in names_in(expr)}
    assert {name for name, metric in METRICS.items() if not asked & set(metric.series)} == set()


@each_board
def test_panels_have_ids_of_their_own_a_data_source_that_can_be_chosen_and_no_overlap(path: Path) -> None:
    board, panels = BOARDS[path], panels_of(path)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert {t["datasource"]["uid"] for panel in panels for t in panel["targets"]} == {"${datasource}"}
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


@each_board
def test_every_variable_that_a_query_uses_is_defined(path: Path) -> None:
    defined = {variable["name"] for variable in BOARDS[path]["templating"]["list"]} | {"__rate_interval"}
    used = {name for _, expr, _ in panel_queries(path) for name in re.findall(r"\$\{?(\w+)", expr)}
    assert used <= defined
    assert "$" not in "".join(filled(expr) for _, expr, _ in panel_queries(path))


def test_dashboards_have_ids_of_their_own() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)


def test_provisioning_names_the_data_source_and_the_folder_of_the_dashboards() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yml").read_text("utf-8"))
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))
    boards = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/evolvent.yml").read_text("utf-8"))
    mounted = {volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]}
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    assert boards["providers"][0]["options"]["path"] in mounted


@pytest.mark.parametrize("alert", sorted(RULES))
def test_every_alert_says_what_and_what_to_do_and_is_tested_both_ways(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["action"].endswith(".")
    expected = [
        bool(case["exp_alerts"])
        for test in ALERT_TESTS["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    ]
    assert sorted(expected) == [False, True]


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [str(tool("promtool")), *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
async def test_every_panel_has_data_and_every_alert_is_loaded_in_a_real_prometheus(
    bus: NatsBus, tmp_path: Path
) -> None:
    metrics = Metrics(bus, MetricsSettings(), poll_seconds=0.5)
    services = [Resources(bus), Loader(bus), Orchestrator(bus), Improvement(bus), metrics]
    for service in services:
        await service.start()
    target = metrics.url.removeprefix("http://").removesuffix("/metrics")
    async with prometheus(tmp_path, target) as url:
        await until(url, "count_over_time(evolvent_feedback_total[1m]) >= 2")
        for _ in range(2):
            seen = await asyncio.to_thread(ask, url, "sum(evolvent_feedback_total)")
            for subject, data in messages():
                await bus.append(subject, data)
            await until(url, f"sum(evolvent_feedback_total) > {seen[0]['value'][1]}")
        for path in BOARDS:
            found = await asyncio.to_thread(run_every_panel, url, path, labelled=True)
            assert {title: counts for title, counts in found.items() if 0 in counts} == {}
            assert len(found) == len(panels_of(path))
        await assert_the_numbers_are_right(url)
        with urllib.request.urlopen(f"{url}/api/v1/rules", timeout=10) as reply:
            groups = json.load(reply)["data"]["groups"]
        assert {rule["name"] for group in groups for rule in group["rules"]} == set(RULES)
        assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    for service in services:
        await service.stop()


async def assert_the_numbers_are_right(url: str) -> None:
    """The panels with a formula of their own, against what was fed."""
    by_title = {title: expr for path in BOARDS for title, expr, _ in panel_queries(path)}

    async def number(title: str) -> float:
        rows = await asyncio.to_thread(ask, url, filled(by_title[title]))
        return float(rows[0]["value"][1])

    assert await number("User satisfaction, 24 h") == pytest.approx(0.9)
    assert await number("Active agents") == 7
    assert await number("User satisfaction, 30 d") == MISSION["user_satisfaction"]
    assert await number("Response time, 24 h") == MISSION["avg_response_time"]
    share = await asyncio.to_thread(ask, url, filled(by_title["Share of today's budget"]))
    assert {row["metric"].get("goal"): float(row["value"][1]) for row in share}["default"] == pytest.approx(0.975)
