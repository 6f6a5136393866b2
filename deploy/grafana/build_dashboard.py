"""Write `dashboards/*.json` from the tables of panels beside it: `python deploy/grafana/build_dashboard.py`.

Plain dictionaries, so that building needs nothing installed. tests/integration/test_dashboards.py holds the
committed files to this builder, and every query to the table of metrics and to a real Prometheus.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from panel import Panel, Row  # noqa: E402  # the folder is no package
from panels_of_care import AGENTS, HEALTH, LEARNING, MONEY  # noqa: E402
from panels_of_learning import FINDINGS  # noqa: E402
from panels_of_work import GLANCE, LOAD, MODELS, RUNS, WORKFLOWS  # noqa: E402

ROWS = (GLANCE, RUNS, WORKFLOWS, LOAD, MODELS, AGENTS, MONEY, LEARNING, HEALTH)

TARGET = HERE / "dashboards" / "evolvent.json"
LEARNING_TARGET = HERE / "dashboards" / "learning.json"
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
STEPS = {"mode": "absolute", "steps": [{"color": "green", "value": None}]}
SHARE_STEPS = {
    "mode": "absolute",
    "steps": [{"color": "green", "value": None}, {"color": "orange", "value": 0.8}, {"color": "red", "value": 0.9}],
}


def build(
    rows: Sequence[Row] = ROWS,
    *,
    uid: str = "evolvent",
    title: str = "Evolvent",
    description: str = "Runs, queues, models, money and learning of an Evolvent platform.",
    period: str = "now-1h",
) -> dict[str, Any]:
    """Return a dashboard's document."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["evolvent"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "timezone": "browser",
        "time": {"from": period, "to": "now"},
        "templating": {"list": [_datasource_variable(), _goal_variable()]},
        "annotations": {"list": []},
        "links": [],
        "panels": _placed(rows),
    }


def _placed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Lay the panels out from left to right, row under row."""
    placed: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        placed.append(_heading(row.title, number=len(placed) + 1, y=y))
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            placed.append(_panel(panel, number=len(placed) + 1, x=x, y=y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return placed


def _heading(title: str, *, number: int, y: int) -> dict[str, Any]:
    position = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": position, "panels": []}


def _panel(panel: Panel, *, number: int, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": expr,
                "legendFormat": legend or "__auto",
                "instant": panel.kind == "stat",
                "range": panel.kind != "stat",
            }
            for index, (expr, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> Mapping[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": SHARE_STEPS if panel.is_share else STEPS}
    if panel.kind == "timeseries":
        defaults["custom"] = {"drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}
    if panel.unit != "percentunit" or panel.is_share:
        defaults["min"] = 0
    return defaults


def _options(panel: Panel) -> Mapping[str, Any]:
    if panel.kind == "stat":
        return {
            "colorMode": "value",
            "graphMode": "none",
            "textMode": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _datasource_variable() -> Mapping[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}


def _goal_variable() -> Mapping[str, Any]:
    query = "label_values(evolvent_runs_ended_total, goal)"
    return {
        "name": "goal",
        "label": "Goal",
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "goal"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def text() -> str:
    """Return the dashboard of the platform as it stands in the file."""
    return json.dumps(build(), indent=2) + "\n"


def learning_text() -> str:
    """Return the dashboard of learning as it stands in the file."""
    about = "What was learnt, what it saves and costs, what fails, and what is to come."
    document = build(FINDINGS, uid="evolvent-learning", title="Evolvent: learning", description=about, period="now-24h")
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(), encoding="utf-8")
    LEARNING_TARGET.write_text(learning_text(), encoding="utf-8")
