"""`evolvent demo`, as somebody starts it who has nothing but the package."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import psutil
import pytest
from support.processes import environment, wait_for

CREW = {"ask", "improvement", "loader", "metrics", "orchestrator", "recorder", "resources", "schedules"}


async def demo(folder: Path, *arguments: str, **settings: str) -> Process:
    command = (sys.executable, "-m", "evolvent.platform.cli", "demo", *arguments)
    env = environment(TMPDIR=str(folder), **settings)
    return await asyncio.create_subprocess_exec(*command, cwd=folder, env=env, stdout=PIPE, stderr=PIPE)


async def test_the_demo_tells_its_whole_story_in_numbers_that_add_up(tmp_path: Path) -> None:
    process = await demo(tmp_path, "--json", EVOLVENT_NATS="nats://127.0.0.1:1", EVOLVENT_DURABILITY="nonsense")
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    story = json.loads(out)
    assert story["ok"]
    assert story["scripted"]
    assert set(story["start"]["services"]) == CREW
    plain = story["plainest_client"]
    assert plain["events"] == ["workflow_started", "agent_completed", "tool_completed", "workflow_completed"]
    assert set(story["specialists"]["tools"]) == {"system_resources", "search_logs", "read_file", "calculate_metrics"}
    assert len(set(story["specialists"]["agents"])) == 4
    assert story["money"]["suspended_code"] == "run.suspended.budget"
    assert story["money"]["within_every_cap"]
    kill = story["kill"]
    assert kill["resumed_by_another"]
    assert "workflow_resumed" in kill["events"]
    assert kill["events"][-1] == "workflow_completed"
    assert (kill["stored_before"], kill["stored_work_repeated"]) == (3, 0)
    assert not psutil.pid_exists(kill["killed_pid"])
    evictions = story["evictions"]
    assert evictions["evictions"] >= 1
    assert evictions["resident"] <= evictions["max_active_agents"]
    learnt = story["learning"]
    assert learnt["requests"] == learnt["by_automation"] == learnt["equal_answers"] == 8
    assert (learnt["before"]["model_calls"], learnt["before"]["tokens"] > 800) == (16, True)
    assert (learnt["after"]["model_calls"], learnt["after"]["tokens"], learnt["after"]["cost_usd"]) == (0, 0, 0)
    assert learnt["after"]["p50_seconds"] < learnt["before"]["p50_seconds"]
    assert (learnt["drifted"]["served_by"], learnt["drifted"]["deoptimized"]) == ("agent", True)
    assert "held at customs" in learnt["drifted"]["answer"]
    summary = story["summary"]
    assert summary["runs"] == summary["completed"] == 1 + 4 + 1 + kill["runs_at_once"] + 1 + 8 + 8 + 1
    assert summary["model_calls"] >= 2 * (summary["runs"] - 9)
    assert summary["tool_calls"] >= summary["runs"]
    assert summary["cost_usd"] > 0
    assert summary["metric_lines"] > 10
    assert summary["seconds"] < 60
    assert not list(tmp_path.iterdir())


@pytest.mark.long
async def test_a_demo_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await demo(tmp_path)
    assert process.stdout is not None

    async def told(word: bytes) -> None:
        assert process.stdout is not None
        while word not in await process.stdout.readline():
            assert not process.stdout.at_eof()

    await told(b"A second orchestrator")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 2
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err.decode()) == (130, "evolvent: interrupted.\n")
    await wait_for("the end of every child", lambda: not psutil.wait_procs(children, timeout=0)[1])
    assert not list(tmp_path.iterdir())


async def test_a_model_without_a_place_is_refused_in_one_sentence(tmp_path: Path) -> None:
    process = await demo(tmp_path, EVOLVENT_MODEL="gpt-4o")
    out, err = await process.communicate()
    assert process.returncode == 2
    assert b"OPENAI_BASE_URL" in err
    assert b"Traceback" not in out + err
