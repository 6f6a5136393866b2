"""`evolvent up --processes`: one process a service, restarted when it dies, ended with its parent."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from support.processes import Platform, platform_up, scripted_model, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    script = tmp_path / "script.yaml"
    script.write_text("default: {text: plain}\n")
    arguments = ("--processes", "--scale", "loader=2")
    async with scripted_model(tmp_path, script) as url, platform_up(tmp_path, url, *arguments) as running:
        yield running


async def test_a_service_that_dies_is_started_again_and_work_goes_on(platform: Platform) -> None:
    before = platform.children()
    assert sorted(before.values()) == sorted(
        ["nats-server", "recorder", "resources", "loader", "loader", "improvement", "metrics", "orchestrator"]
    )
    victims = [pid for pid, name in before.items() if name == "orchestrator"]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    answer = json.loads(await platform.evolvent("ask", "hello", "--json"))
    assert answer["answer"] == "plain"
    after = {pid for pid, name in platform.children().items() if name == "orchestrator"}
    assert after
    assert not after & set(victims)
    assert "a service died" in platform.log.read_text()
    status = json.loads(await platform.evolvent("status", "--json"))
    assert sum(row["service"] == "loader" for row in status["services"]) == 2
    found = json.loads((platform.data_dir / "client.json").read_text())
    assert found["metrics_url"].startswith("http://127.0.0.1:")


async def test_nothing_outlives_a_supervisor_that_is_killed(platform: Platform) -> None:
    children = [psutil.Process(pid) for pid in platform.children()]
    assert len(children) == 8
    platform.process.kill()
    await platform.process.wait()
    await wait_for(
        "the end of every child",
        lambda: not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE],
        seconds=40,
    )
