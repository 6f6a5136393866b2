"""Nested workflows, put in the place of the tasks that name them: one flat DAG, so that the engine knows one kind only.

The task `outer` that runs a workflow with the task `inner` becomes three kinds of tasks:

    outer/@params   a compute task: what the nested workflow is given, and its defaults; what `${params.x}` is inside
    outer/inner     the nested tasks; those without dependencies wait for `outer/@params`
    outer           a compute task: the nested output, with the transformations and guards of the task

Limits (workers, deadline, fallback, takeover) are those of the outermost workflow. A fallback is put under a path of
its own, too: its run keeps what was done before it, and no two tasks of a run may have one id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.envelope import MAX_MESSAGE_BYTES
from evolvent.events.language.json_paths import parse_path, show_path
from evolvent.events.language.json_schemas import misfits
from evolvent.events.language.references import references_in
from evolvent.events.language.validation import MAX_NESTING, MAX_TASKS
from evolvent.events.language.workflow import NO_TASK_TIMEOUT_SECONDS, ExecutionMode, Task, TaskKind, Workflow
from evolvent.events.language.workflow_problems import Problem, WorkflowInvalid

FALLBACK = "fallback"
PARAMETERS = "@params"
"""No task_id that anybody may write holds an @."""
_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}")


@dataclass(slots=True)
class _Flat:
    """What is flat so far."""

    root: Workflow
    known: Mapping[str, Workflow]
    tasks: list[Task] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)
    context_of: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    size: int = 0


def inline(workflow: Workflow, known: Mapping[str, Workflow]) -> Workflow:
    """Return a workflow without workflow tasks; `known` holds those that it names, and those that they name.

    Raises:
        WorkflowInvalid: it contains itself (the cycle is named), nests too deep, becomes too large, or a nested one
            cannot be put in its place.
    """
    if all(task.kind is not TaskKind.WORKFLOW for task in workflow.tasks):
        return workflow
    flat = _Flat(workflow, known)
    _lay_out(flat, workflow, "", (workflow.name,))
    context = {**flat.context, **workflow.context}
    return workflow.model_copy(update={"tasks": tuple(flat.tasks), "context": context})


def set_apart(fallback: Workflow, workflow: Workflow) -> Workflow:
    """Return the flat fallback of a flat workflow with all its tasks under a path of their own.

    Raises:
        WorkflowInvalid: it is an automation, whose programs name their steps.
    """
    if any(task.bindings or task.guards for task in fallback.tasks):
        what = f"{fallback.name!r} is an automation, which goes to its own agent and is nobody's fallback."
        problem = Problem(
            "fallback_workflow", what, "Name the workflow that it was learnt from.", "workflow.automation"
        )
        raise WorkflowInvalid([problem], name=workflow.name)
    is_taken = any(task.task_id.partition("/")[0] == FALLBACK for task in workflow.tasks)
    prefix = f"@{FALLBACK}" if is_taken else FALLBACK
    takeover = fallback.takeover
    return fallback.model_copy(
        update={
            "tasks": tuple(_under(task, prefix) for task in fallback.tasks),
            "takeover": _under(takeover, prefix) if takeover is not None else None,
            "output": _rewrite(fallback.output, prefix, nested=False),
        }
    )


def nested_names(workflow: Workflow) -> tuple[str, ...]:
    """Return the workflows that the tasks of this one name, each once."""
    return tuple(dict.fromkeys(task.workflow for task in workflow.tasks if task.workflow))


def _lay_out(flat: _Flat, workflow: Workflow, prefix: str, trail: tuple[str, ...]) -> None:
    for task in workflow.tasks:
        moved = _moved(task, workflow, flat.root, prefix) if prefix else task
        if task.kind is TaskKind.WORKFLOW:
            _lay_out_nested(flat, moved, trail)
        else:
            flat.tasks.append(moved)
        if len(flat.tasks) > MAX_TASKS:
            what = f"With its nested workflows it has more than {MAX_TASKS} tasks."
            _refuse(flat, Problem("tasks", what, "Split the workflow.", "too_large"))


def _lay_out_nested(flat: _Flat, task: Task, trail: tuple[str, ...]) -> None:
    where, name = f"task {task.task_id!r:.80}", task.workflow or ""
    nested = flat.root if name == flat.root.name else flat.known.get(name)
    found = list(_nesting_problems(task, nested, trail))
    if nested is None or found:
        _refuse(flat, *found)
    assert nested is not None
    for key, value in nested.context.items():
        if key not in flat.root.context and flat.context.setdefault(key, value) != value:
            what = f"{name!r} and {flat.context_of[key]!r} have different context {key!r}."
            _refuse(flat, Problem(where, what, f"Set {key!r} in the context of the outer one.", "workflow.context"))
        flat.context_of.setdefault(key, name)
    flat.size += flat.sizes.setdefault(name, len(nested.model_dump_json()))
    if flat.size > MAX_MESSAGE_BYTES:
        what = f"With its nested workflows it has more than {MAX_MESSAGE_BYTES} bytes, which no run can be told."
        _refuse(flat, Problem(where, what, "Shorten their texts, or split the workflow.", "too_large"))
    flat.tasks.append(_parameters(task, nested))
    inside = nested.model_copy(update={"tasks": tuple(_within(inner, task) for inner in nested.tasks)})
    _lay_out(flat, inside, task.task_id, (*trail, name))
    flat.tasks.append(_result(task, nested))


def _nesting_problems(task: Task, nested: Workflow | None, trail: tuple[str, ...]) -> Iterator[Problem]:
    where, name = f"task {task.task_id!r:.80}", task.workflow or ""
    if nested is None:
        yield Problem(
            where, f"There is no workflow {name!r:.80}.", "Put it first, or name another.", "workflow.unknown"
        )
        return
    if name in trail:
        circle = " → ".join((*trail[trail.index(name) :], name))
        yield Problem(where, f"The workflow contains itself: {circle}.", "Take one of these out.", "workflow.nested")
    elif len(trail) > MAX_NESTING:
        yield Problem(where, f"Workflows nest deeper than {MAX_NESTING}.", "Flatten them.", "workflow.depth")
    if task.mode is ExecutionMode.PIPELINE:
        what = "A workflow takes no items one by one."
        yield Problem(where, what, "Give it the whole list, or make its tasks stages.", "workflow.pipeline")
    if any(inner.bindings or inner.guards for inner in nested.tasks):
        what = f"{name!r} is an automation, whose guards need a run of their own."
        yield Problem(where, what, "Name the workflow that it was learnt from.", "workflow.automation")
    given = {**_defaults(nested.parameters), **task.arguments}
    for wrong in misfits(nested.parameters, given, constants_only=True) if not task.bindings else ():
        what = f"The arguments do not fit workflow {name!r}: {wrong}."
        yield Problem(where, what, "Correct them.", "arguments")


def _moved(task: Task, workflow: Workflow, root: Workflow, prefix: str) -> Task:
    """Return a nested task under its path, waiting for and referring to its neighbours under theirs."""
    mode: ExecutionMode | None = task.mode or workflow.mode
    if task.mode is None and (mode is root.mode or root.mode is ExecutionMode.SEQUENTIAL):
        mode = None  # where one task goes at a time, a nested one does not go beside others
    moved = _under(task, prefix, nested=True)
    return moved.model_copy(
        update={"dependencies": moved.dependencies or (f"{prefix}/{PARAMETERS}",), "mode": mode},
    )


def _under(task: Task, prefix: str, *, nested: bool = False) -> Task:
    approval = task.approval
    if approval is not None:
        approval = approval.model_copy(update={"prompt": _rewrite(approval.prompt, prefix, nested=nested)})
    return task.model_copy(
        update={
            "task_id": f"{prefix}/{task.task_id}",
            "instructions": _rewrite(task.instructions, prefix, nested=nested),
            "arguments": _rewrite(task.arguments, prefix, nested=nested),
            "approval": approval,
            "dependencies": tuple(f"{prefix}/{name}" for name in task.dependencies),
        }
    )


def _within(inner: Task, outer: Task) -> Task:
    """Return a nested task with what the task that runs its workflow says for all of them."""
    wanted, allowed = inner.context_requirements, outer.context_requirements
    if allowed is not None:
        wanted = allowed if wanted is None else tuple(name for name in wanted if name in allowed)
    boost = max(-1000.0, min(1000.0, inner.priority_boost + outer.priority_boost))
    return inner.model_copy(update={"context_requirements": wanted, "priority_boost": boost})


def _parameters(task: Task, nested: Workflow) -> Task:
    return Task(
        task_id=f"{task.task_id}/{PARAMETERS}",
        kind=TaskKind.COMPUTE,
        name=f"parameters of {nested.name}",
        arguments={**_escaped(_defaults(nested.parameters)), **task.arguments},
        bindings=task.bindings,
        dependencies=task.dependencies,
        timeout_seconds=NO_TASK_TIMEOUT_SECONDS,
        mode=task.mode,
    )


def _result(task: Task, nested: Workflow) -> Task:
    """Return the task whose output is the nested one's: a compute task of the one argument `output` has that."""
    ends = [inner.task_id for inner in nested.tasks if not nested.dependents[inner.task_id]]
    output = nested.output
    if output is None:
        each = {name: f"${{tasks.{name}.output}}" for name in ends}
        output = each[ends[0]] if len(ends) == 1 else each
    used = [reference.task_id for reference in references_in(output) if reference.task_id]
    after = dict.fromkeys(f"{task.task_id}/{name}" for name in (*ends, *used))
    return Task(
        task_id=task.task_id,
        kind=TaskKind.COMPUTE,
        name=task.name or nested.title or nested.name,
        description=task.description,
        arguments={"output": _rewrite(output, task.task_id)},
        dependencies=tuple(after),
        guards=task.guards,
        transformations=task.transformations,
        timeout_seconds=NO_TASK_TIMEOUT_SECONDS,
        estimated_duration_seconds=0.0,
        mode=task.mode,
    )


