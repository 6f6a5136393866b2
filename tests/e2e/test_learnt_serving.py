"""From runs of an agent to an automation that serves, through a whole platform; its runs are replayed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from support.processes import Platform, platform_up, scripted_model

from evolvent.platform.client import Client

pytestmark = pytest.mark.long

SCRIPT = """
rules:
  - when: {user: {regex: 'value of (?P<key>k-[0-9]+)'}}
    turns:
      - tool_calls: [{name: look_up, arguments: {key: "{{ match.key }}"}}]
      - text: "It is {{ tool.last.result.value }}."
default: {text: "plain"}
"""


async def evolvent(platform: Platform, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evolvent.platform.cli", *arguments),
        env={**platform.environment, "EVOLVENT_DATA_DIR": str(platform.data_dir)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_what_agents_did_alike_serves_and_is_told_and_replayed(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(SCRIPT)
    async with (
        scripted_model(tmp_path, script) as url,
        platform_up(tmp_path, url) as platform,
        Client.connect(platform.data_dir) as client,
    ):
        asked = [f"What is the value of k-{number}?" for number in range(101, 106)]
        by_agent = [await client.ask(question) for question in asked]
        assert [answer.served_by for answer in by_agent] == ["agent"] * 5
        await _learnt(platform)
        served = await client.ask("What is the value of k-202?")
        while served.served_by != "automation":
            served = await client.ask("What is the value of k-202?")
        assert (served.answer, served.model_calls, served.cost_usd) == ("It is value of k-202.", 0, 0)

        code, _, told = await evolvent(platform, "ask", "What is the value of k-303?")
        assert code == 0
        assert "automation look_up (every word of it is known to auto-" in told
        assert "in place of about" in told
        code, shown, _ = await evolvent(platform, "runs", "show", served.run_id, "--json")
        [label] = json.loads(shown)["routing"]["automations"]

        for run_id in (served.run_id, by_agent[0].run_id):
            code, out, err = await evolvent(platform, "runs", "replay", run_id)
            assert (code, "every hash identical" in out) == (0, True), out + err
        code, out, err = await evolvent(platform, "runs", "replay", by_agent[0].run_id, "--with", label, "--json")
        again = json.loads(out)
        assert (code, again["verdict"], again["with"]) == (0, "same", [label]), err
        assert again["answer"] == by_agent[0].answer

        unknown = await client.ask("What is the value of k-101, and of nothing else?")
        assert (unknown.served_by, unknown.answer) == ("agent", "It is value of k-101.")
        code, out, _ = await evolvent(platform, "runs", "replay", unknown.run_id, "--with", label)
        assert (code, out.startswith("  (nothing is written)\nNot decidable: It would leave the request to")) == (
            1,
            True,
        )
        code, shown, _ = await evolvent(platform, "runs", "show", unknown.run_id)
        assert "no automation: no learnt clause reads" in " ".join(shown.split())


async def _learnt(platform: Platform) -> None:
    """Learn until an automation is live: the recorder may be a moment behind."""
    async with Client.connect(platform.data_dir, operator=True) as operator:
        async with asyncio.timeout(20):
            while True:
                await operator.bus.call("evolvent.improvement.learn", b"{}", timeout_seconds=10.0)
                found = json.loads(await operator.bus.call("evolvent.improvement.automations", b"{}"))
                if any(each["status"] == "live" for each in found["automations"]):
                    return
