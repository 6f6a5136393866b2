"""`evolvent workflows`, and the SDK's part about them, against a real `evolvent up`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.commands import ok, rows, said
from support.processes import Platform, platform_up, scripted_model, wait_for

from evolvent.events.errors import PermissionDenied
from evolvent.events.language.workflow_files import load_workflow
from evolvent.events.language.workflow_problems import WorkflowInvalid
from evolvent.platform.client import Client
from evolvent.platform.workflow_plans import PlanFailed

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN: dict[str, Any] = {
    "name": "averages",
    "title": "Averages",
    "tasks": [
        {"task_id": "one", "kind": "tool", "tool": "calculate_metrics", "arguments": {"values": [1, 2, 3]}},
        {"task_id": "two", "kind": "tool", "tool": "calculate_metrics", "arguments": {"values": [4, 5]}},
        {
            "task_id": "sum_up",
            "kind": "agent",
            "instructions": "Compare the two means.",
            "required_tools": [],
            "context_requirements": [],
            "dependencies": ["one", "two"],
        },
    ],
}
BAD_PLAN = {**PLAN, "tasks": [{**PLAN["tasks"][0], "tool": "rm_rf"}]}
SCRIPT = {
    "rules": [
        {"name": "hopeless", "when": {"user": "hopeless"}, "turns": [{"text": "I cannot."}]},
        {"name": "repaired", "when": {"user": "It cannot be used:"}, "turns": [{"text": json.dumps(PLAN)}]},
        {
            "name": "planner",
            "when": {"system": "You are a workflow planner"},
            "turns": [{"text": json.dumps(BAD_PLAN)}],
        },
        {"name": "compare", "when": {"user": "Compare the two means"}, "turns": [{"text": "Two is larger."}]},
    ],
    "default": {"text": "plain"},
}
REPORT = """\
name: report
title: Report
tasks:
  - {task_id: first, tool: calculate_metrics, arguments: {values: [1, 2]}, estimated_duration: 1}
  - {task_id: second, tool: calculate_metrics, arguments: {values: [3, 4]}, estimated_duration: 2}
  - task_id: both
    instructions: Compare the two means.
    required_tools: []
    context_requirements: []
    dependencies: [first, second]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    folder: Path = tmp_path_factory.mktemp("workflows")
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    logs = folder / "logs"
    logs.mkdir()
    (logs / "app.log").write_text("2026-01-01T00:00:00Z error: disk full\n")
    folders = json.dumps([str(logs)])
    async with (
        scripted_model(folder, script) as url,
        platform_up(folder, url, EVOLVENT_TOOLS__ALLOWED_FOLDERS=folders) as running,
    ):
        yield running


async def test_the_workflows_that_come_with_the_platform_are_listed_and_drawn(platform: Platform) -> None:
    listed = {row["name"]: row for row in rows(await ok(platform, "workflows", "list", "--json"))}
    assert set(listed) >= {"missing_data_troubleshooting", "performance_analysis", "health_check"}
    missing = listed["missing_data_troubleshooting"]
    assert (missing["version"], missing["tasks"], missing["phases"], missing["parallelism"]) == (1, 4, 2, 0.75)
    shown = await ok(platform, "workflows", "show", "missing_data_troubleshooting")
    for part in ("1 ┬", "2 ─", "* time_range_verification", "critical path", "prompt diet", "% less"):
        assert part in shown
    assert "\x1b" not in shown
    described = json.loads(await ok(platform, "workflows", "show", "missing_data_troubleshooting@1", "--json"))
    assert described["plan"]["phases"][1] == ["permissions_verification"]
    assert described["prompt_diet"]["saved"] > 0.5