def _rewrite(value: Any, prefix: str, *, nested: bool = True) -> Any:
    """Return a JSON value whose references lead to the same from outside; a `nested` workflow has its own params."""
    if isinstance(value, str):
        return _TOKEN.sub(lambda match: _rewritten(match, prefix, nested=nested), value)
    if isinstance(value, dict):
        return {key: _rewrite(child, prefix, nested=nested) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_rewrite(child, prefix, nested=nested) for child in value]
    return value


def _rewritten(match: re.Match[str], prefix: str, *, nested: bool) -> str:
    text = match.group(1)
    if text is None:
        return match.group()
    path = parse_path(text.strip())
    if path[:1] == ("tasks",) and len(path) > 1:
        return f"${{{show_path(('tasks', f'{prefix}/{path[1]}', *path[2:]))}}}"
    if nested and path[:1] == ("params",):
        return f"${{{show_path(('tasks', f'{prefix}/{PARAMETERS}', 'output', *path[1:]))}}}"
    return match.group()


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    parts = properties.items() if isinstance(properties, dict) else ()
    return {name: part["default"] for name, part in parts if isinstance(part, dict) and "default" in part}


def _escaped(value: Any) -> Any:
    """Return a plain value as it is written where references are read."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {key: _escaped(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(child) for child in value]
    return value


def _refuse(flat: _Flat, *found: Problem) -> None:
    raise WorkflowInvalid(found, name=flat.root.name)
