"""The command line against a real `evolvent up`, with the scripted model server as the model."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.processes import Platform, platform_up, scripted_model, wait_for

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = """
rules:
  - when: {user: "average"}
    turns:
      - tool_calls: [{name: calculate_metrics, arguments: {values: [3, 5, 8]}}]
      - text: "The mean is {{ tool.0.result.mean }}."
default: {text: "plain"}
"""
ANSWER_KEYS = {
    "run_id",
    "status",
    "served_by",
    "answer",
    "error",
    "cost_usd",
    "prompt_tokens",
    "completion_tokens",
    "model_calls",
    "tool_calls",
    "duration_seconds",
}


@dataclass
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


async def evolvent(platform: Platform, *arguments: str, stop_with: signal.Signals | None = None) -> Said:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "evolvent.platform.cli",
        *arguments,
        env={**platform.environment, "EVOLVENT_DATA_DIR": str(platform.data_dir)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if stop_with is not None:
        assert process.stdout is not None
        await process.stdout.readline()
        process.send_signal(stop_with)
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """One platform for the whole file: starting one costs as much as ten commands. Its tests go in this order."""
    folder = tmp_path_factory.mktemp("cli")
    script = folder / "script.yaml"
    script.write_text(SCRIPT)
    async with scripted_model(folder, script) as url, platform_up(folder, url) as running:
        yield running


async def test_a_request_is_answered_recorded_drawn_and_followed(platform: Platform) -> None:
    asked = await evolvent(platform, "ask", "What is the average of 3 5 8?", "--json")
    assert asked.code == 0, asked.err
    answer = asked.json
    assert answer.keys() >= ANSWER_KEYS
    assert (answer["status"], answer["model_calls"], answer["tool_calls"]) == ("completed", 2, 1)
    assert answer["answer"].startswith("The mean is 5.33")
    assert answer["cost_usd"] > 0
    run_id = answer["run_id"]

    shown = await evolvent(platform, "runs", "show", run_id)
    assert shown.code == 0, shown.err
    for part in ("served by agent", "calculate_metrics", "turn 0", "turn 1", "The mean is"):
        assert part in shown.out
    story = (await evolvent(platform, "runs", "show", run_id, "--json")).json
    assert story["end"]["answer"] == answer["answer"]
    assert [step["type"] for step in story["steps"]] == [
        "workflow_started",
        "agent_started",
        "agent_completed",
        "tool_completed",
        "agent_started",
        "agent_completed",
        "workflow_completed",
    ]
    followed = await evolvent(platform, "runs", "follow", run_id, "--json")
    assert followed.code == 0
    assert [step["type"] for step in followed.rows] == [step["type"] for step in story["steps"]]

    async def listed() -> list[dict[str, Any]]:
        rows = (await evolvent(platform, "runs", "list", "--json")).rows
        return [row for row in rows if row["run_id"] == run_id]

    [row] = await wait_for("the run in the list", listed)
    assert (row["run_id"], row["status"], row["principal"]) == (run_id, "completed", "client")


async def test_people_get_the_answer_on_stdout_and_the_progress_on_stderr(platform: Platform) -> None:
    asked = await evolvent(platform, "ask", "hello", "--follow")
    assert (asked.code, asked.out) == (0, "plain\n")
    assert "started: agent" in asked.err
    assert "script" in asked.err
    detached = await evolvent(platform, "ask", "hello", "--detach")
    run_id = detached.out.strip()
    followed = await evolvent(platform, "runs", "follow", run_id)
    assert followed.code == 0
    assert "completed" in followed.out


async def test_status_doctor_and_the_listings_tell_how_it_stands(platform: Platform) -> None:
    await evolvent(platform, "ask", "hello")
    status = await evolvent(platform, "status", "--json")
    assert status.code == 0, status.err
    services = {row["service"] for row in status.json["services"]}
    assert services >= {"recorder", "resources", "loader", "improvement", "metrics", "orchestrator"}
    assert status.json["dead_letters"] == 0
    assert status.json["loaders"][0]["resident"] >= 1
    assert "runs:" in (await evolvent(platform, "status")).out
    doctor = await evolvent(platform, "doctor")
    assert doctor.code == 0, doctor.out
    assert {row["job"] for row in (await evolvent(platform, "jobs", "list", "--json")).rows} >= {"retention"}
    assert (await evolvent(platform, "jobs", "run", "retention")).code == 0
    tools = (await evolvent(platform, "tools", "list", "--json")).rows
    assert {"calculate_metrics", "pay"} <= {row["name"] for row in tools}
    budgets = (await evolvent(platform, "budget", "list", "--json")).rows
    assert {row["goal"]: row["max_daily_usd"] for row in budgets} == {"*": None, "default": 10.0}


async def test_a_run_without_budget_waits_says_why_and_goes_on_when_there_is_some(platform: Platform) -> None:
    lowered = await evolvent(platform, "budget", "set", "default", "--daily", "0", "--json")
    assert lowered.json["max_daily_microusd"] == 0
    asked = await evolvent(platform, "ask", "hello")
    assert asked.code == 1
    assert asked.out == ""
    assert "evolvent budget set" in asked.err

    async def suspended() -> list[dict[str, Any]]:
        return (await evolvent(platform, "runs", "list", "--status", "suspended", "--json")).rows

    [waiting] = await wait_for("the suspended run", suspended)
    raised = await evolvent(platform, "budget", "set", "default", "--daily", "5")
    assert raised.code == 0, raised.err
    followed = await evolvent(platform, "runs", "follow", waiting["run_id"], "--json")
    assert followed.code == 0
    assert followed.rows[-1]["answer"] == "plain"


async def test_a_waiting_run_can_be_cancelled(platform: Platform) -> None:
    await evolvent(platform, "budget", "set", "default", "--daily", "0")
    run_id = (await evolvent(platform, "ask", "hello", "--json")).json["run_id"]
    assert (await evolvent(platform, "runs", "cancel", run_id, "--reason", "changed my mind")).code == 0
    followed = await evolvent(platform, "runs", "follow", run_id, "--json")
    assert followed.code == 1
    assert followed.rows[-1]["type"] == "workflow_cancelled"
    resumed = await evolvent(platform, "runs", "resume", run_id)
    assert resumed.code == 1
    assert "cancelled" in resumed.err
    await evolvent(platform, "budget", "set", "default", "--daily", "5")


async def test_agents_are_spawned_listed_shown_and_retired(platform: Platform) -> None:
    spawned = await evolvent(platform, "agents", "spawn", "log analyst", "--json")
    assert spawned.code == 0, spawned.err
    agent_id = spawned.json["agent_id"]
    assert agent_id.startswith("log_analyst_")
    assert agent_id in (await evolvent(platform, "agents", "list")).out
    assert (await evolvent(platform, "agents", "show", agent_id, "--json")).json["specialty"]
    assert (await evolvent(platform, "agents", "retire", agent_id)).code == 0
    [row] = (await evolvent(platform, "agents", "list", "--status", "retired", "--json")).rows
    assert row["agent_id"] == agent_id
    missing = await evolvent(platform, "agents", "show", "nobody_00000000")
    assert missing.code == 1
    assert "evolvent agents list" in missing.err
    assert "Traceback" not in missing.err


async def test_a_dead_letter_is_listed_shown_and_sent_again(platform: Platform) -> None:
    client = await platform.connect()
    await client.append("evolvent.requests.medium.default", b'{"mesage": "a typing error"}')

    async def dead() -> list[dict[str, Any]]:
        return (await evolvent(platform, "dead", "list", "--json")).rows

    [letter] = await wait_for("the dead letter", dead)
    assert "mesage" in letter["reason"]
    shown = await evolvent(platform, "dead", "show", str(letter["sequence"]), "--json")
    assert shown.json["payload"] == '{"mesage": "a typing error"}'
    retried = await evolvent(platform, "dead", "retry", str(letter["sequence"]))
    assert retried.code == 0, retried.err
    again = await wait_for("the letter again", dead)
    assert again[-1]["sequence"] > letter["sequence"]
    assert (await evolvent(platform, "dead", "show", "999")).code == 1


async def test_a_client_that_was_added_asks_under_its_own_name(platform: Platform) -> None:
    added = await evolvent(platform, "clients", "add", "alice", "--json")
    file = Path(added.json["file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    from evolvent.platform.client import Client

    async with Client.connect(url=json.loads(file.read_text())["nats_url"]) as client:
        answer = await client.ask("hello")
    story = (await evolvent(platform, "runs", "show", answer.run_id, "--json")).json
    assert story["principal"] == "alice"
    assert (await evolvent(platform, "clients", "remove", "alice")).code == 0
    assert (await evolvent(platform, "clients", "list", "--json")).rows == []


async def test_what_is_said_about_a_run_is_kept(platform: Platform) -> None:
    run_id = (await evolvent(platform, "ask", "hello", "--json")).json["run_id"]
    operator = await platform.connect("operator")
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await operator.subscribe("evolvent.events.feedback_received", lambda message: heard.put_nowait(message.data))
    await operator.flush()
    said = await evolvent(platform, "improve", "Say more", "--run", run_id, "--rating", "2")
    assert said.code == 0, said.err
    event = json.loads(await asyncio.wait_for(heard.get(), 20))
    assert (event["run_id"], event["text"], event["rating"], event["principal"]) == (run_id, "Say more", 2, "client")


async def test_the_connection_files_are_private_and_no_secret_is_in_the_log(platform: Platform) -> None:
    await evolvent(platform, "ask", "hello")
    found = json.loads((platform.data_dir / "client.json").read_text())
    assert found["pid"] == platform.process.pid
    with urllib.request.urlopen(found["metrics_url"], timeout=5) as page:
        assert b"evolvent_" in page.read()
    for name in ("client.json", "operator.json", "nats/state.json"):
        assert stat.S_IMODE((platform.data_dir / name).stat().st_mode) == 0o600
    assert "database" not in found
    assert json.loads((platform.data_dir / "operator.json").read_text())["database"] == str(platform.data_dir / "db")
    state = json.loads((platform.data_dir / "nats" / "state.json").read_text())
    log = platform.log.read_text()
    for secret in (*state["passwords"].values(), "sk-test"):
        assert secret not in log


async def test_a_second_platform_on_the_same_folder_is_refused_in_one_sentence(platform: Platform) -> None:
    second = await evolvent(platform, "up")
    assert second.code == 1
    assert "Another `evolvent up`" in second.err
    assert "Traceback" not in second.err


async def test_ctrl_c_ends_a_command_in_one_line_and_the_platform_with_0(platform: Platform) -> None:
    await evolvent(platform, "budget", "set", "default", "--daily", "0")
    run_id = (await evolvent(platform, "ask", "hello", "--json")).json["run_id"]
    followed = await evolvent(platform, "runs", "follow", run_id, stop_with=signal.SIGINT)
    assert followed.code == 130
    assert followed.err.strip() == "evolvent: interrupted."
    platform.process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(platform.process.wait(), 20) == 0
    assert not (platform.data_dir / "client.json").exists()
    late = await evolvent(platform, "ask", "hello")
    assert late.code == 1
    assert "evolvent up" in late.err
    assert (await evolvent(platform, "runs", "list", "--json")).rows[0]["run_id"] == run_id
