"""The examples of workflows, all against one real `evolvent up` that examples/start.py starts."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from support.processes import environment

from evolvent.events.language.adaptation import ReadyTask
from evolvent.events.language.workflow import Task, Workflow

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "path", [str(EXAMPLES), *sys.path])
        for name in [each for each in os.environ if each.startswith(("EVOLVENT_", "OPENAI_"))]:
            patched.delenv(name)
        start = importlib.import_module("start")
        async with start.own_platform(tmp_path_factory.mktemp("examples")) as found:
            yield found


@pytest.fixture
def said(place: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    async def run(name: str) -> list[str]:
        capsys.readouterr()
        await importlib.import_module(name).main(place)
        return [line.strip() for line in capsys.readouterr().out.splitlines()]

    return run


async def test_the_demo_of_dynamic_agents_finds_that_the_firewall_fell_silent(said: Any) -> None:
    lines = await said("dynamic_agents_demo")
    assert "missing_data_troubleshooting: 75.0% side by side, 61% time saved" in lines
    assert "performance_analysis: 100.0% side by side, 59% time saved" in lines
    assert "connectivity: files answers, ok: true" in lines
    assert "data: security events in the last hour: 8" in lines
    assert "license: license required: false" in lines
    assert any(
        re.match(r"time_range: firewall events in the range: 0; in the last 7 days: 20, the latest at 20\d\d-", line)
        for line in lines
    )
    assert "completed: 4 tasks, 8 model and 7 tool calls" in lines
    assert "threat_detection_status: 17 threats reported in the last two hours" in lines
    assert "network_baseline_analysis: 20 firewall events in the last week" in lines
    took = {found[1]: float(found[2]) for line in lines if (found := re.match(r"(\w+): ([\d.]+) s$", line))}
    assert took.keys() >= {"sequential", "parallel"}


async def test_an_account_is_analysed_by_four_agents(said: Any, place: Any) -> None:
    lines = await said("account_analysis")
    assert [line for line in lines if line.startswith("started: ")][-1] == (
        "started: generate_recommendations by recommender"
    )
    assert {"started: analyze_risk by risk_analyzer", "started: get_historical_context by memory_analyst"} < set(lines)
    assert "completed: analyze_risk: overdue_usd 480.0" in lines
    assert lines[-1].startswith("success rate 100.0%, execution time ")
    assert {row.agent_id for row in await place.client.list_agents()} >= {"zoho_scout", "recommender"}
    await place.client.unregister_agent("zoho_scout", reason="the test is over")
    retired = await place.client.list_agents(status="retired")
    assert [row.agent_id for row in retired] == ["zoho_scout"]


async def test_three_fetches_are_added_up_without_a_model(said: Any) -> None:
    assert await said("three_fetches") == [
        "4 tasks in 2 phases, 75% side by side, 57% time saved",
        "total 600.0, average 200.0, 0 model calls",
    ]


async def test_outputs_are_filtered_mapped_summed_and_cut_out(said: Any) -> None:
    lines = await said("transformations")
    assert lines[1:4] == [
        "{'on': '2024-04-15', 'usd': 2880.0}",
        "{'on': '2025-04-15', 'usd': 2880.0}",
        "{'on': '2026-01-20', 'usd': 480.0}",
    ]
    assert lines[4].endswith("{'ACC-12345': 6240.0, 'ACC-20001': 21600.0}")
    assert lines[5].endswith("invoice overdue")


async def test_a_rule_of_one_s_own_lets_the_critical_path_go_first(said: Any) -> None:
    rule = importlib.import_module("my_rules").critical_path_first
    errand, way = (
        ReadyTask(Task(task_id=name), 1, left, is_critical=name == "way") for name, left in (("errand", 1), ("way", 9))
    )
    assert [(boost.task_id, boost.amount) for boost in rule(Workflow(name="w", tasks=()), [errand, way])] == [
        ("way", 20)
    ]
    assert (await said("adaptation_rule"))[0] == "done: long_way"


async def test_a_step_that_fails_is_tried_again_and_then_another_workflow_takes_over(said: Any) -> None:
    lines = await said("errors_and_fallback")
    assert lines[0].startswith("without a fallback: failed: Tool 'reach' failed: ConnectionRefusedError")
    assert lines[1] == "kept all the same: Northside Clinic"
    assert [line.split(":")[0] for line in lines[2:5]] == [f"try {n} of critical_step" for n in (1, 2, 3)]
    assert lines[5:] == ["with a fallback: completed, 1 entry of history"]


async def test_a_run_is_watched_and_stopped(said: Any) -> None:
    lines = await said("monitoring")
    assert lines[0].startswith("state suspended, progress 33%")
    assert lines[1].startswith("first: done in ")
    assert "after cancel: workflow_cancelled" in lines
    assert "watched cancelled" in lines[-1]


async def test_the_message_picks_the_workflow(said: Any) -> None:
    meant, other = await said("intent")
    assert meant.startswith("'Please analyse my account' is served by workflow: account_look@1")
    assert "is served by agent: " in other


async def test_items_stream_through_a_pipeline(said: Any) -> None:
    lines = await said("pipeline")
    assert lines[-1] == "orders with shipping: [319.0, 69.0]"
    assert lines[:-1] == ["done: orders", "done: with_shipping[0]", "done: with_shipping[1]"]


async def test_a_person_says_yes_and_no(said: Any) -> None:
    lines = await said("approval")
    assert [line.split(": ")[0] for line in lines] == ["suspended", "yes", "suspended", "no"]
    assert lines[1] == "yes: workflow_completed {'to': 'Harbour Bakery', 'usd': 480.0}"
    assert lines[3] == "no: workflow_failed"


async def test_a_request_is_planned_and_taken_back(said: Any) -> None:
    assert await said("schedule") == ["digest: 30 7 * * mon-fri Europe/Berlin", "planned: ['digest']", "left: []"]


async def test_the_document_of_the_page_runs_waits_and_is_taken_over(place: Any) -> None:
    page = (EXAMPLES.parent / "docs" / "workflows.md").read_text("utf-8")
    document = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    await place.client.put_workflow(
        {"name": "reminder_by_hand", "tasks": [{"task_id": "by_hand", "approval": "Done?"}]}
    )
    await place.client.put_workflow(document)
    asked = await place.client.ask("", workflow="reminder", parameters={"account_id": "ACC-12345"})
    assert asked.status == "suspended" and asked.error is not None and "Send the draft?" in asked.error.message
    assert (asked.model_calls, asked.tool_calls, asked.served_by) == (1, 2, "workflow")
    await place.client.decide(asked.run_id, approved=True)
    *_, last = [step async for step in place.client.follow(asked.run_id)]
    assert (last.type, last.data["output"]["to"]) == ("workflow_completed", "Harbour Bakery")

    steps = place.client.execute_custom_workflow("reminder", ask={"parameters": {"account_id": "ACC-20001"}})
    told = [(step.type, step.data.get("task_id")) async for step in steps]
    assert ("agent_completed", "clerk") in told and told[-1][0] == "workflow_completed"


async def test_an_example_by_itself_brings_its_own_platform() -> None:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, str(EXAMPLES / "three_fetches.py"))
    process = await asyncio.create_subprocess_exec(*command, env=environment(), stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert out.decode().splitlines()[-1] == "total 600.0, average 200.0, 0 model calls"
