"""From settings to a log source that agents' tools ask, and back to closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolvent.events.clock import SystemClock
from evolvent.events.errors import ConfigInvalid
from evolvent.events.language.conversation import ToolCall
from evolvent.orchestrator.logs.source import RESOURCE
from evolvent.orchestrator.logs.splunk import SplunkLogs
from evolvent.orchestrator.tools import ToolContext
from evolvent.orchestrator.tools.call import call_tool
from evolvent.platform.bootstrap import Shared
from evolvent.platform.settings import Settings, load_settings
from evolvent.platform.unconfigured_model import UnconfiguredModel
from evolvent.storage.database import Databases


async def opened(tmp_path: Path, **environment: str) -> Shared:
    settings: Settings = load_settings(environment={"EVOLVENT_DATA_DIR": str(tmp_path / "data"), **environment})
    return Shared(settings, await Databases.open(settings.database_url), UnconfiguredModel())


async def test_folders_for_logs_bring_the_diagnostic_tools(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "app.log").write_text("2026-03-01T12:00:00Z started\n")
    shared = await opened(tmp_path, EVOLVENT_TOOLS__LOGS__FOLDERS=f'["{tmp_path / "web"}"]')
    registry = shared.tools()
    call = ToolCall(call_id="c", name="run_oneshot_search", arguments={"query": "started", "earliest": "2026-03-01"})
    ctx, offered = ToolContext("r", "t", "c"), frozenset({"run_oneshot_search"})
    record = await call_tool(registry, call, ctx, offered=offered, clock=SystemClock())
    assert record.result["total"] == 1, record.error
    assert registry.find("read_file") is None
    await shared.close()
    assert (tmp_path / "data" / "logs.db").exists()


async def test_the_folders_that_are_open_to_tools_are_searched_where_no_other_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    shared = await opened(tmp_path, EVOLVENT_TOOLS__ALLOWED_FOLDERS=f'["{tmp_path / "logs"}"]')
    registry = shared.tools()
    assert registry.find("list_indexes") is not None and registry.find("read_file") is not None
    await shared.close()


async def test_without_a_source_there_are_no_diagnostic_tools(tmp_path: Path) -> None:
    shared = await opened(tmp_path)
    registry = shared.tools()
    assert registry.find("list_indexes") is None and not registry.resources
    await shared.close()


async def test_splunk_is_the_source_where_it_is_named_and_half_an_account_is_refused(tmp_path: Path) -> None:
    splunk = {"EVOLVENT_TOOLS__LOGS__SOURCE": "splunk", "EVOLVENT_TOOLS__LOGS__SPLUNK_URL": "https://127.0.0.1:8089"}
    half = await opened(tmp_path, **splunk)
    with pytest.raises(ConfigInvalid, match="splunk_token"):
        half.tools()
    await half.close()
    shared = await opened(tmp_path, **splunk, EVOLVENT_TOOLS__LOGS__SPLUNK_TOKEN="t0ken")
    registry = shared.tools()
    assert isinstance(registry.resources[RESOURCE], SplunkLogs)
    await shared.close()
