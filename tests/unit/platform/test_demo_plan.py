"""The plan that the demo's scripted model answers with is one that could run on its tools."""

from __future__ import annotations

import json
from pathlib import Path

from evolvent.events.language.plan import plan
from evolvent.events.language.planning import PLANNER_PROMPT, Known, plan_request, read_plan
from evolvent.orchestrator.tools import ToolRegistry
from evolvent.orchestrator.tools.registry import ToolSettings
from evolvent.platform.scripted_model.chat import ChatRequest
from evolvent.platform.scripted_model.script import Script


def test_the_demo_plans_with_tools_that_it_has(tmp_path: Path) -> None:
    tools = ToolRegistry(ToolSettings(allowed_folders=(tmp_path,)))
    tools.load_builtin()
    known = Known({spec.name: spec for spec in tools.specs()})
    asked = plan_request("Is this machine well?", known)
    messages = ({"role": "system", "content": PLANNER_PROMPT}, {"role": "user", "content": asked})
    answer = Script.demo().answer(ChatRequest("m", messages, ()))
    assert answer.rule == "workflow planner"
    reading = read_plan(answer.text or "", known)
    assert reading.problems == ()
    assert reading.workflow is not None
    assert plan(reading.workflow).phases == (("resources", "errors"), ("sum_up",))
    told = f"{reading.workflow.tasks[2].instructions}\n\nOutput of resources: {json.dumps({'cpu_percent': 12.5})}"
    summed_up = Script.demo().answer(ChatRequest("m", ({"role": "user", "content": told},), ()))
    assert "12.5 %" in (summed_up.text or "")
