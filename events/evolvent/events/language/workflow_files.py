"""Workflows as people write them: a parsed YAML or JSON object becomes a `Workflow`, or a list of its problems.

Words that other engines use are understood: steps, step_id, agent_capability, estimated_duration, retry_delay,
data_transformations, execution_mode, max_parallel_steps. A word that nobody knows is a problem, not ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.json_bounds import BadJson, measure
from evolvent.events.language.tools import ToolSpec
from evolvent.events.language.validation import MAX_DOCUMENT_NODES, problems
from evolvent.events.language.workflow import ApprovalPolicy, Task, TaskKind, Workflow
from evolvent.events.language.workflow_problems import Problem, WorkflowInvalid

TASK_WORDS = {
    "step_id": "task_id",
    "id": "task_id",
    "agent_capability": "capability",
    "estimated_duration": "estimated_duration_seconds",
    "retry_delay": "retry_delay_seconds",
    "timeout": "timeout_seconds",
    "data_transformations": "transformations",
    "execution_mode": "mode",
    "depends_on": "dependencies",
}
WORKFLOW_WORDS = {
    "steps": "tasks",
    "max_parallel_steps": "max_parallel_tasks",
    "execution_mode": "mode",
    "timeout": "timeout_seconds",
    "fallback": "fallback_workflow",
}
RUN_WORDS = frozenset({"state", "result", "results"})
"""What a document of a finished run holds besides; it is no part of the definition."""
_ENUMS = ("mode", "priority", "capability", "kind")


def read_workflow(data: object) -> tuple[Workflow | None, list[Problem]]:
    """Return the workflow that a parsed document describes, and what is wrong with its words and values.

    A value that cannot be read is left out and reported, so that everything else can still be checked. There is
    no workflow where too little can be read.
    """
    if not isinstance(data, Mapping):
        return None, [Problem("workflow", "This is no object.", "Write name: and tasks:.", "not_object")]
    try:
        measure(data, max_nodes=MAX_DOCUMENT_NODES)
    except BadJson as problem:
        return None, [Problem("workflow", f"The document {problem}.", "Use plain JSON values.", "not_json")]
    found: list[Problem] = []
    document = _workflow_words(data, found)
    for _ in range(2):
        try:
            return Workflow.model_validate(document), found
        except ValidationError as error:
            found += [_problem(detail, document) for detail in error.errors(include_url=False)]
            for detail in error.errors(include_url=False):
                _leave_out(document, detail["loc"])
    return None, list(dict.fromkeys(found))


def load_workflow(
    data: object,
    tools: Mapping[str, ToolSpec] | None = None,
    *,
    agents: Mapping[str, AgentSpec] | None = None,
    workflows: Mapping[str, Workflow] | None = None,
) -> Workflow:
    """Return the workflow that a parsed document describes, checked against what there is.

    Raises:
        WorkflowInvalid: listing everything that is wrong with it.
    """
    workflow, found = read_workflow(data)
    if workflow is not None:
        found = [*found, *problems(workflow, tools, agents=agents, workflows=workflows)]
    if workflow is None or found:
        name = data.get("name", "") if isinstance(data, Mapping) else ""
        raise WorkflowInvalid(found, name=str(name)[:200])
    return workflow


def _workflow_words(data: Mapping[str, Any], found: list[Problem]) -> dict[str, Any]:
    document = _translate(data, WORKFLOW_WORDS | {"workflow_id": "workflow_id"}, Workflow, "workflow", found)
    identity = document.pop("workflow_id", None)
    if identity is not None:
        document = {**document, "name": identity, "title": document.get("title") or document.get("name", "")}
    tasks = document.get("tasks")
    if isinstance(tasks, Mapping):
        tasks = [{"task_id": name, **task} if isinstance(task, Mapping) else task for name, task in tasks.items()]
    if isinstance(tasks, list | tuple):
        document["tasks"] = [_task_words(task, number, found) for number, task in enumerate(tasks)]
    return document


def _task_words(task: object, number: int, found: list[Problem]) -> object:
    if not isinstance(task, Mapping):
        return task
    name = next((task[word] for word in ("task_id", "step_id", "id") if word in task), None)
    where = f"task {name!r:.80}" if name is not None else f"tasks[{number}]"
    document = _translate(task, TASK_WORDS, Task, where, found)
    for key in ("dependencies", "required_tools", "context_requirements"):
        if isinstance(document.get(key), str):
            document[key] = [document[key]]
    if isinstance(document.get("approval"), str):
        document["approval"] = {"prompt": document["approval"]}
    if isinstance(document.get("approval"), Mapping):
        document["approval"] = _translate(
            document["approval"], {"timeout": "timeout_seconds"}, ApprovalPolicy, where, found
        )
    if "kind" not in document:
        kinds = [kind for kind in (TaskKind.TOOL, TaskKind.WORKFLOW, TaskKind.APPROVAL) if document.get(kind.value)]
        document["kind"] = kinds[0] if kinds else TaskKind.AGENT
    return document


def _translate(
    data: Mapping[str, Any], words: Mapping[str, str], model: type[BaseModel], where: str, found: list[Problem]
) -> dict[str, Any]:
    """Return an object in our words; unknown words are put down and left out."""
    document: dict[str, Any] = {}
    for key, value in data.items():
        word = words.get(key, key)
        if key in RUN_WORDS:
            continue
        if word not in model.model_fields and word not in words.values():
            close = get_close_matches(key, [*model.model_fields, *words], n=1)
            remedy = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(model.model_fields)}."
            found.append(Problem(where, f"{key!r:.80} is no word of a workflow.", remedy, "word.unknown"))
        elif word in document and document[word] != value:
            found.append(Problem(where, f"{key!r} and {word!r} say different things.", "Keep one.", "word.twice"))
        elif value is not None:
            document[word] = value.lower() if word in _ENUMS and isinstance(value, str) else value
    return document


def _problem(detail: Any, document: dict[str, Any]) -> Problem:
    location = list(detail["loc"])
    where = "workflow"
    if location[:1] == ["tasks"] and len(location) > 1:
        task = document["tasks"][location[1]]
        named = isinstance(task, dict) and "task_id" in task
        where = f"task {task['task_id']!r:.80}" if named else f"tasks[{location[1]}]"
        location = location[2:]
    path = ".".join(map(str, location))
    given = "" if detail["type"] == "missing" else f", not {detail['input']!r:.80}"
    return Problem(where, f"{path or 'It'}: {detail['msg']}{given}.", "Correct it.", "value")


def _leave_out(document: dict[str, Any], location: tuple[str | int, ...]) -> None:
    """Take the smallest whole field out that holds a wrong value."""
    if location[:1] == ("tasks",) and len(location) > 2 and isinstance(location[1], int):
        task = document["tasks"][location[1]]
        if isinstance(task, dict):
            task.pop(location[2], None)
    elif location and location[0] != "tasks":
        document.pop(str(location[0]), None)
