"""The diagnostic tools, called as agents call them, on real log files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evolvent.events.clock import SystemClock
from evolvent.events.errors import ConfigInvalid
from evolvent.events.language.conversation import ToolCall
from evolvent.events.language.tools import Effect
from evolvent.events.messages.runs import ToolOutcome, ToolRecord
from evolvent.orchestrator.logs.files import LogFiles
from evolvent.orchestrator.logs.source import RESOURCE
from evolvent.orchestrator.tools import ToolContext, ToolRegistry
from evolvent.orchestrator.tools.call import call_tool

MODULE = "evolvent.orchestrator.logs.diagnostic_tools"
CLOCK = SystemClock()


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[ToolRegistry]:
    folder = tmp_path / "logs"
    (folder / "firewall").mkdir(parents=True)
    now = CLOCK.now()
    with (folder / "firewall" / "asa.log").open("w") as file:
        for hours in range(48, 0, -1):
            file.write(f"{(now - timedelta(hours=hours)).isoformat()} action=deny src=10.0.0.{hours}\n")
    source = LogFiles(tmp_path / "logs.db", [folder], clock=CLOCK, patience_seconds=60)
    made = ToolRegistry()
    made.load_modules([MODULE])
    made.provide(RESOURCE, source)
    yield made
    await source.close()


async def call(registry: ToolRegistry, name: str, arguments: dict[str, Any] | None = None) -> ToolRecord:
    wish = ToolCall(call_id="c1", name=name, arguments=arguments or {})
    return await call_tool(registry, wish, ToolContext("r", "t", "c1"), offered=frozenset({name}), clock=CLOCK)


def test_all_are_tools_for_diagnosis_that_change_nothing() -> None:
    registry = ToolRegistry()
    registry.load_modules([MODULE])
    specs = {spec.name: spec for spec in registry.specs()}
    assert set(specs) == {
        "run_oneshot_search", "list_indexes", "list_sourcetypes", "get_current_user", "log_source_health",
        "check_license",
    }  # fmt: skip
    assert {(spec.effect, spec.category) for spec in specs.values()} == {(Effect.READ, "diagnosis")}
    assert specs["run_oneshot_search"].origin == "web"


async def test_a_search_takes_the_last_day_and_bounds_what_it_returns(registry: ToolRegistry) -> None:
    record = await call(registry, "run_oneshot_search", {"query": "action=deny", "limit": 2})
    assert record.outcome is ToolOutcome.OK, record.error
    assert (record.result["total"], len(record.result["events"]), record.result["complete"]) == (23, 2, True)
    assert record.result["events"][0]["text"].endswith("src=10.0.0.1")
    older = {"query": "action=deny | stats count by index", "earliest": "-3d", "latest": "-24h"}
    record = await call(registry, "run_oneshot_search", older)
    assert record.result["rows"] == [{"index": "firewall", "count": 25}]


async def test_mistakes_are_explained_to_the_model(registry: ToolRegistry) -> None:
    for arguments, code in (
        ({"query": "a | delete"}, "query.invalid"),
        ({"query": "a", "earliest": "soon"}, "query.invalid"),
        ({"query": "a", "earliest": "now", "latest": "-1h"}, "query.invalid"),
        ({"query": "a", "limit": 0}, "tool.bad_arguments"),
    ):
        record = await call(registry, "run_oneshot_search", arguments)
        assert (record.outcome, record.error and record.error.code) == (ToolOutcome.ERROR, code)


async def test_the_other_tools_answer_in_plain_data(registry: ToolRegistry) -> None:
    (index,) = (await call(registry, "list_indexes")).result["indexes"]
    assert (index["name"], index["event_count"]) == ("firewall", 48)
    (kind,) = (await call(registry, "list_sourcetypes", {"index": "firewall"})).result["sourcetypes"]
    assert (kind["name"], kind["event_count"]) == ("asa", 48)
    assert (await call(registry, "get_current_user")).result["user"]["readable_indexes"] == ["firewall"]
    assert (await call(registry, "log_source_health")).result["is_ok"] is True
    assert (await call(registry, "check_license")).result["license"]["is_required"] is False


async def test_without_a_log_source_the_tools_say_so() -> None:
    registry = ToolRegistry()
    registry.load_modules([MODULE])
    record = await call(registry, "list_indexes")
    assert record.error is not None and record.error.code == "logs.no_source"


async def test_resources_reach_tools_from_the_registry_alone(registry: ToolRegistry) -> None:
    with pytest.raises(ConfigInvalid, match="already"):
        registry.provide(RESOURCE, object())
    forged = ToolContext("r", "t", "c1", resources={RESOURCE: None})
    wish = ToolCall(call_id="c1", name="list_indexes", arguments={})
    record = await call_tool(registry, wish, forged, offered=frozenset({"list_indexes"}), clock=CLOCK)
    assert record.outcome is ToolOutcome.OK