async def test_a_workflow_lives_in_versions_that_can_be_compared_and_taken_back(
    platform: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "report.yaml"
    file.write_text(REPORT)
    assert "version 1" in await ok(platform, "workflows", "create", "-f", str(file))
    assert "was there already" in await ok(platform, "workflows", "create", "-f", str(file))
    file.write_text(REPORT.replace("title: Report", "title: Better report"))
    stored = json.loads(await ok(platform, "workflows", "create", "-f", str(file), "--note", "title", "--json"))
    assert (stored["stored"]["version"], stored["is_new"]) == (2, True)
    compared = await ok(platform, "workflows", "diff", "report@1", "report")
    assert "-title: Report" in compared.splitlines()
    assert "+title: Better report" in compared.splitlines()
    same = json.loads(await ok(platform, "workflows", "diff", "report@2", str(file), "--json"))
    assert same["diff"] == []
    await ok(platform, "workflows", "rollback", "report")
    found = rows(await ok(platform, "workflows", "versions", "report", "--json"))
    assert [(row["version"], row["note"]) for row in found] == [(1, ""), (2, "title"), (3, "rolled back to version 1")]


async def test_a_file_that_cannot_run_is_told_whole(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(REPORT.replace("calculate_metrics", "calculate_matrics").replace("title:", "titel:"))
    for command in (("create", "-f"), ("lint",)):
        code, out, err = await said(platform, "workflows", *command, str(file))
        assert code == 1
        assert "'titel'" in out + err
        assert (out + err).count("Did you mean 'calculate_metrics'?") == 2
    code, out, _ = await said(platform, "workflows", "lint", "health_check")
    assert code == 0, out
    code, _, err = await said(platform, "workflows", "show", "nothing")
    assert code == 1
    assert "workflows list" in err


async def test_a_plan_is_repaired_shown_and_saved(platform: Platform) -> None:
    command = ("workflows", "plan", "Which of my two lists is larger?")
    planned = json.loads(await ok(platform, *command, "--save", "larger", "--budget", "1", "--json"))
    assert len(planned["run_ids"]) == 2
    assert planned["cost_usd"] > 0
    assert planned["plan"]["phases"] == [["one", "two"], ["sum_up"]]
    assert (planned["stored"]["name"], planned["stored"]["version"]) == ("larger", 1)
    assert planned["stored"]["source"] == "automated"
    code, out, err = await said(platform, *command)
    assert code == 0, err
    assert "averages  (not stored)  Averages" in out
    assert "planned in 2 attempts" in err


async def test_a_plan_that_cannot_be_had_costs_no_more_than_allowed(platform: Platform) -> None:
    async with Client.connect(platform.data_dir) as client:
        with pytest.raises(PlanFailed, match="asked 2 times") as failed:
            await client.plan_workflow("hopeless", repairs=1)
        assert "no JSON object" in str(failed.value)
        with pytest.raises(PlanFailed, match="raise --budget"):
            await client.plan_workflow("Which is larger?", budget_usd=0.000001)


async def test_a_client_reads_and_only_an_operator_stores(platform: Platform) -> None:
    async with Client.connect(platform.data_dir) as client:
        names = [row.name for row in await client.list_available_workflows()]
        assert "health_check" in names
        assert (await client.check_workflow(PLAN)).problems == ()
        assert (await client.get_engine_metrics()).active_workflows >= 0
        with pytest.raises(PermissionDenied, match="operator=True"):
            await client.put_workflow({**PLAN, "name": "smuggled"})
    async with Client.connect(platform.data_dir, operator=True) as operator:
        assert "smuggled" not in [row.name for row in await operator.list_available_workflows()]
        made = await operator.create_workflow("Account Analysis!", PLAN["tasks"], priority="high")
        assert (made.name, made.title, made.version) == ("account_analysis", "Account Analysis!", 1)
        with pytest.raises(WorkflowInvalid, match="no task"):
            await operator.create_workflow("Empty", [])


async def test_a_workflow_runs_and_its_run_is_drawn(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "numbers.yaml"
    file.write_text(REPORT.replace("name: report", "name: numbers"))
    await ok(platform, "workflows", "create", "-f", str(file))
    code, out, err = await said(platform, "workflows", "run", "numbers", "Which is larger?", "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["status"], answer["served_by"]) == ("completed", "workflow")
    assert "Two is larger." in answer["answer"]
    drawn = await ok(platform, "runs", "show", answer["run_id"])
    for part in ("1 ┬ ✓", "2 ─ ✓* both", "3 of 3 done", "prompt diet"):
        assert part in drawn
    async with Client.connect(platform.data_dir) as client:
        status = await client.get_workflow_status(answer["run_id"])
        assert (status.state, status.progress, status.current_tasks) == ("completed", 1.0, ())
        assert {task.task_id: task.state for task in status.tasks} == {
            "first": "done",
            "second": "done",
            "both": "done",
        }

        async def seen() -> bool:
            return bool((await client.get_workflow("numbers")).observed)

        await wait_for("observed durations", seen)
        assert answer["run_id"] in {run.run_id for run in (await client.get_engine_metrics()).performance_metrics}


async def test_a_document_that_is_not_stored_yet_is_run_as_a_stream_of_events(platform: Platform) -> None:
    async with Client.connect(platform.data_dir, operator=True) as client:
        tasks = load_workflow(PLAN).tasks
        made = client.create_custom_workflow_from_tasks("streamed", "Streamed", tasks)
        steps = [step async for step in client.execute_custom_workflow(made, {"team": "a"}, "Which is larger?")]
        kinds = [step.type for step in steps]
        assert (kinds[0], kinds[-1]) == ("workflow_started", "workflow_completed")
        assert {"agent_started", "agent_stream", "agent_completed"} <= set(kinds)
        assert (await client.get_workflow("streamed")).stored.version == 1
        missing = await client.execute_missing_data_analysis({"earliest_time": "-1h"}, "No firewall events")
        assert missing.status == "completed"
        with pytest.raises(ValueError, match="earliest_time"):
            await client.execute_missing_data_analysis({"earliest_time": "yesterday-ish"}, "?")


async def test_a_plan_is_run_at_once(platform: Platform) -> None:
    code, out, err = await said(platform, "workflows", "plan", "Which of my lists is larger?", "--run")
    assert code == 0, err
    assert "Two is larger." in out


async def test_a_person_approves_or_denies(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "careful.yaml"
    file.write_text("name: careful\ntasks: [{task_id: ok, approval: 'Go on?'}]\n")
    await ok(platform, "workflows", "create", "-f", str(file))
    for verb, status in (("approve", "completed"), ("deny", "failed")):
        code, out, _ = await said(platform, "workflows", "run", "careful", "Please", "--json")
        waiting = json.loads(out)
        assert (code, waiting["status"]) == (1, "suspended")
        run_id = waiting["run_id"]

        async with Client.connect(platform.data_dir) as client:

            async def recorded(client: Client = client) -> bool:
                return (await client.get_engine_metrics()).suspended_workflows == 1

            await wait_for("the suspended run", recorded)
        await ok(platform, "runs", verb, run_id, "--note", "seen")
        async with Client.connect(platform.data_dir) as client:
            kinds = [step.type async for step in client.follow(run_id)]
        assert kinds[-1] == f"workflow_{status}"
