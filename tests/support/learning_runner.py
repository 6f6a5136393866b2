"""Runs a workflow of tool and compute tasks against plain functions, as the engine would: no bus, no model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.language.learning.examples import Example
from evolvent.events.language.learning.guards import violated
from evolvent.events.language.learning.programs import bind
from evolvent.events.language.references import Scope, resolve
from evolvent.events.language.workflow import TaskKind, Workflow
from evolvent.events.language.workflow_problems import ReferenceUnresolved

Tool = Callable[[str, Mapping[str, Any]], Any]


@dataclass
class Ran:
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    handed_over: str | None = None
    output: Any = None


def run(workflow: Workflow, params: Mapping[str, Any], tool: Tool) -> Ran:
    """Do the tasks in order; a guard that fails, or a value that is not there, hands over."""
    ran = Ran()
    for task in workflow.tasks:
        assert set(task.dependencies) <= ran.outputs.keys(), f"{task.task_id} comes too early"
        scope = Scope(outputs=ran.outputs, params=params)
        try:
            arguments = bind(task, scope)
        except ReferenceUnresolved as gap:
            ran.handed_over = str(gap)
            return ran
        if task.kind is TaskKind.TOOL:
            ran.calls.append((task.tool or "", arguments))
            ran.outputs[task.task_id] = tool(task.tool or "", arguments)
        elif task.kind is TaskKind.COMPUTE:
            ran.outputs[task.task_id] = arguments["output"] if set(arguments) == {"output"} else arguments
        else:
            ran.outputs[task.task_id] = f"<{task.instructions}>"
        ran.handed_over = violated(task, Scope(outputs=ran.outputs, params=params))
        if ran.handed_over:
            return ran
    ran.output = resolve(workflow.output, Scope(outputs=ran.outputs, params=params))
    return ran


def recorded_tools(*examples: Example) -> Tool:
    """Return tools that answer what they answered in these runs, and nothing else."""
    calls = [call for example in examples for call in example.calls]
    results = {(call.tool, json.dumps(dict(call.arguments), sort_keys=True)): call.result for call in calls}
    return lambda name, arguments: results[name, json.dumps(dict(arguments), sort_keys=True)]
