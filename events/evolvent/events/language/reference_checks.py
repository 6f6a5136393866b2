"""Do the references of a workflow lead somewhere? Only to tasks that are done before, and to what is declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evolvent.events.language import graph
from evolvent.events.language.references import Reference, parse_reference, reference_texts
from evolvent.events.language.workflow import ExecutionMode, Task, TaskKind, Workflow
from evolvent.events.language.workflow_problems import Problem, ReferenceInvalid

_REQUEST_FIELDS = ("message", "user_id", "session_id")


def task_texts(task: Task) -> tuple[Any, ...]:
    """Return the parts of a task in which references are read."""
    return (task.instructions, task.arguments, task.approval.prompt if task.approval else "")


def reference_problems(workflow: Workflow, edges: graph.Edges) -> list[Problem]:
    """Return what is wrong with the references of a workflow."""
    above = graph.upstream(edges)
    position = {name: index for index, name in enumerate(edges)}
    found: list[Problem] = []
    for task in workflow.tasks:
        where = f"task {task.task_id!r:.80}"
        for reference in _read(task_texts(task), where, found):
            found += _problems_of(reference, where, workflow)
            if reference.root == "item":
                found += _item_problem(task, workflow, where)
            other = reference.task_id
            if other is None or other not in position or task.task_id not in above:
                continue
            if not above[task.task_id] >> position[other] & 1:
                what = f"It refers to ${{{reference.text}}}, and does not wait for {other!r}."
                found.append(Problem(where, what, f"Add {other!r} to its dependencies.", "reference.not_upstream"))
    for reference in _read(workflow.output, "output", found):
        found += _problems_of(reference, "output", workflow)
        if reference.root == "item":
            found.append(Problem("output", "There is no item here.", "Refer to a task.", "reference.item"))
    return found


def _read(value: object, where: str, found: list[Problem]) -> list[Reference]:
    """Return the references of a value, and put down those that are none."""
    references: list[Reference] = []
    try:
        texts = reference_texts(value)
    except ReferenceInvalid as problem:
        found.append(Problem(where, str(problem), "Flatten it.", "reference.invalid"))
        return references
    for text in texts:
        try:
            references.append(parse_reference(text))
        except ReferenceInvalid as problem:
            remedy = "Correct it; a plain ${ is written $${."
            found.append(Problem(where, str(problem), remedy, "reference.invalid"))
    return references


def _problems_of(reference: Reference, where: str, workflow: Workflow) -> Iterator[Problem]:
    what = f"It refers to ${{{reference.text}}}"
    name = str(reference.path[0]) if reference.path else None
    if reference.root == "tasks" and reference.task_id not in workflow.by_id:
        known = ", ".join(list(workflow.by_id)[:8])
        yield Problem(where, f"{what}, which is no task.", f"There are: {known}.", "reference.unknown")
    if reference.root == "params" and name is not None and not _takes(workflow.parameters, name):
        remedy = f"Declare {name!r} in `parameters`."
        yield Problem(where, f"{what}, which is no parameter.", remedy, "reference.unknown")
    if reference.root == "request" and name not in _REQUEST_FIELDS:
        remedy = f"Use request.{', request.'.join(_REQUEST_FIELDS)}."
        yield Problem(where, f"{what}, which no request has.", remedy, "reference.unknown")


def _takes(schema: dict[str, Any], name: str) -> bool:
    properties = schema.get("properties")
    is_open = bool(schema) and schema.get("additionalProperties", True) is not False
    if not isinstance(properties, dict):
        return is_open
    return name in properties or bool(schema.get("additionalProperties") or schema.get("patternProperties"))


def _item_problem(task: Task, workflow: Workflow, where: str) -> Iterator[Problem]:
    if workflow.mode_of(task) is not ExecutionMode.PIPELINE or task.kind is TaskKind.APPROVAL:
        yield Problem(where, "There is no item here.", "Say `mode: pipeline`.", "reference.item")
