"""Every example, run as its first lines say, against one real `evolvent up`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.processes import Platform, environment, platform_up, scripted_model

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SCRIPT = """
rules:
  - when: {user: "words"}
    turns:
      - tool_calls: [{name: common_words, arguments: {text: "to be or not to be", most: 1}}]
      - text: "Most common: {{ tool.0.text }}"
  - when: {user: "note"}
    turns:
      - tool_calls: [{name: take_note, arguments: {text: "buy milk"}}, {name: post_once, arguments: {text: "hello"}}]
      - text: "Noted."
default: {text: "plain"}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    folder = tmp_path_factory.mktemp("examples")
    script = folder / "script.yaml"
    script.write_text(SCRIPT)
    mine = {
        "EVOLVENT_TOOLS__MODULES": '["my_tools"]',
        "PYTHONPATH": str(EXAMPLES),
        "NOTES_FILE": str(folder / "notes.jsonl"),
    }
    async with scripted_model(folder, script) as url, platform_up(folder, url, **mine) as running:
        yield running


async def example(platform: Platform, name: str, message: str) -> list[str]:
    env = environment(EVOLVENT_DATA_DIR=str(platform.data_dir))
    command = (sys.executable, str(EXAMPLES / name), message)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


async def test_a_plain_nats_client_publishes_watches_and_reads_the_answer(platform: Platform) -> None:
    said = await example(platform, "plain_nats_client.py", "Which words are common?")
    assert said[0].startswith("stored as ")
    assert said[1] == "workflow_started"
    assert "tool_completed common_words ok" in said
    assert said[-2:] == ["workflow_completed", 'Most common: {"to":2}']


async def test_the_sdk_asks_follows_and_judges(platform: Platform) -> None:
    said = await example(platform, "ask_and_follow.py", "Hello")
    assert said[0].startswith("completed by agent for $0.0")
    assert said[0].endswith("plain")
    assert [line.strip() for line in said[1:]] == [
        "workflow_started",
        "agent_started",
        "agent_completed",
        "workflow_completed",
    ]


async def test_tools_of_one_s_own_are_listed_offered_and_run(platform: Platform) -> None:
    listed = [json.loads(line) for line in (await platform.evolvent("tools", "list", "--json")).splitlines()]
    effects = {row["name"]: row["effect"] for row in listed}
    assert (effects["common_words"], effects["take_note"], effects["post_once"]) == ("pure", "keyed", "irreversible")
    asked = json.loads(await platform.evolvent("ask", "Take a note", "--json"))
    assert (asked["status"], asked["tool_calls"]) == ("completed", 2)
    notes = [json.loads(line) for line in (platform.data_dir.parent / "notes.jsonl").read_text().splitlines()]
    assert [note["text"] for note in notes] == ["buy milk", "hello"]
    assert {asked["run_id"]} == {note["run_id"] for note in notes if "run_id" in note}
